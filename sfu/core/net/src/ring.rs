//! Bounded single-producer, single-consumer ring that carries media, or datagrams, from one thread to
//! another.
//!
//! Slots are allocated once and packets are copied in and read in place. When the ring is full the
//! producer drops the packet: a late packet is worth less than the next one.

use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kinguicall_proto::api::MediaMeta;

/// Largest payload that a slot holds.
pub(crate) const MAX_PAYLOAD: usize = 1_500;
/// Slots of a ring: 50 ms of 20,000 packets a second.
pub(crate) const CAPACITY: usize = 1_024;

struct Slot<M> {
    meta: M,
    len: usize,
    payload: [u8; MAX_PAYLOAD],
}

/// Keeps the two counters on cache lines of their own.
#[repr(align(128))]
struct Padded(AtomicUsize);

struct Shared<M> {
    slots: Box<[MaybeUninit<UnsafeCell<Slot<M>>>]>,
    /// Packets ever taken, written by the consumer.
    taken: Padded,
    /// Packets ever put, written by the producer.
    put: Padded,
}

// SAFETY: a slot is written by the producer only while `put - taken < capacity` says that it is
// free, and read by the consumer only while `taken < put` says that it is filled; the counters are
// published with release and read with acquire.
unsafe impl<M: Send> Sync for Shared<M> {}
// SAFETY: the slots hold plain data.
unsafe impl<M: Send> Send for Shared<M> {}

impl<M> Shared<M> {
    fn slot(&self, position: usize) -> *mut Slot<M> {
        let index = position & (self.slots.len() - 1);
        UnsafeCell::raw_get(self.slots[index].as_ptr())
    }
}

/// The writing end. Not cloneable: one thread writes.
pub(crate) struct Producer<M = MediaMeta> {
    shared: Arc<Shared<M>>,
    put: usize,
    /// The consumer's counter as last seen, so that its cache line is read once per lap.
    taken_seen: usize,
}

/// The reading end. Not cloneable: one thread reads.
pub(crate) struct Consumer<M = MediaMeta> {
    shared: Arc<Shared<M>>,
    taken: usize,
}

/// A ring of `capacity` slots, rounded up to a power of two.
pub(crate) fn ring<M: Copy>(capacity: usize) -> (Producer<M>, Consumer<M>) {
    let shared = Arc::new(Shared {
        slots: Box::new_uninit_slice(capacity.next_power_of_two()),
        taken: Padded(AtomicUsize::new(0)),
        put: Padded(AtomicUsize::new(0)),
    });
    let producer = Producer {
        shared: Arc::clone(&shared),
        put: 0,
        taken_seen: 0,
    };
    (producer, Consumer { shared, taken: 0 })
}

impl<M: Copy> Producer<M> {
    /// Copies a packet in. Returns `false` when the ring is full or the payload does not fit.
    pub(crate) fn push(&mut self, meta: &M, payload: &[u8]) -> bool {
        if payload.len() > MAX_PAYLOAD {
            return false;
        }
        if self.put.wrapping_sub(self.taken_seen) >= self.shared.slots.len() {
            self.taken_seen = self.shared.taken.0.load(Ordering::Acquire);
            if self.put.wrapping_sub(self.taken_seen) >= self.shared.slots.len() {
                return false;
            }
        }
        let slot = self.shared.slot(self.put);
        // SAFETY: the slot is free, so the consumer does not touch it; fields are written through
        // raw pointers, as the slot may never have been initialised. The payload fits.
        unsafe {
            (&raw mut (*slot).meta).write(*meta);
            (&raw mut (*slot).len).write(payload.len());
            let bytes = (&raw mut (*slot).payload).cast::<u8>();
            bytes.copy_from_nonoverlapping(payload.as_ptr(), payload.len());
        }
        self.put = self.put.wrapping_add(1);
        self.shared.put.0.store(self.put, Ordering::Release);
        true
    }
}

