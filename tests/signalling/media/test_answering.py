"""One peer connection that the client offers, both ways, with aiortc and the real engine."""

import asyncio

from sfu.node import Node
from sfu.room import Room
from signalling.sdp import Answer, Direction, parse
from tests.signalling.media.peer import Peer
from tests.support.livekit_client import Picture, Tone, until


async def test_a_client_that_offers_to_receive_gets_media_in_the_answer(
    node: Node, room: Room
) -> None:
    async with Peer.join(node, room, "ada") as ada:
        ada.pc.addTrack(Tone())
        ada.pc.addTrack(Picture())
        await ada.negotiate()
        async with Peer.join(node, room, "bo") as bo:
            sids = set(bo.sink.receiving)
            assert len(sids) == 2
            assert bo.sections.missing() == {"audio": 1, "video": 1}

            answer = await bo.negotiate()

            assert [section.direction for section in answer.media] == [Direction.SENDONLY] * 2
            assert {section.msids[0].track for section in answer.media} == sids
            assert set(bo.answering.mid_to_track.values()) == sids
            await until(lambda: all(bo.frames.get(sid, 0) >= 15 for sid in sids))


async def test_both_send_and_receive_on_one_connection_each(node: Node, room: Room) -> None:
    async with Peer.join(node, room, "ada") as ada, Peer.join(node, room, "bo") as bo:
        for peer in (ada, bo):
            peer.pc.addTrack(Tone())
            peer.pc.addTrack(Picture())
        await ada.negotiate()
        # One offer brings what bo sends and what it gets, in sections of their own; ada is asked
        # for another one, and has offered sections for both ways.
        first = await bo.negotiate()
        await asyncio.wait_for(ada.called_for.wait(), 5)
        second = await ada.negotiate()
        one_way = [Direction.RECVONLY] * 2 + [Direction.SENDONLY] * 2
        assert [section.direction for section in first.media] == one_way
        assert [section.direction for section in second.media] == [Direction.SENDRECV] * 2
        for peer in (ada, bo):
            sids = set(peer.sink.receiving)
            await until(
                lambda peer=peer, sids=sids: all(peer.frames.get(sid, 0) >= 15 for sid in sids)
            )


async def test_a_section_is_used_again_when_its_track_has_gone(node: Node, room: Room) -> None:
    async with Peer.join(node, room, "ada") as ada, Peer.join(node, room, "bo") as bo:
        used = []
        for _ in range(2):
            sender = ada.pc.addTrack(Tone())
            await ada.negotiate()
            (sid,) = bo.sink.receiving
            answer = await bo.negotiate()
            used.append([(section.mid, section.msids[0].track) for section in answer.media])
            assert bo.answering.mid_to_track == {"0": sid}
            sender.replaceTrack(None)
            ada.pc.getTransceivers()[0].direction = "inactive"
            await ada.negotiate()
            await asyncio.wait_for(bo.called_for.wait(), 5)
            assert (await bo.negotiate()).media[0].direction is Direction.INACTIVE
            assert bo.answering.mid_to_track == {}
        (first,), (second,) = used
        assert first[0] == second[0] == "0"
        assert first[1] != second[1]


async def test_whatever_is_offered_again_with_other_credentials_is_answered_with_others(
    node: Node, room: Room
) -> None:
    """An ICE restart by the client (RFC 8445, section 9)."""
    async with Peer.join(node, room, "ada") as ada:
        ada.pc.addTrack(Tone())
        await ada.negotiate()
        offer = parse(ada.pc.localDescription.sdp)
        ours, theirs = ada.connection.local().ice_ufrag, offer.media[0].transport.ice_ufrag

        ada.answering.answer(offer, {}, lambda answer: None)
        assert ada.connection.local().ice_ufrag == ours
        restarted = parse(ada.pc.localDescription.sdp.replace(theirs, theirs[::-1]))
        delivered: list[Answer] = []
        ada.answering.answer(restarted, {}, delivered.append)

        (answer,) = delivered
        assert ada.connection.local().ice_ufrag != ours
        assert answer.description.media[0].transport.ice_ufrag == ada.connection.local().ice_ufrag
        assert len(ada.receiving.cids) == 1, "the track goes on"
