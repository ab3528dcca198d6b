//! A track on a shard that has it: its latest packets, who watches, and what waits to be fanned
//! out. The shard that receives the track feeds it; another shard gets its packets from there.

use super::clock::LayerClock;
use super::key_frames::KeyFrameRequests;
use super::layers::LayerActivity;
use super::store::{PacketStore, StoredPacket};
use crate::api::{Layer, MAX_LAYERS, MediaKind, MediaMeta, NeighbourId, TrackId, Want};
use std::time::Instant;

/// A packet that waits for the end of the gathering time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pending {
    pub layer: Layer,
    pub sequence: u64,
}

/// Most packets of one track that wait; at this number they are fanned out at once.
pub const MAX_PENDING: usize = 64;
/// Most held packets that are released at once: frames of Opus are 10 ms or longer.
const MAX_RELEASED: u64 = 6;

/// A neighbour that gets a track from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sink {
    pub to: NeighbourId,
    pub want: Want,
}

/// A track's state on one shard.
#[derive(Debug)]
pub struct Track {
    pub id: TrackId,
    pub kind: MediaKind,
    /// Keys of its subscriptions on this shard.
    pub subscriptions: Vec<usize>,
    /// Keys of those that will change over from another track at a key frame of this one.
    pub arriving: Vec<usize>,
    /// Neighbours that have been promised packets of it, and which.
    pub sinks: Vec<Sink>,
    pub key_frames: KeyFrameRequests,
    pub activity: LayerActivity,
    pub clocks: [Option<LayerClock>; MAX_LAYERS],
    pending: Vec<Pending>,
    stores: [Option<PacketStore>; MAX_LAYERS],
    newest: [u64; MAX_LAYERS],
    late_key_frames: LateKeyFrames,
}

/// Of each layer the first packet of a key frame that has come behind later packets of it.
pub type LateKeyFrames = [Option<u64>; MAX_LAYERS];

/// What a track made of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// It waits; the bool tells whether the waiting list is full.
    Waiting { full: bool },
    /// The layer is out of range, or the packet is too old for the store.
    Refused,
}

impl Track {
    pub fn new(id: TrackId, kind: MediaKind) -> Self {
        Self {
            id,
            kind,
            subscriptions: Vec::new(),
            arriving: Vec::new(),
            sinks: Vec::new(),
            key_frames: KeyFrameRequests::default(),
            activity: LayerActivity::default(),
            clocks: [None; MAX_LAYERS],
            pending: Vec::with_capacity(MAX_PENDING),
            stores: [None, None, None],
            newest: [0; MAX_LAYERS],
            late_key_frames: [None; MAX_LAYERS],
        }
    }

    /// Keeps a packet and notes it for the next fan-out.
    pub fn insert(&mut self, meta: &MediaMeta, payload: &[u8]) -> Kept {
        let index = usize::from(meta.layer.0);
        let Some(slot) = self.stores.get_mut(index) else {
            return Kept::Refused;
        };
        let store = slot.get_or_insert_with(|| PacketStore::new(self.kind));
        if !store.insert(meta, payload) {
            return Kept::Refused;
        }
        if meta.switch_point && meta.codec.is_video() && meta.sequence < self.newest[index] {
            self.late_key_frames[index] = Some(meta.sequence);
        }
        self.newest[index] = self.newest[index].max(meta.sequence);
        self.pending.push(Pending {
            layer: meta.layer,
            sequence: meta.sequence,
        });
        Kept::Waiting {
            full: self.pending.len() >= MAX_PENDING,
        }
    }

    /// Keeps a packet that is not to be fanned out unless [`Self::release`] says so.
    pub fn hold(&mut self, meta: &MediaMeta, payload: &[u8]) {
        let index = usize::from(meta.layer.0);
        if let Some(slot) = self.stores.get_mut(index) {
            let store = slot.get_or_insert_with(|| PacketStore::new(self.kind));
            if store.insert(meta, payload) {
                self.newest[index] = self.newest[index].max(meta.sequence);
            }
        }
    }

