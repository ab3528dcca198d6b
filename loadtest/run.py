"""A run: everybody joins, a window is measured, everybody leaves.

Groups join one after the other in the order of the file, so that an audience finds its speaker.
Samples are taken twice a second from the first join on; the figures of the report are those of the
window that begins when all have joined and things have settled.
"""

import asyncio
import random
import resource
import secrets
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from loadtest import media
from loadtest.errors import LoadTestError
from loadtest.participant import Environment, Participant, State
from loadtest.scenario import Group, Scenario
from loadtest.server_load import ServerLoad, Usage
from loadtest.signal import base_url, validate
from loadtest.swarm import Swarm, SwarmTotals, SwarmTransport
from signalling.grants import Claims, Grants
from signalling.tokens import KeyRing

SAMPLE_S = 0.5
_PING_S = 10.0
_GROUP_TIMEOUT_S = 60.0
# A participant has a WebSocket and up to two UDP sockets.
_FILES_PER_PARTICIPANT, _FILES_SPARE = 3, 200


@dataclass(frozen=True, slots=True)
class Target:
    """A server and the key to it. `pid` is its process, if it is on this machine."""

    url: str
    api_key: str
    api_secret: str = field(repr=False)
    pid: int | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """One moment. `at` is of `time.monotonic()`."""

    at: float
    totals: SwarmTotals
    server: Usage | None
    swarm_cpu_s: float
    ready: int
    started: int


@dataclass(frozen=True, slots=True)
class Result:
    """Everything a run has shown. The window lies between two of the samples."""

    scenario: Scenario
    url: str
    samples: tuple[Sample, ...]
    window: tuple[int, int]
    transports: tuple[SwarmTransport, ...]
    participants: tuple[Participant, ...]
    gone: frozenset[Participant]
    """Those who had left before the end."""
    subscribers: int
    join_span_s: float


Progress = Callable[[str, Sample | None], None]


