"""What waits for a client: state once, as it is when it is written; messages in their order."""

from livekit.protocol import rtc

from sfu.notices import (
    ClientFacts,
    ParticipantsChanged,
    ParticipantSnapshot,
    ParticipantState,
    RoomChanged,
    RoomSnapshot,
    Speaker,
    SpeakersChanged,
)
from sfu.track import TrackInfo
from sfu.values import EndReason, ParticipantKind, Permissions, TrackKind, TrackSource
from signalling.livekit import outbound, topics
from signalling.livekit.outbox import ENTRY_BYTES, Outbox
from tests.support.node import RecordingSink


def someone(identity: str = "ada", version: int = 1, **changes: object) -> ParticipantSnapshot:
    snapshot = ParticipantSnapshot(
        sid=f"PA_{identity}",
        identity=identity,
        name="",
        state=ParticipantState.ACTIVE,
        kind=ParticipantKind.STANDARD,
        metadata="",
        attributes=(),
        permissions=Permissions(),
        joined_at_ms=0,
        version=version,
        tracks=(),
        client=ClientFacts(),
        end_reason=EndReason.UNKNOWN,
    )
    for name, value in changes.items():
        setattr(snapshot, name, value)
    return snapshot


def told(*participants: ParticipantSnapshot) -> ParticipantsChanged:
    return ParticipantsChanged(participants)


def speaking(identity: str, level: float) -> SpeakersChanged:
    return SpeakersChanged((Speaker(f"PA_{identity}", level, active=level > 0),))


def box(limit_bytes: int = 100_000) -> Outbox:
    return Outbox(limit_bytes)


def drain(outbox: Outbox) -> list[rtc.SignalResponse]:
    messages = []
    while outbox:
        messages += map(rtc.SignalResponse.FromString, outbox.take())
    return messages


def cases(messages: list[rtc.SignalResponse]) -> list[str | None]:
    return [message.WhichOneof("message") for message in messages]


def test_who_changes_five_hundred_times_is_sent_once_as_it_is() -> None:
    outbox = box()
    for version in range(1, 501):
        outbox.tell(topics.PARTICIPANTS, told(someone(version=version, metadata="m" * version)))
    assert outbox.held_bytes <= 2 * ENTRY_BYTES
    (message,) = drain(outbox)
    (ada,) = message.update.participants
    assert (ada.version, ada.metadata) == (500, "m" * 500)
    assert outbox.held_bytes == 0


def test_a_notice_that_waits_alone_is_encoded_once_for_everybody() -> None:
    notice = told(someone("ada"), someone("bo"))
    first, second = box(), box()
    for outbox in (first, second):
        outbox.tell(topics.PARTICIPANTS, notice)
    assert first.take()[0] is second.take()[0]


def test_several_notices_become_one_message() -> None:
    outbox = box()
    outbox.tell(topics.PARTICIPANTS, told(someone("ada"), someone("bo")))
    outbox.tell(topics.PARTICIPANTS, told(someone("cy"), someone("ada", 2)))
    (message,) = drain(outbox)
    found = [(one.identity, one.version) for one in message.update.participants]
    assert found == [("ada", 2), ("bo", 1), ("cy", 1)]


def test_a_track_is_told_of_before_its_offer_and_not_taken_back_before_it() -> None:
    """As the offer was made when the track was there, clients have to know the track."""
    track = TrackInfo("TR_a", TrackKind.AUDIO, TrackSource.MICROPHONE)
    outbox = box()
    outbox.tell(topics.PARTICIPANTS, told(someone("ada", 1)))
    outbox.tell(topics.PARTICIPANTS, told(someone("ada", 2, tracks=(track,))))
    outbox.offer(outbound.offer("with TR_a", 1, {}))
    outbox.tell(topics.PARTICIPANTS, told(someone("ada", 3)))
    outbox.offer(outbound.offer("without", 2, {}))
    messages = drain(outbox)
    assert cases(messages) == ["update", "offer", "update", "offer"]
    with_track, without = messages[0].update, messages[2].update
    assert [t.sid for t in with_track.participants[0].tracks] == ["TR_a"]
    assert not without.participants[0].tracks


def test_whoever_speaks_has_been_introduced() -> None:
    outbox = box()
    outbox.tell(topics.SPEAKERS, speaking("ada", 0.5))
    outbox.tell(topics.PARTICIPANTS, told(someone("bo")))
    outbox.tell(topics.SPEAKERS, speaking("bo", 1.0))
    outbox.tell(topics.SPEAKERS, speaking("ada", 0.0))
    outbox.tell(topics.PARTICIPANTS, told(someone("cy")))
    messages = drain(outbox)
    assert cases(messages) == ["speakers_changed", "update", "speakers_changed"]
    assert {one.identity for one in messages[1].update.participants} == {"bo", "cy"}
    latest = {one.sid: one.level for one in messages[2].speakers_changed.speakers}
    assert latest == {"PA_bo": 1.0, "PA_ada": 0.0}