impl<M: Copy> Consumer<M> {
    /// Shows the oldest packet to `read` and frees its slot. Returns `false` when there is none.
    pub(crate) fn pop(&mut self, read: impl FnOnce(&M, &mut [u8])) -> bool {
        if self.is_empty() {
            return false;
        }
        let slot = self.shared.slot(self.taken);
        // SAFETY: the slot is filled, so the producer does not touch it until `taken` moves on.
        // Only the first `len` bytes of the payload have been written, and only they are read.
        unsafe {
            let bytes = (&raw mut (*slot).payload).cast::<u8>();
            let payload = std::slice::from_raw_parts_mut(bytes, (*slot).len);
            read(&(*slot).meta, payload);
        }
        self.taken = self.taken.wrapping_add(1);
        self.shared.taken.0.store(self.taken, Ordering::Release);
        true
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.taken == self.shared.put.0.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use kinguicall_proto::api::{Layer, ShardId, TrackId};

    use super::*;

    fn meta(sequence: u64) -> MediaMeta {
        MediaMeta {
            track: TrackId::new(ShardId(1), 7),
            layer: Layer(2),
            payload_type: 96,
            codec: kinguicall_proto::api::Codec::Opaque,
            marker: true,
            switch_point: false,
            sequence,
            timestamp: 90_000,
            abs_capture_time: [0; 16],
            abs_capture_time_len: 0,
            stretch: 0,
            descriptor_len: 0,
            is_filler: false,
            frame: None,
            received_at: Instant::now(),
        }
    }

    #[test]
    fn packets_come_out_whole_and_in_order() {
        let (mut producer, mut consumer) = ring(4);
        for sequence in 0..3 {
            assert!(producer.push(&meta(sequence), &[sequence as u8; 3]));
        }
        for sequence in 0..3 {
            let taken = consumer.pop(|meta, payload| {
                assert_eq!(meta.sequence, sequence);
                assert_eq!(payload, [sequence as u8; 3]);
            });
            assert!(taken);
        }
        assert!(!consumer.pop(|_, _| ()));
    }

    #[test]
    fn a_full_ring_refuses_the_newest_and_goes_on_after_a_pop() {
        let (mut producer, mut consumer) = ring(2);
        assert!(producer.push(&meta(0), b"a"));
        assert!(producer.push(&meta(1), b"b"));
        assert!(!producer.push(&meta(2), b"c"));
        consumer.pop(|meta, _| assert_eq!(meta.sequence, 0));
        assert!(producer.push(&meta(3), b"d"));
        consumer.pop(|meta, _| assert_eq!(meta.sequence, 1));
        consumer.pop(|meta, payload| {
            assert_eq!(meta.sequence, 3);
            assert_eq!(payload, b"d");
        });
    }

    #[test]
    fn a_payload_over_a_slots_size_is_refused() {
        let (mut producer, consumer) = ring(2);
        assert!(producer.push(&meta(0), &[0; MAX_PAYLOAD]));
        assert!(!producer.push(&meta(1), &[0; MAX_PAYLOAD + 1]));
        assert!(!consumer.is_empty());
    }

    #[test]
    fn two_threads_exchange_packets_without_loss_or_mixing() {
        const PACKETS: u64 = 200_000;
        let (mut producer, mut consumer) = ring(64);
        let writer = std::thread::spawn(move || {
            let mut sequence = 0_u64;
            while sequence < PACKETS {
                let payload = sequence.to_be_bytes();
                if producer.push(&meta(sequence), &payload[..1 + (sequence % 8) as usize]) {
                    sequence += 1;
                } else {
                    std::thread::yield_now();
                }
            }
        });
        let mut expected = 0_u64;
        while expected < PACKETS {
            let taken = consumer.pop(|meta, payload| {
                assert_eq!(meta.sequence, expected);
                assert_eq!(
                    payload,
                    &expected.to_be_bytes()[..1 + (expected % 8) as usize]
                );
            });
            if taken {
                expected += 1;
            } else {
                std::thread::yield_now();
            }
        }
        writer.join().unwrap();
        assert!(consumer.is_empty());
    }
}