    /// Notes the held packets right before `next`, received since `since`, for the next fan-out.
    pub fn release(&mut self, next: &MediaMeta, since: Instant) {
        let first = next.sequence.saturating_sub(MAX_RELEASED);
        for sequence in first..next.sequence {
            let held = self.packet(next.layer, sequence);
            let is_due = |it: &StoredPacket<'_>| {
                it.meta.stretch == next.stretch && it.meta.received_at >= since
            };
            if held.is_some_and(|it| is_due(&it)) {
                self.pending.push(Pending {
                    layer: next.layer,
                    sequence,
                });
            }
        }
    }

    /// Moves what waits into `scratch`, which is cleared first.
    pub fn take_pending(&mut self, scratch: &mut Vec<Pending>) {
        scratch.clear();
        scratch.append(&mut self.pending);
    }

    /// Key frames among what waits that begin behind packets which have come before.
    pub fn take_late_key_frames(&mut self) -> LateKeyFrames {
        std::mem::take(&mut self.late_key_frames)
    }

    /// What is held of a layer from `first` on, in order: at most `most` numbers, else nothing.
    pub fn held_from(
        &self,
        layer: Layer,
        first: u64,
        most: u64,
    ) -> impl Iterator<Item = Pending> + '_ {
        let newest = self.newest.get(usize::from(layer.0)).copied();
        let end = newest.map_or(first, |newest| newest + 1);
        let end = if end.saturating_sub(first) > most {
            first
        } else {
            end
        };
        let held = move |sequence: &u64| self.packet(layer, *sequence).is_some();
        let numbers = (first..end).filter(held);
        numbers.map(move |sequence| Pending { layer, sequence })
    }

    /// Layers of which a switch point waits.
    pub fn pending_switch_points(&self) -> [bool; MAX_LAYERS] {
        let mut layers = [false; MAX_LAYERS];
        for entry in &self.pending {
            let packet = self.packet(entry.layer, entry.sequence);
            let place = layers.get_mut(usize::from(entry.layer.0));
            if let (Some(packet), Some(place)) = (packet, place) {
                *place |= packet.meta.switch_point;
            }
        }
        layers
    }

    pub fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    pub fn packet(&self, layer: Layer, sequence: u64) -> Option<StoredPacket<'_>> {
        self.stores
            .get(usize::from(layer.0))?
            .as_ref()?
            .get(sequence)
    }

    /// The last packet before `sequence` that is held, at most `reach` numbers back.
    pub fn packet_before(
        &self,
        layer: Layer,
        sequence: u64,
        reach: u64,
    ) -> Option<StoredPacket<'_>> {
        (1..=reach).find_map(|back| self.packet(layer, sequence.checked_sub(back)?))
    }

    /// The packet whose extended sequence number ends in `low`.
    pub fn packet_by_low(&self, layer: Layer, low: u32) -> Option<StoredPacket<'_>> {
        let newest = *self.newest.get(usize::from(layer.0))?;
        let candidate = (newest & !0xffff_ffff) | u64::from(low);
        let sequence = if candidate > newest {
            candidate.checked_sub(1 << 32)?
        } else {
            candidate
        };
        self.packet(layer, sequence)
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
pub(crate) mod tests {
    use super::*;
    use crate::api::{Codec, ShardId};
    use std::time::Instant;

    #[test]
    fn keeps_layers_apart_and_reports_a_full_list() {
        let mut track = Track::new(TrackId::new(ShardId(0), 1), MediaKind::Video);
        let mut high = meta(70_000);
        high.layer = Layer(2);
        assert_eq!(
            track.insert(&meta(70_000), b"low"),
            Kept::Waiting { full: false }
        );
        assert_eq!(track.insert(&high, b"high"), Kept::Waiting { full: false });
        assert_eq!(
            track.packet(Layer(2), 70_000).expect("kept").payload,
            b"high"
        );
        assert_eq!(
            track.packet_by_low(Layer(0), 70_000).expect("kept").payload,
            b"low"
        );
        for sequence in 1..62 {
            assert_eq!(
                track.insert(&meta(70_000 + sequence), b""),
                Kept::Waiting { full: false }
            );
        }
        assert_eq!(
            track.insert(&meta(70_062), b""),
            Kept::Waiting { full: true }
        );
        let mut scratch = Vec::new();
        track.take_pending(&mut scratch);
        assert_eq!(scratch.len(), MAX_PENDING);
        assert!(!track.has_pending());
    }

    #[test]
    fn refuses_a_layer_out_of_range() {
        let mut track = Track::new(TrackId::new(ShardId(0), 1), MediaKind::Video);
        let mut odd = meta(70_000);
        odd.layer = Layer(3);
        assert_eq!(track.insert(&odd, b"x"), Kept::Refused);
        assert!(track.packet_by_low(Layer(3), 1).is_none());
    }

    pub(crate) fn meta(sequence: u64) -> MediaMeta {
        MediaMeta {
            track: TrackId::new(ShardId(0), 1),
            layer: Layer(0),
            payload_type: 96,
            codec: Codec::Vp8,
            marker: false,
            switch_point: true,
            sequence,
            timestamp: (sequence as u32).wrapping_mul(3_000),
            abs_capture_time: [0; 16],
            abs_capture_time_len: 0,
            stretch: 0,
            descriptor_len: 0,
            is_filler: false,
            frame: None,
            received_at: Instant::now(),
        }
    }
}
