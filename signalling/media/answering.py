"""A peer connection on which the client offers: it may send and receive on the same one.

The order of what follows from an offer is fixed. What has stopped ends; the engine listens for what
is new; the client gets its answer; the room is told, and sending starts.
"""

from collections.abc import Callable, Mapping

from signalling.media.connection import Connection
from signalling.media.receiving import Announcement, Receiving
from signalling.media.sending import Sending
from signalling.sdp import (
    Answer,
    AnswerPolicy,
    AnswerSections,
    SessionDescription,
    make_answer,
)


class Answering:
    """`sections` and `sending` are what the client receives on this connection, if anything.

    `on_open` is called once the transport exists; `near_transport` names one that should be on the
    same media thread.
    """

    def __init__(
        self,
        connection: Connection,
        receiving: Receiving,
        sections: AnswerSections | None = None,
        sending: Sending | None = None,
        *,
        on_open: Callable[[], None] = lambda: None,
        near_transport: Callable[[], int | None] = lambda: None,
    ) -> None:
        self._connection = connection
        self._receiving = receiving
        self._sections = sections or AnswerSections()
        self._sending = sending
        self._on_open = on_open
        self._near_transport = near_transport
        self._version = 0

    @property
    def mid_to_track(self) -> dict[str, str]:
        """Sid by mid of what is sent."""
        return self._sections.mid_to_track()

    def answer(
        self,
        offer: SessionDescription,
        announcements: Mapping[str, Announcement],
        deliver: Callable[[Answer], None],
    ) -> Answer:
        """Answers an offer by way of `deliver`, and makes what it says true.

        `announcements` are those of new sections, by mid; one whose section is not among those of
        the answer has come to nothing. Raises SdpError and EngineBusyError.
        """
        policy = AnswerPolicy(
            self._receiving.policies(announcements),
            self._sections.match(offer),
            self._sections.retired,
        )
        answer = self._agree(offer, policy)
        told = [
            self._receiving.begin(section, announcements[section.mid])
            for section in answer.sections
            if section.mid in announcements
        ]
        rejected = self._sections.settle(answer)
        deliver(answer)
        for tell in told:
            tell()
        if self._sending is not None:
            self._sending.agreed(answer.sending, rejected)
        return answer

    def close(self) -> None:
        """Ends everything on the connection, and it."""
        self._receiving.close()
        if self._sending is not None:
            self._sending.close()
        self._connection.close()

    def _agree(self, offer: SessionDescription, policy: AnswerPolicy) -> Answer:
        connection = self._connection
        opened = connection.transport_id is None
        if opened:
            connection.open(near_transport=self._near_transport())
        self._version += 1
        answer = self._make(offer, policy)
        remote = answer.remote
        if remote is not None:
            if connection.is_restarted_by(remote):
                connection.restart_ice()
                answer = self._make(offer, policy)
            connection.set_remote(remote)
        if opened:
            self._on_open()
        return answer

    def _make(self, offer: SessionDescription, policy: AnswerPolicy) -> Answer:
        return make_answer(
            offer,
            self._connection.local(),
            policy,
            session_id=self._connection.session_id,
            version=self._version,
        )
