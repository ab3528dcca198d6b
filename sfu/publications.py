"""The tracks of a room's members, and the subscriptions that follow from them.

What subscribers want of a track is counted here for its publisher. Whether it may be published has
been asked at the room's door. First everybody is told of a track, by way of the roster, then the
subscribers start to receive it, as clients cannot place media of a track that they have not heard
of.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from sfu import limits
from sfu.clock import Clock
from sfu.codec_plan import CodecPlan
from sfu.demand import TrackDemand
from sfu.members import Members
from sfu.participant import Participant
from sfu.permissions import Affected, SubscriptionPermission
from sfu.ports import SessionSink
from sfu.roster import Roster
from sfu.subscriptions import Ruling
from sfu.track import PublishedTrack, Rendition, TrackInfo
from sfu.values import CodecRole, TrackKind


class Publications:
    """Implements `sfu.subscriptions.TrackSet`."""

    def __init__(self, clock: Clock, members: Members, roster: Roster) -> None:
        self._clock = clock
        self._members = members
        self._roster = roster
        self._tracks: dict[str, PublishedTrack] = {}
        """Those that others may see."""

    def __iter__(self) -> Iterator[PublishedTrack]:
        return iter(tuple(self._tracks.values()))

    def find(self, track_sid: str) -> PublishedTrack | None:
        """A published track that others may see."""
        return self._tracks.get(track_sid)

    # --- publishers ------------------------------------------------------------------------

    def publish(self, publisher: Participant, track: PublishedTrack) -> None:
        """Adds a track whose section has been negotiated, and offers it to everybody.

        At once, unless the publisher has made everybody receive too much.
        """
        publisher.tracks[track.sid] = track
        track.held = True
        cost, present = (
            partial(self._cost, publisher, track),
            partial(self._present, publisher, track),
        )
        publisher.pace.do(("publish", track.sid), cost, present)

    def _present(self, publisher: Participant, track: PublishedTrack) -> None:
        track.held = False
        publisher.pace.offers()
        self._note(publisher)
        if publisher.hidden:
            return
        self._tracks[track.sid] = track
        if track.info.kind is TrackKind.VIDEO:
            self._begin_demand(track, publisher.sink)
        for participant in self._members.listening():
            participant.subscriptions.reconsider(track)

    def unpublish(self, publisher: Participant, track_sid: str) -> None:
        """Ends a track; its publisher is told as well."""
        track = publisher.tracks.pop(track_sid, None)
        if track is None:
            return
        publisher.pace.withdraw(("publish", track_sid))
        if not track.held:
            publisher.pace.spend(self._cost(publisher, track))
            publisher.pace.offers()
            self._withdraw(track)
            self._note(publisher)
        publisher.sink.own_track_ended(track_sid)

    def withdraw_all(self, publisher: Participant) -> None:
        """Takes the tracks of somebody who goes away from everybody."""
        for track in publisher.tracks.values():
            if track.sid in self._tracks:
                publisher.pace.spend(track.info.size_bytes + publisher.pace.offer_bytes(1))
                publisher.pace.offers()
            self._withdraw(track)
        publisher.tracks.clear()

    def add_backup(
        self, publisher: Participant, track: PublishedTrack, rendition: Rendition, info: TrackInfo
    ) -> None:
        """The backup codec of a track has been negotiated; `info` has its ladder."""
        track.renditions[CodecRole.BACKUP] = rendition
        self.update(publisher, info)
        if track.plan is not None:
            track.plan.tell()

    def drop_backup(self, publisher: Participant, track: PublishedTrack) -> None:
        """The publisher sends the backup codec of a track no more; it cannot come back."""
        track.renditions.pop(CodecRole.BACKUP, None)
        if track.plan is not None:
            track.plan.drop_backup()
        if track.demand is not None:
            track.demand.drop(CodecRole.BACKUP)
        self.update(publisher, replace(track.info, codecs=track.info.codecs[:1]))

    def update(self, publisher: Participant, info: TrackInfo) -> None:
        """Replaces what is told of a published track."""
        track = publisher.tracks.get(info.sid)
        if track is not None and track.info != info:
            track.info = info
            self._note(publisher)

    def set_muted(self, publisher: Participant, track_sid: str, muted: bool) -> bool:
        """Mutes or unmutes a track. Returns False if the publisher has no such track."""
        track = publisher.tracks.get(track_sid)
        if track is None:
            return False
        unmuted = track.info.muted and not muted
        self.update(publisher, replace(track.info, muted=muted))
        if unmuted and track.demand is not None:
            track.demand.repeat()
        return True

    def repeat_demands(self, publisher: Participant) -> None:
        """Tells a publisher again what is wanted of its tracks: it may have missed a change."""
        for track in publisher.tracks.values():
            if track.demand is not None:
                track.demand.repeat()

    # --- subscribers -----------------------------------------------------------------------

    def offer_all(self, participant: Participant) -> None:
        """Subscribes a participant to everything that is there, wanted and allowed."""
        for track in self:
            participant.subscriptions.reconsider(track)

    def set_rules(self, publisher: Participant, permission: SubscriptionPermission) -> None:
        """The publisher says who may receive its tracks.

        What it takes from members is taken at once. What it gives waits if it has made everybody
        receive too much: each change costs those concerned a session description.
        """
        publisher.subscription_permission = permission
        every_s = 0.0
        if publisher.applied_permission is None:
            # Something waits, so it is not known who is concerned: all have to be looked at.
            every_s = limits.RULES_EVERY_S * max(1, len(self._members) // 100)
        publisher.pace.do(
            "rules", lambda: 0, partial(self._apply_rules, publisher), every_s=every_s
        )

    def _apply_rules(self, publisher: Participant) -> None:
        permission, applied = publisher.subscription_permission, publisher.applied_permission
        affected = Affected(everybody=True) if applied is None else permission.changes(applied)
        tracks = [track for track in publisher.tracks.values() if track.sid in self._tracks]
        offer = limits.OFFER_BYTES + len(tracks) * limits.SECTION_BYTES
        may_give = publisher.pace.affords(offer)
        gives = takes = False
        for participant in self._affected(affected) if tracks else ():
            for track in tracks:
                refused = self.rule(participant, track) is Ruling.REFUSED_BY_PUBLISHER
                known = participant.subscriptions.told_refused(track.sid)
                gives, takes = gives or known > refused, takes or refused > known
                if refused or may_give:
                    participant.subscriptions.reconsider(track)
        if takes or (gives and may_give):
            publisher.pace.spend(offer)
        if gives and not may_give:
            publisher.applied_permission = None
            publisher.pace.do("gifts", lambda: offer, partial(self._give, publisher))
        else:
            publisher.applied_permission = permission
            publisher.pace.withdraw("gifts")

    def _give(self, publisher: Participant) -> None:
        """It may be given now what has waited; the budget for it has been spent."""
        publisher.applied_permission = publisher.subscription_permission
        for track in publisher.tracks.values():
            if track.sid in self._tracks:
                for participant in self._members.listening():
                    participant.subscriptions.reconsider(track)

    def rule(self, subscriber: Participant, track: PublishedTrack) -> Ruling:
        """Whether `subscriber` may receive `track`."""
        publisher = self._members.with_sid(track.publisher_sid)
        if publisher is None or publisher is subscriber:
            return Ruling.NEVER
        if not publisher.subscription_permission.allows(
            track.sid, sid=subscriber.sid, identity=subscriber.identity
        ):
            return Ruling.REFUSED_BY_PUBLISHER
        return Ruling.ALLOWED if subscriber.permissions.can_subscribe else Ruling.NEVER

    def bound(self, track: PublishedTrack, subscriber: Participant) -> None:
        """`subscriber` receives `track`: the first time, its publisher is told."""
        publisher = self._members.with_sid(track.publisher_sid)
        if track.subscriber_seen or subscriber.hidden or publisher is None:
            return
        track.subscriber_seen = True
        publisher.sink.own_track_subscribed(track.sid)

    def close(self) -> None:
        """Nobody is told any more of who watches what."""
        for track in self._tracks.values():
            _end_demand(track)
        self._tracks.clear()

    def _note(self, publisher: Participant) -> None:
        publisher.changed()
        self._roster.update(publisher.snapshot())

    def _cost(self, publisher: Participant, track: PublishedTrack) -> int:
        """Of a track that comes or goes, to each listener."""
        if publisher.hidden:
            return 0
        told = publisher.snapshot().size_bytes + track.info.size_bytes
        return told + publisher.pace.offer_bytes(1)

    def _withdraw(self, track: PublishedTrack) -> None:
        if self._tracks.pop(track.sid, None) is not None:
            for participant in self._members:
                participant.subscriptions.forget(track)
            _end_demand(track)

    def _affected(self, affected: Affected) -> list[Participant]:
        if affected.everybody:
            return self._members.listening()
        named = {self._members.listener(sid) for sid in affected.sids}
        for identity in affected.identities:
            participant = self._members.find(identity)
            named.add(participant and self._members.listener(participant.sid))
        return [participant for participant in named if participant is not None]

    def _begin_demand(self, track: PublishedTrack, publisher: SessionSink) -> None:
        roles = [role for role in CodecRole if role < max(len(track.info.codecs), 1)]
        tell = partial(publisher.own_track_demanded, track)
        track.demand = TrackDemand(self._clock, tell, roles)
        if CodecRole.BACKUP in roles:
            track.plan = CodecPlan(self._clock, track.info.backup_codec_policy)


def _end_demand(track: PublishedTrack) -> None:
    if track.demand is not None:
        track.demand.close()
        track.demand = None
    if track.plan is not None:
        track.plan.close()
        track.plan = None
