"""asyncio around the native engine.

Media threads put events into a queue and signal an eventfd; the event loop reads it and calls
whoever watches the transport, track or subscription that an event is about. Nothing here happens
once per packet.

Commands only put an order into a media thread's queue, which has a bound. What can wait then waits
here, in order, and is tried again (`order`); what has to answer with an identifier cannot wait, and
raises EngineBusyError (`ask`), for which the session that asked is ended and told to come back.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Final, ParamSpec, Self, TypeVar

from sfu import _core

log = logging.getLogger(__name__)

TransportEvent = _core.TransportStateChanged | _core.DataChannelOpened | _core.DataChannelClosed

RETRY_AFTER_S: Final = 0.01
"""So long a media thread has to take some of its commands: it empties its queue in every turn."""
ORDERS_MAX: Final = 65_536
"""Orders that wait, as many as a media thread's own queue has places. A thread that is behind by
more has stopped working, and this node with it."""

_P = ParamSpec("_P")
_R = TypeVar("_R")


class EngineBusyError(Exception):
    """A media thread does not keep up with its commands: whoever asks may come back later."""


class Engine:
    """Owns the native engine and its subscription to the running event loop.

    Made inside a running loop. `stop` joins the media threads and must be called once.
    """

    def __init__(self, core: _core.Engine) -> None:
        self.core = core
        self._loop = asyncio.get_running_loop()
        self._transports: dict[int, Callable[[TransportEvent], None]] = {}
        self._tracks: dict[int, Callable[[_core.LayerStarted], None]] = {}
        self._subscriptions: dict[int, Callable[[], None]] = {}
        self._stream_states: dict[int, Callable[[bool], None]] = {}
        self._track_changes: dict[int, Callable[[int], None]] = {}
        self._on_levels: Callable[[_core.AudioLevels], None] = lambda _levels: None
        self._on_failure: Callable[[], None] = lambda: None
        self._on_web: Callable[[int], None] | None = None
        self._stopped = False
        self._orders: deque[Callable[[], object]] = deque()
        """Not taken yet; in order, so everything that is ordered later waits as well."""
        self._retry: asyncio.TimerHandle | None = None
        self._event_fd = core.event_fd
        self._loop.add_reader(self._event_fd, self._dispatch)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def watch_transport(self, transport_id: int, handler: Callable[[TransportEvent], None]) -> None:
        """Calls `handler` for every event of a transport, until it is closed."""
        self._transports[transport_id] = handler

    def watch_track(self, track_id: int, handler: Callable[[_core.LayerStarted], None]) -> None:
        """Calls `handler` when a layer of the track sends its first packet.

        Until the track is ended by `unpublish` or `forget_track`.
        """
        self._tracks[track_id] = handler

    def watch_subscription(self, subscription_id: int, handler: Callable[[], None]) -> None:
        """Calls `handler` once, when the first packet has left."""
        self._subscriptions[subscription_id] = handler

    def watch_stream_state(self, subscription_id: int, handler: Callable[[bool], None]) -> None:
        """Calls `handler` with whether the subscription is paused for want of bandwidth.

        It is called with each change, until the subscription is ended by `unsubscribe` or
        `forget_subscription`.
        """
        self._stream_states[subscription_id] = handler

    def watch_track_changes(self, subscription_id: int, handler: Callable[[int], None]) -> None:
        """Calls `handler` with the track that the subscription goes on with, whenever it does."""
        self._track_changes[subscription_id] = handler

    def forget_subscription(self, subscription_id: int) -> None:
        """Passes on no more events of a subscription that ends with its transport."""
        self._subscriptions.pop(subscription_id, None)
        self._stream_states.pop(subscription_id, None)
        self._track_changes.pop(subscription_id, None)

    def forget_track(self, track_id: int) -> None:
        """Passes on no more events of a track that ends with its transport."""
        self._tracks.pop(track_id, None)

    def watch_levels(self, handler: Callable[[_core.AudioLevels], None]) -> None:
        """Calls `handler` with the audio levels of every window. There is one handler."""
        self._on_levels = handler

    def watch_failure(self, handler: Callable[[], None]) -> None:
        """Calls `handler` when the engine has stopped by itself: this node is of no more use."""
        self._on_failure = handler

    def watch_web(self, handler: Callable[[int], None]) -> None:
        """Calls `handler` with the descriptor of each connection that is for the HTTP server.

        The handler owns it. Those that came before it was set are passed on at once.
        """
        self._on_web = handler
        self._hand_on_web()

    def ask(self, command: Callable[_P, _R], /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """Gives a command of `core` that answers. Raises EngineBusyError."""
        if self._orders:
            raise EngineBusyError("earlier commands have not been taken yet")
        try:
            return command(*args, **kwargs)
        except RuntimeError as error:
            raise EngineBusyError(str(error)) from None

    def order(self, command: Callable[_P, None], /, *args: _P.args, **kwargs: _P.kwargs) -> None:
        """Gives a command of `core` that has no answer: now, or as soon as there is room for it.

        Never fails for want of room. After `stop` it is without effect.
        """
        if self._stopped:
            return
        if not self._orders:
            try:
                command(*args, **kwargs)
            except RuntimeError:
                pass
            else:
                return
        if len(self._orders) >= ORDERS_MAX:
            log.critical("%d commands wait for a media thread: it has stopped", len(self._orders))
            self._orders.clear()
            self._on_failure()
            return
        self._orders.append(partial(command, *args, **kwargs))
        if self._retry is None:
            self._retry = self._loop.call_later(RETRY_AFTER_S, self._give_orders)

    def close_transport(self, transport_id: int) -> None:
        """Closes a transport with everything on it; no event of it is passed on any more."""
        self._transports.pop(transport_id, None)
        self.order(self.core.close_transport, transport_id)

    def unpublish(self, track_id: int) -> None:
        """Ends a track."""
        self.forget_track(track_id)
        self.order(self.core.unpublish, track_id)

    def unsubscribe(self, subscription_id: int) -> None:
        """Ends a subscription."""
        self.forget_subscription(subscription_id)
        self.order(self.core.unsubscribe, subscription_id)

    @property
    def stopped(self) -> bool:
        """`stop` has been called: commands are refused by `core`."""
        return self._stopped

    def stop(self) -> None:
        """Leaves the event loop and joins the media threads. Idempotent."""
        if self._stopped:
            return
        self._stopped = True
        self._loop.remove_reader(self._event_fd)
        self._transports.clear()
        self._tracks.clear()
        self._subscriptions.clear()
        self._stream_states.clear()
        self._track_changes.clear()
        self._orders.clear()
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        self.core.stop()

    def _give_orders(self) -> None:
        self._retry = None
        while self._orders:
            try:
                self._orders[0]()
            except RuntimeError:
                self._retry = self._loop.call_later(RETRY_AFTER_S, self._give_orders)
                return
            except Exception:
                # What an order was about may have gone by itself meanwhile.
                log.exception("an order to the engine failed")
            self._orders.popleft()

    def _dispatch(self) -> None:
        for event in self.core.poll_events():
            try:
                self._deliver(event)
            except Exception:
                # One session's fault must not cost the others their events.
                log.exception("handler of %s failed", type(event).__name__)

        self._hand_on_web()

    def _hand_on_web(self) -> None:
        if self._on_web is not None and not self._stopped:
            for descriptor in self.core.take_web_connections():
                self._on_web(descriptor)

    def _deliver(self, event: "_core.Event") -> None:
        match event:
            case (
                _core.TransportStateChanged()
                | _core.DataChannelOpened()
                | _core.DataChannelClosed()
            ):
                self._transports.get(event.transport_id, _ignore)(event)
            case _core.LayerStarted():
                self._tracks.get(event.track_id, _ignore)(event)
            case _core.SubscriptionStarted():
                self._subscriptions.pop(event.subscription_id, _ignore)()
            case _core.StreamStateChanged():
                self._stream_states.get(event.subscription_id, _ignore)(event.paused)
            case _core.TrackChanged():
                self._track_changes.get(event.subscription_id, _ignore)(event.track_id)
            case _core.AudioLevels():
                self._on_levels(event)
            case _core.LogMessage():
                target = event.target.replace("::", ".")
                logging.getLogger(target).log(event.level, "%s", event.message)
            case _core.EngineFailed():
                log.critical("media thread %d has failed: %s", event.shard, event.message)
                self._on_failure()


def _ignore(*_event: object) -> None:
    """Nobody watches what this event is about."""