class Run:
    """One run. `progress` is called with the phase and each sample."""

    def __init__(
        self, scenario: Scenario, target: Target, progress: Progress, threads: int
    ) -> None:
        self._scenario = scenario
        self._target = target
        self._base = base_url(target.url)
        self._progress = progress
        self._threads = threads
        self._room = f"loadtest-{secrets.token_hex(4)}"
        self._keys = KeyRing({target.api_key: target.api_secret})
        self._participants: list[Participant] = []
        self._samples: list[Sample] = []
        self._phase = "joining"
        self._chance = random.Random(1)  # noqa: S311 - of layouts and stays
        self._numbers: dict[str, int] = {}

    async def execute(self) -> Result:
        """Raises LoadTestError if the server is away, refuses, or a group cannot join at all."""
        _allow_files(self._scenario.participants)
        timeout = aiohttp.ClientTimeout(total=None, connect=20, sock_connect=20)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            await validate(session, self._base, self._token("check"))
            self._progress("encoding test media", None)
            clips = {}
            for name, one in self._scenario.media.items():
                clips[name] = await asyncio.to_thread(media.clips, one)
            swarm = Swarm(threads=self._threads, seed=1)
            try:
                numbers = {
                    name: [
                        swarm.add_clip(c.codec, c.clock_rate_hz, c.duration_ticks, c.frames)
                        for c in some
                    ]
                    for name, some in clips.items()
                }
                environment = Environment(
                    session,
                    self._base,
                    swarm,
                    swarm.fingerprint_sha256,
                    self._scenario.media,
                    numbers,
                )
                load = ServerLoad(session, self._base, self._target.pid)
                return await self._run(environment, load)
            finally:
                swarm.stop()

    def _token(self, identity: str, group: Group | None = None) -> str:
        grants = Grants(
            room=self._room,
            room_join=True,
            can_publish=group is None or bool(group.publish),
            can_subscribe=group is None or group.subscribe,
        )
        return self._keys.mint(Claims(identity, grants, name=identity), 6 * 3600)

    async def _run(self, environment: Environment, load: ServerLoad) -> Result:
        background: list[asyncio.Task[None]] = [
            asyncio.create_task(self._sample(environment.swarm, load)),
            asyncio.create_task(self._ping()),
        ]
        try:
            began = time.monotonic()
            for group in self._scenario.groups:
                await _alive(self._join_group(environment, group, background), background)
            joined = time.monotonic()
            self._phase = "settling"
            await _alive(asyncio.sleep(self._scenario.settle_s), background)
            self._phase = "measuring"
            first = len(self._samples)
            await _alive(asyncio.sleep(self._scenario.seconds), background)
            last = len(self._samples) - 1
            transports = await asyncio.to_thread(environment.swarm.report)
            gone = frozenset(p for p in self._participants if p.state is State.LEFT)
        finally:
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)
            self._phase = "leaving"
            here = [p for p in self._participants if p.state is not State.LEFT]
            await asyncio.gather(*(participant.leave() for participant in here))
        return Result(
            self._scenario,
            self._base,
            tuple(self._samples),
            (min(first, last), last),
            tuple(transports),
            tuple(self._participants),
            gone,
            sum(group.count for group in self._scenario.groups if group.subscribe),
            joined - began,
        )

    # --- joining ---------------------------------------------------------------------------

    async def _join_group(
        self, environment: Environment, group: Group, background: list[asyncio.Task[None]]
    ) -> None:
        start = time.monotonic()
        joins = []
        for number in range(group.count):
            await asyncio.sleep(start + number / group.join_per_s - time.monotonic())
            joins.append(asyncio.create_task(self._join(environment, group)))
        if not joins:
            return
        done, late = await asyncio.wait(joins, timeout=_GROUP_TIMEOUT_S)
        for task in late:
            task.cancel()
        failures = [task.exception() for task in done if task.exception() is not None]
        if len(failures) + len(late) == len(joins):
            reason = failures[0] if failures else "they did not answer in time"
            raise LoadTestError(f"nobody of group {group.name!r} could join: {reason}")
        for task in done:
            if task.exception() is None:
                background += self._keep_busy(environment, task.result())

    async def _join(self, environment: Environment, group: Group) -> Participant:
        number = self._numbers[group.name] = self._numbers.get(group.name, 0) + 1
        participant = Participant(environment, f"{group.name}-{number}", group)
        self._participants.append(participant)
        await participant.join(self._token(participant.identity, group))
        return participant

    def _keep_busy(
        self, environment: Environment, participant: Participant
    ) -> list[asyncio.Task[None]]:
        tasks = []
        if participant.group.layout is not None:
            every_s = participant.group.layout.every_s
            tasks.append(asyncio.create_task(self._change_layouts(participant, every_s)))
        if participant.group.stay_s is not None:
            tasks.append(asyncio.create_task(self._churn(environment, participant)))
        return tasks

    async def _change_layouts(self, participant: Participant, every_s: float) -> None:
        await asyncio.sleep(self._chance.random())
        while True:
            await participant.change_layout(self._chance)
            await asyncio.sleep(every_s)

    async def _churn(self, environment: Environment, participant: Participant) -> None:
        """One after the other takes this place, each for about the group's `stay_s`."""
        stay_s = participant.group.stay_s or 0.0
        while True:
            await asyncio.sleep(stay_s * (0.5 + self._chance.random()))
            await participant.leave()
            try:
                participant = await self._join(environment, participant.group)
            except LoadTestError:
                await asyncio.sleep(1.0)  # counted as a failed join

    # --- meanwhile -------------------------------------------------------------------------

    async def _ping(self) -> None:
        while True:
            await asyncio.sleep(_PING_S)
            for participant in list(self._participants):
                await participant.ping()

    async def _sample(self, swarm: Swarm, load: ServerLoad) -> None:
        due = time.monotonic()
        while True:
            usage = await load.read()
            ready = sum(p.state is State.READY for p in self._participants)
            sample = Sample(
                time.monotonic(),
                swarm.totals(),
                usage,
                time.process_time(),
                ready,
                len(self._participants),
            )
            self._samples.append(sample)
            self._progress(self._phase, sample)
            due = max(due + SAMPLE_S, time.monotonic())
            await asyncio.sleep(due - time.monotonic())


async def _alive(work: Coroutine[Any, Any, None], background: list[asyncio.Task[None]]) -> None:
    """Waits for `work`; what fails in the background ends it."""
    task = asyncio.create_task(work)
    await asyncio.wait([task, *background], return_when=asyncio.FIRST_COMPLETED)
    for other in background:
        if other.done() and not other.cancelled() and (error := other.exception()) is not None:
            task.cancel()
            raise error
    await task


def _allow_files(participants: int) -> None:
    """Raises this process' limit of open files as far as it may."""
    wanted = participants * _FILES_PER_PARTICIPANT + _FILES_SPARE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
        if allowed < wanted:
            raise LoadTestError(
                f"{participants} participants need {wanted} open files, this process may have "
                f"{hard}: raise the limit (ulimit -Hn) or run fewer"
            )
