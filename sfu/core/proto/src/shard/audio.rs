//! What is special about audio on its way in.
//!
//! In a room with many open microphones only the loudest ones are forwarded. The others' packets
//! stop here, before any subscriber is looked at; the last moments are held, so that the beginning
//! of a word is not lost when its loud part brings the microphone in.
//!
//! Frames of lost packets are taken from the redundancy of later ones (RFC 2198). A recovered frame
//! becomes a packet of its own in the lost one's place, once for everybody. So a subscriber without
//! redundancy gets it too, and nobody asks the publisher for the lost packet. If that comes late it
//! is a duplicate: no number is ever used for two different packets.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use slab::Slab;

use super::Shard;
use super::feed::Publisher;
use super::timers::{Due, Timer};
use crate::api::{Codec, Host, Loudness, MediaMeta, NeighbourId, PeerMessage, RoomId, ShardId};
use crate::forward::{LoudestTracks, Rank, Standing};
use crate::receive::Route;
use crate::rtp::payload::red;

/// How much of what was held follows when a microphone is forwarded.
const LOOK_BACK: Duration = Duration::from_millis(60);
/// Shortest time between two messages about the microphones of one room.
const EXCHANGE_INTERVAL: Duration = Duration::from_millis(50);

/// A microphone in its room.
#[derive(Debug, Clone, Copy)]
pub(super) struct MicrophoneKey {
    room: usize,
    member: usize,
}

#[derive(Debug)]
struct RoomMicrophones {
    id: RoomId,
    tracks: LoudestTracks,
    /// It is in `Microphones::to_tell`.
    waits: bool,
}

/// The microphones of all rooms.
#[derive(Debug)]
pub(super) struct Microphones {
    places: usize,
    /// There are other shards.
    is_shared: bool,
    rooms: Slab<RoomMicrophones>,
    by_id: BTreeMap<RoomId, usize>,
    /// Rooms of which the other shards should hear.
    to_tell: Vec<usize>,
    pub(super) due: Due,
}

impl Microphones {
    pub(super) fn new(places: usize, is_shared: bool) -> Self {
        Self {
            places,
            is_shared,
            rooms: Slab::new(),
            by_id: BTreeMap::new(),
            to_tell: Vec::new(),
            due: Due::default(),
        }
    }

    /// Decides on a packet. A track that never tells its level is always forwarded.
    pub(super) fn hear(
        &mut self,
        source: &mut Publisher,
        level: Option<u8>,
        since_epoch: Duration,
    ) -> Standing {
        let Some(room) = source.microphone_of.filter(|_| self.places > 0) else {
            return Standing::ALWAYS;
        };
        if source.microphone.is_none() && level.is_none() {
            return Standing::ALWAYS;
        }
        let key = *source.microphone.get_or_insert_with(|| self.join(room));
        let Some(room) = self.rooms.get_mut(key.room) else {
            return Standing::ALWAYS;
        };
        let rank = level.and_then(|level| Rank::of(level, since_epoch));
        let standing = room.tracks.hear(key.member, rank);
        self.note_changes(key.room);
        standing
    }

    pub(super) fn leave(&mut self, source: &Publisher) {
        if let Some(key) = source.microphone
            && let Some(room) = self.rooms.get_mut(key.room)
        {
            room.tracks.leave(key.member);
            self.note_changes(key.room);
            self.forget_if_empty(key.room);
        }
    }

    /// Another shard forwards microphones of this loudness.
    pub(super) fn set_others(
        &mut self,
        room: RoomId,
        from: NeighbourId,
        loudness: &[Loudness],
        since_epoch: Duration,
    ) {
        let key = self.room(room);
        let ranks = loudness
            .iter()
            .map(|it| Rank::from_loudness(*it, since_epoch));
        self.rooms[key].tracks.set_others(from, ranks);
        self.note_changes(key);
        self.forget_if_empty(key);
    }

    fn join(&mut self, room: RoomId) -> MicrophoneKey {
        let room = self.room(room);
        let member = self.rooms[room].tracks.join();
        MicrophoneKey { room, member }
    }

    fn room(&mut self, id: RoomId) -> usize {
        let (rooms, places) = (&mut self.rooms, self.places);
        *self.by_id.entry(id).or_insert_with(|| {
            rooms.insert(RoomMicrophones {
                id,
                tracks: LoudestTracks::new(places),
                waits: false,
            })
        })
    }

    fn note_changes(&mut self, key: usize) {
        let room = &mut self.rooms[key];
        if self.is_shared && !room.waits && room.tracks.has_changed() {
            room.waits = true;
            self.to_tell.push(key);
        }
    }

