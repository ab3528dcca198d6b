//! The latest packets of one layer: payloads in one byte ring, shared by all its subscribers.
//!
//! Bounded by packets and by bytes; when full, the oldest packet gives way. Nothing is allocated
//! after the store has been made.

use crate::api::{MediaKind, MediaMeta};

/// A packet that is still held.
#[derive(Debug, Clone, Copy)]
pub struct StoredPacket<'a> {
    pub meta: &'a MediaMeta,
    pub payload: &'a [u8],
    /// The dependency descriptor; empty for most packets.
    pub descriptor: &'a [u8],
    /// Both in one piece, as other shards get them.
    pub bytes: &'a [u8],
}

#[derive(Debug, Clone)]
struct Slot {
    meta: MediaMeta,
    /// Where the payload starts, counted in bytes ever written.
    position: u64,
    len: u16,
}

/// Ring of packets, addressed by extended sequence number.
#[derive(Debug)]
pub struct PacketStore {
    slots: Box<[Option<Slot>]>,
    bytes: Box<[u8]>,
    written: u64,
}

/// Slots and bytes: about one second of speech, and one second of video at 3 Mbit/s.
const AUDIO_SIZE: (usize, usize) = (64, 16 * 1024);
const VIDEO_SIZE: (usize, usize) = (512, 384 * 1024);

impl PacketStore {
    pub fn new(kind: MediaKind) -> Self {
        let (slots, bytes) = match kind {
            MediaKind::Audio => AUDIO_SIZE,
            MediaKind::Video => VIDEO_SIZE,
        };
        Self {
            slots: vec![None; slots].into_boxed_slice(),
            bytes: vec![0; bytes].into_boxed_slice(),
            written: 0,
        }
    }

    /// Keeps a packet. One that is too old for the ring, or larger than it, is not kept.
    pub fn insert(&mut self, meta: &MediaMeta, payload: &[u8]) -> bool {
        if payload.len() > self.bytes.len() {
            return false;
        }
        let index = self.index(meta.sequence);
        if let Some(held) = &self.slots[index]
            && held.meta.sequence >= meta.sequence
        {
            return false;
        }
        let position = self.reserve(payload.len());
        let start = self.offset(position);
        self.bytes[start..start + payload.len()].copy_from_slice(payload);
        self.slots[index] = Some(Slot {
            meta: *meta,
            position,
            len: payload.len() as u16,
        });
        true
    }

    /// The packet of that extended sequence number, unless it has been overwritten.
    pub fn get(&self, sequence: u64) -> Option<StoredPacket<'_>> {
        let slot = self.slots[self.index(sequence)].as_ref()?;
        let intact = self.written - slot.position <= self.bytes.len() as u64;
        if slot.meta.sequence != sequence || !intact {
            return None;
        }
        let start = self.offset(slot.position);
        let bytes = &self.bytes[start..start + usize::from(slot.len)];
        let (descriptor, payload) =
            bytes.split_at_checked(usize::from(slot.meta.descriptor_len))?;
        Some(StoredPacket {
            meta: &slot.meta,
            payload,
            descriptor,
            bytes,
        })
    }

    /// Takes `len` bytes in one piece, skipping the end of the ring when they do not fit there.
    fn reserve(&mut self, len: usize) -> u64 {
        let left = self.bytes.len() - self.offset(self.written);
        if len > left {
            self.written += left as u64;
        }
        let position = self.written;
        self.written += len as u64;
        position
    }

    fn offset(&self, position: u64) -> usize {
        (position % self.bytes.len() as u64) as usize
    }

    fn index(&self, sequence: u64) -> usize {
        (sequence % self.slots.len() as u64) as usize
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;
    use crate::forward::track::tests::meta;

    #[test]
    fn returns_what_was_kept_until_it_is_overwritten() {
        let mut store = PacketStore::new(MediaKind::Video);
        for sequence in 1_000..3_000u64 {
            assert!(store.insert(&meta(sequence), &payload(sequence)));
            let held = store.get(sequence).expect("just inserted");
            assert_eq!(held.payload, payload(sequence));
        }
        let held: Vec<_> = (1_000..3_000).filter(|s| store.get(*s).is_some()).collect();
        assert!(held.len() >= 300 && held.len() <= 512, "{}", held.len());
        for sequence in held {
            let packet = store.get(sequence).expect("held");
            assert_eq!(
                packet.payload,
                payload(sequence),
                "packet {sequence} is torn"
            );
        }
    }

    #[test]
    fn late_packet_fills_its_own_gap_only() {
        let mut store = PacketStore::new(MediaKind::Audio);
        store.insert(&meta(100), b"a");
        store.insert(&meta(102), b"c");
        assert!(store.get(101).is_none());
        assert!(store.insert(&meta(101), b"b"));
        assert_eq!(store.get(101).expect("held").payload, b"b");
        assert!(!store.insert(&meta(102 - 64), b"too old"));
        assert_eq!(store.get(102).expect("held").payload, b"c");
    }

    #[test]
    fn refuses_what_is_larger_than_the_ring() {
        let mut store = PacketStore::new(MediaKind::Audio);
        assert!(!store.insert(&meta(1), &vec![0; 20_000]));
    }

    fn payload(sequence: u64) -> Vec<u8> {
        vec![sequence as u8; 200 + (sequence as usize * 37) % 1_000]
    }
}