def test_only_the_latest_of_a_room_counts() -> None:
    outbox = box()
    for metadata in ("a", "b", "c"):
        outbox.tell(topics.ROOM, RoomChanged(RoomSnapshot("RM", "r", 0, 0, 0, metadata, 0, 1, 1)))
    (message,) = drain(outbox)
    assert message.room_update.room.metadata == "c"


def test_what_is_made_when_it_is_written_says_what_holds_then() -> None:
    outbox = box()
    rights = ["none"]
    for _ in range(10):
        outbox.latest("token", lambda: outbound.refresh_token(rights[0]))
    rights[0] = "all"
    (message,) = drain(outbox)
    assert message.refresh_token == "all"


def test_messages_keep_their_order() -> None:
    outbox = box()
    outbox.message(outbound.answer("v=0", 1))
    outbox.latest(("mute", "TR_a"), lambda: outbound.mute("TR_a", True))
    outbox.message(outbound.track_unpublished("TR_a"))
    outbox.latest(("mute", "TR_a"), lambda: outbound.mute("TR_a", False))
    messages = drain(outbox)
    assert cases(messages) == ["answer", "mute", "track_unpublished"]
    assert not messages[1].mute.muted


def test_an_overflow_leaves_a_mark_and_takes_no_more_memory() -> None:
    outbox = box(limit_bytes=10_000)
    for number in range(100):
        outbox.message(bytes(1_000) + number.to_bytes(1, "big"))
    assert outbox.overflowed
    assert not outbox
    assert outbox.held_bytes == 0


def test_the_departed_are_memory_of_the_outbox_and_the_present_are_not() -> None:
    outbox = box(limit_bytes=20_000)
    for number in range(100):
        outbox.tell(topics.PARTICIPANTS, told(someone(f"p{number}", metadata="m" * 10_000)))
    assert not outbox.overflowed
    for number in range(3):
        gone = someone(f"p{number}", 2, metadata="m" * 10_000, state=ParticipantState.DISCONNECTED)
        outbox.tell(topics.PARTICIPANTS, told(gone))
    assert outbox.overflowed


def test_a_message_larger_than_the_limit_goes_out_alone() -> None:
    outbox = box(limit_bytes=10_000)
    outbox.message(bytes(100_000))
    outbox.latest("token", lambda: b"t")
    outbox.tell(topics.PARTICIPANTS, told(someone()))
    assert not outbox.overflowed
    assert [len(message) for message in outbox.take()] == [100_000]


def test_a_large_state_leaves_in_parts_and_keeps_up_meanwhile() -> None:
    outbox = box()
    everybody = [someone(f"p{number}") for number in range(600)]
    outbox.tell(topics.PARTICIPANTS, told(*everybody))
    outbox.tell(topics.PARTICIPANTS, told(someone("p599", 2)))
    first = rtc.SignalResponse.FromString(outbox.take()[0])
    outbox.tell(topics.PARTICIPANTS, told(someone("p599", 3), someone("p0", 2)))
    found = [*first.update.participants]
    for message in drain(outbox):
        found += message.update.participants
    assert len(first.update.participants) < 600
    assert {one.identity: one.version for one in found}["p599"] == 3
    assert {one.identity: one.version for one in found}["p0"] == 2
    assert len(found) == 601
    assert outbox.held_bytes == 0


def test_a_client_is_where_the_room_is_whatever_waited() -> None:
    """The same roster comes out of an outbox as of a sink that is told everything at once."""
    direct, through = RecordingSink(), RecordingSink()
    outbox = box()
    versions: dict[str, int] = {}
    for step in range(200):
        identity = f"p{step * 7 % 13}"
        versions[identity] = versions.get(identity, 0) + 1
        gone = step % 5 == 0
        notice = told(
            someone(
                identity,
                versions[identity],
                state=ParticipantState.DISCONNECTED if gone else ParticipantState.ACTIVE,
            )
        )
        direct.participants_changed(notice)
        outbox.tell(topics.PARTICIPANTS, notice)
        if step % 23 == 0:
            outbox.offer(outbound.offer("v=0", step, {}))
    for message in drain(outbox):
        for one in message.update.participants:
            state = ParticipantState(one.state)
            through.participants_changed(told(someone(one.identity, one.version, state=state)))
    assert through.roster == direct.roster
    assert {sid: one.version for sid, one in through.known.items()} == {
        sid: one.version for sid, one in direct.known.items()
    }
