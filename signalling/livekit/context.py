"""What the parts of a session share: whose they are, and how they reach the client."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from sfu.clock import Clock
from sfu.engine import Engine
from sfu.node import Node
from sfu.participant import Participant
from sfu.room import Room
from sfu.values import EndReason
from signalling.grants import Claims
from signalling.livekit.outbound import IceServer, LeaveAction
from signalling.livekit.query import ClientDescription
from signalling.media.connection import Member


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """What the operator decides. `issue_token` makes a token to reconnect with."""

    issue_token: Callable[[Claims], str]
    ice_servers: tuple[IceServer, ...] = field(default_factory=tuple)
    downlink_limit_bps: int | None = None
    """What one participant is sent at most."""


@dataclass(frozen=True, slots=True)
class Context:
    """One session's surroundings.

    `send` sends the client a message, `offer` one with media of what it has been told of, `latest`
    state of which only the latest counts, by key. `end` ends the session with a `leave`.
    """

    node: Node
    room: Room
    participant: Participant
    client: ClientDescription
    send: Callable[[bytes], None]
    offer: Callable[[bytes], None]
    latest: Callable[[Hashable, Callable[[], bytes]], None]
    end: Callable[[EndReason, LeaveAction], None]
    downlink_limit_bps: int | None = None
    """The server's; the participant may have set a lower one."""

    @property
    def member(self) -> Member:
        """Whose media it is."""
        return Member(self.node, self.room, self.participant)

    @property
    def engine(self) -> Engine:
        """Of the node."""
        return self.node.engine

    @property
    def clock(self) -> Clock:
        """Of the node."""
        return self.node.clock
