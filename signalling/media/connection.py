"""One peer connection: its transport in the engine, what both sides announce, and ICE restarts."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from sfu import _core
from sfu.clock import Clock
from sfu.engine import Engine, TransportEvent
from sfu.node import MediaOwner, Node
from sfu.participant import Participant
from sfu.room import Room
from signalling.sdp import LocalTransport, RemoteTransport


@dataclass(frozen=True, slots=True)
class Member:
    """Whose media it is: a participant in its room, on this node."""

    node: Node
    room: Room
    participant: Participant

    @property
    def engine(self) -> Engine:
        """Of the node."""
        return self.node.engine

    @property
    def clock(self) -> Clock:
        """Of the node."""
        return self.node.clock

    @property
    def owner(self) -> MediaOwner:
        """To whom the node attributes what it measures."""
        return MediaOwner(self.room, self.participant)


class Connection:
    """`on_event` is told of the transport's events. Not to be opened again once it is closed."""

    def __init__(self, member: Member, on_event: Callable[[TransportEvent], None]) -> None:
        self.member = member
        self.session_id = secrets.randbits(62)
        """Of the session descriptions."""
        self._on_event = on_event
        self._info: _core.TransportInfo | None = None
        self._remote: RemoteTransport | None = None
        self._limit_bps: int | None = None

    @property
    def transport_id(self) -> int | None:
        """None until it has been opened."""
        return None if self._info is None else self._info.transport_id

    @property
    def opened_id(self) -> int:
        """The transport's, once it has been opened. Raises RuntimeError before."""
        return self._opened().transport_id

    def open(self, *, near_transport: int | None = None, open_data_channels: bool = False) -> None:
        """Opens the transport. Raises EngineBusyError."""
        member, engine = self.member, self.member.engine
        self._info = engine.ask(
            engine.core.open_transport,
            near_transport=near_transport,
            open_data_channels=open_data_channels,
        )
        engine.watch_transport(self._info.transport_id, self._on_event)
        member.node.own_transport(self._info.transport_id, member.owner)

    def local(self) -> LocalTransport:
        """What this side announces. Raises RuntimeError before the connection is open."""
        info = self._opened()
        return LocalTransport(
            info.ice_ufrag,
            info.ice_password,
            self.member.engine.core.fingerprint_sha256,
            tuple(info.candidates),
        )

    def set_remote(self, remote: RemoteTransport) -> None:
        """Applies what the peer announces; without effect if it is the same as before."""
        if remote == self._remote:
            return
        self._remote = remote
        engine = self.member.engine
        engine.order(
            engine.core.set_remote,
            self.opened_id,
            ice_ufrag=remote.ice_ufrag,
            ice_password=remote.ice_password,
            fingerprint_sha256=remote.fingerprint_sha256,
            dtls_role=remote.dtls_role,
        )

    def is_restarted_by(self, remote: RemoteTransport) -> bool:
        """The peer has new credentials: an answer to it needs new ones, too (RFC 8445, 9)."""
        return self._remote is not None and self._remote.ice_ufrag != remote.ice_ufrag

    def restart_ice(self) -> None:
        """Makes new credentials for this side. Raises EngineBusyError."""
        engine = self.member.engine
        self._info = engine.ask(engine.core.restart_ice, self.opened_id)

    def limit(self, limit_bps: int | None) -> None:
        """Bounds what is sent on it, besides the audio; None lifts the bound."""
        if limit_bps != self._limit_bps:
            self._limit_bps = limit_bps
            engine = self.member.engine
            engine.order(engine.core.limit_bitrate, self.opened_id, limit_bps)

    def close(self) -> None:
        """Closes the transport with everything on it."""
        if self._info is not None:
            self.member.node.disown_transport(self._info.transport_id)
            self.member.engine.close_transport(self._info.transport_id)

    def _opened(self) -> _core.TransportInfo:
        if self._info is None:
            raise RuntimeError("the connection has not been opened")
        return self._info