    /// One that still has something to tell is forgotten after that.
    fn forget_if_empty(&mut self, key: usize) {
        if self.rooms[key].tracks.is_empty() && !self.rooms[key].waits {
            let room = self.rooms.remove(key);
            self.by_id.remove(&room.id);
        }
    }
}

impl Shard {
    /// A microphone is forwarded from the packet `meta` on.
    pub(super) fn begin_stretch(&mut self, now: Instant, track_key: usize, meta: &MediaMeta) {
        let since = now.checked_sub(LOOK_BACK).unwrap_or(now);
        let track = &mut self.tracks[track_key].inner;
        let was_dirty = track.has_pending();
        track.release(meta, since);
        if !was_dirty && track.has_pending() {
            self.dirty_tracks.push(track_key);
        }
    }

    /// Accepts a packet for the next fan-out, or holds it for a while.
    pub(super) fn take_in(
        &mut self,
        track_key: usize,
        meta: &MediaMeta,
        payload: &[u8],
        forwarded: bool,
        host: &mut dyn Host,
    ) {
        if forwarded {
            self.accept(meta.received_at, track_key, meta, payload, host);
        } else {
            self.tracks[track_key].inner.hold(meta, payload);
        }
    }

    pub(super) fn schedule_microphones(&mut self, now: Instant) {
        if !self.microphones.to_tell.is_empty() {
            let at = now + EXCHANGE_INTERVAL;
            self.timers
                .schedule(&mut self.microphones.due, at, Timer::Microphones);
        }
    }

    /// Tells the other shards which microphones are forwarded here.
    pub(super) fn tell_microphones(&mut self, now: Instant, host: &mut dyn Host) {
        let since_epoch = now.saturating_duration_since(self.config.epoch);
        let mut to_tell = std::mem::take(&mut self.microphones.to_tell);
        for key in to_tell.drain(..) {
            let Some(room) = self.microphones.rooms.get_mut(key) else {
                continue;
            };
            room.waits = false;
            if let Some(ranks) = room.tracks.take_changes() {
                let message = PeerMessage::MicrophoneRanks {
                    room: room.id,
                    from: self.config.id.into(),
                    loudness: ranks.map(|it| it.loudness(since_epoch)).collect(),
                };
                for shard in (0..self.config.shards).map(ShardId) {
                    if shard != self.config.id {
                        host.peer(shard.into(), message.clone());
                    }
                }
            }
            self.microphones.forget_if_empty(key);
        }
        self.microphones.to_tell = to_tell;
    }

    /// Takes in the frames that `payload`, redundant audio of peer `key`, has of packets which have
    /// not arrived. To be called before the packet itself is taken in.
    pub(super) fn recover_frames(
        &mut self,
        key: usize,
        route: &Route,
        meta: &MediaMeta,
        payload: &[u8],
        forwarded: bool,
        host: &mut dyn Host,
    ) {
        let Some(track_key) = self.track_ids.get(&meta.track).copied() else {
            return;
        };
        let track = &self.tracks[track_key].inner;
        let reach = red::MAX_REDUNDANT as u64 + 1;
        let Some(previous) = track.packet_before(meta.layer, meta.sequence, reach) else {
            return;
        };
        let previous = (previous.meta.sequence, previous.meta.timestamp);
        if previous.0 + 1 == meta.sequence {
            return;
        }
        let Some(parsed) = red::Payload::parse(payload) else {
            return;
        };
        for frame in parsed.recover(previous, (meta.sequence, meta.timestamp)) {
            let publishing = self.peers[key].publishing();
            let section = publishing.and_then(|it| it.router.section(route.section));
            let codec = section.and_then(|it| {
                let mut codecs = it.codecs.iter();
                codecs.find(|codec| codec.payload_type == frame.block.payload_type)
            });
            let Some(codec) = codec.filter(|codec| codec.codec == Codec::Opus) else {
                continue;
            };
            let recovered = MediaMeta {
                payload_type: codec.payload_type,
                codec: codec.codec,
                marker: false,
                sequence: frame.sequence,
                timestamp: frame.timestamp,
                abs_capture_time_len: 0,
                ..*meta
            };
            if let Some(source) = self.tracks[track_key].feed.publisher_mut() {
                let ingest = &mut source.ingest;
                ingest.on_recovered(meta.received_at, meta.layer, frame.sequence);
            }
            self.take_in(track_key, &recovered, frame.block.payload, forwarded, host);
        }
    }
}
