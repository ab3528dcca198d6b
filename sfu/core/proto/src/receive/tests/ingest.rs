//! What a feed's packets become: numbers that close up, and what is asked for.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::{ms, start};
use crate::api::{Codec, Layer, MediaKind, MediaMeta, ReceiveCodec, Ssrc, TrackId};
use crate::receive::{Incoming, Ingest};
use crate::stats::DropReason;

const LOW: Layer = Layer(0);
const VP8: ReceiveCodec = ReceiveCodec {
    payload_type: 96,
    codec: Codec::Vp8,
    clock_rate_hz: 90_000,
    rtx_payload_type: None,
};
const FRAME: &[u8] = &[0x90, 0xe0, 0x80, 1, 0, 0x20, 0x11, 0, 0, 1, 2, 3];

fn ingest() -> Ingest {
    Ingest::new(TrackId(1), MediaKind::Video, true)
}

/// A frame of one packet.
fn media(sequence: u16) -> Incoming<'static> {
    Incoming {
        ssrc: Ssrc(7),
        sequence,
        timestamp: u32::from(sequence) * 3_000,
        marker: true,
        codec: Some(VP8),
        payload: FRAME,
        has_padding: false,
        is_repeat: false,
        descriptor: None,
        abs_capture_time: None,
    }
}

/// Padding behind the frame of number `frame`.
fn padding(sequence: u16, frame: u16) -> Incoming<'static> {
    Incoming {
        sequence,
        payload: &[],
        has_padding: true,
        marker: false,
        ..media(frame)
    }
}

fn take(ingest: &mut Ingest, packet: &Incoming<'_>) -> Option<MediaMeta> {
    let taken = ingest.on_packet(start(), LOW, packet).expect("taken");
    taken.packet.map(|packet| packet.meta)
}

/// Numbers after the first packet's, and whether each carries nothing.
fn numbers(packets: &[Incoming<'_>]) -> Vec<(u64, bool)> {
    let mut ingest = ingest();
    let first = take(&mut ingest, &media(99)).expect("forwarded").sequence;
    let taken = packets.iter().filter_map(|it| take(&mut ingest, it));
    taken
        .map(|it| (it.sequence - first, it.is_filler))
        .collect()
}

fn asked(ingest: &mut Ingest, now: Instant) -> Vec<u16> {
    let mut numbers = Vec::new();
    ingest.poll_nacks(now, ms(50), &mut Vec::new(), |ssrc, lost| {
        assert_eq!(ssrc, Ssrc(7));
        numbers.extend_from_slice(lost);
    });
    numbers
}

#[test]
fn padding_is_not_forwarded_and_numbers_close_up() {
    let packets = [
        padding(100, 99),
        padding(101, 99),
        media(102),
        padding(103, 102),
        media(104),
    ];
    assert_eq!(numbers(&packets), [(1, false), (2, false)]);
}

#[test]
fn reordered_padding_leaves_no_hole() {
    // Before what follows it: closed up. Behind it: the hole that receivers see is filled.
    let packets = [padding(101, 100), media(100), media(102)];
    assert_eq!(numbers(&packets), [(1, false), (2, false)]);
    let packets = [media(101), padding(100, 99), media(102)];
    assert_eq!(numbers(&packets), [(2, false), (1, true), (3, false)]);
}

#[test]
fn a_payload_type_that_is_not_forwarded_closes_up_too() {
    let mut other = media(100);
    other.codec = None;
    assert_eq!(numbers(&[other, media(101)]), [(1, false)]);
    let mut late = media(100);
    late.codec = None;
    assert_eq!(numbers(&[media(101), late]), [(2, false), (1, true)]);
}

#[test]
fn a_lost_packet_is_asked_for_and_lost_padding_is_not() {
    let mut ingest = ingest();
    take(&mut ingest, &media(99));
    // 101 is lost among the padding of the frame that ended with 99.
    for packet in [padding(100, 99), padding(102, 99)] {
        assert_eq!(take(&mut ingest, &packet), None);
    }
    let mut next = media(104);
    next.timestamp += 3_000;
    let first_number = take(&mut ingest, &next).expect("forwarded").sequence;
    assert_eq!(asked(&mut ingest, start() + ms(100)), [103]);
    let mut found = media(103);
    found.timestamp = next.timestamp;
    assert_eq!(
        take(&mut ingest, &found).map(|it| it.sequence),
        Some(first_number - 1)
    );
    assert_eq!(asked(&mut ingest, start() + Duration::from_secs(1)), [0; 0]);
}

#[test]
fn what_was_taken_for_lost_padding_is_late_afterwards() {
    let mut ingest = ingest();
    for packet in [media(99), padding(101, 99), media(102)] {
        take(&mut ingest, &packet);
    }
    let late = ingest.on_packet(start(), LOW, &media(100));
    assert_eq!(late.map(|_| ()), Err(DropReason::Duplicate));
}

#[test]
fn packets_before_the_first_one_are_taken() {
    let mut ingest = ingest();
    let first = take(&mut ingest, &media(3)).expect("forwarded").sequence;
    for (sequence, back) in [(2, 1), (65_535, 4), (65_000, 539)] {
        let meta = take(&mut ingest, &media(sequence)).expect("forwarded");
        assert_eq!(meta.sequence, first - back);
    }
}

#[test]
fn a_sender_that_alternates_between_two_ssrcs_is_held_to_one() {
    let mut ingest = ingest();
    let mut restarts = 0;
    let mut newest = 0;
    for n in 0..2_000u16 {
        let now = start() + ms(u64::from(n));
        let mut packet = media(n);
        packet.ssrc = Ssrc(7 + u32::from(n % 2));
        match ingest.on_packet(now, LOW, &packet) {
            Ok(taken) => {
                restarts += u32::from(taken.restarted);
                let sequence = taken.packet.expect("media").meta.sequence;
                assert!(sequence > newest, "a number was used twice");
                newest = sequence;
            }
            Err(reason) => assert_eq!(reason, DropReason::TooFast),
        }
    }
    assert_eq!(restarts, 4);
}

#[test]
fn nothing_begins_with_a_retransmission_or_beyond_the_layers() {
    let mut ingest = ingest();
    let mut repeat = media(1);
    repeat.is_repeat = true;
    assert!(ingest.on_packet(start(), LOW, &repeat).is_err());
    assert!(ingest.on_packet(start(), Layer(3), &media(1)).is_err());
    assert_eq!(ingest.streams().count(), 0);
}

#[test]
fn a_descriptor_that_is_not_understood_does_not_leave() {
    let mut ingest = ingest();
    let mut packet = media(1);
    packet.codec = Some(ReceiveCodec {
        codec: Codec::Av1,
        ..VP8
    });
    // Refers to a structure that has not come.
    packet.descriptor = Some(&[0xc0, 0, 5]);
    let taken = ingest.on_packet(start(), LOW, &packet).expect("taken");
    let packet = taken.packet.expect("forwarded");
    assert_eq!((packet.descriptor, packet.meta.frame), (None, None));
}

proptest! {
    /// However media and padding are mixed and reordered: no number is used twice, order is kept, and
    /// every number between two others is taken.
    #[test]
    fn numbers_are_dense_and_in_order(
        kinds in prop::collection::vec(any::<bool>(), 2..200),
        swaps in prop::collection::vec(0_usize..200, 0..30),
    ) {
        let mut order: Vec<usize> = (0..kinds.len()).collect();
        for at in swaps.into_iter().filter(|at| at + 1 < kinds.len()) {
            order.swap(at, at + 1);
        }
        let mut ingest = ingest();
        take(&mut ingest, &media(99));
        let mut by_source = std::collections::BTreeMap::new();
        for at in order {
            let sequence = 100 + at as u16;
            let frame = kinds[..at].iter().rposition(|it| *it).map_or(99, |it| 100 + it as u16);
            let packet = if kinds[at] { media(sequence) } else { padding(sequence, frame) };
            if let Some(meta) = take(&mut ingest, &packet) {
                prop_assert!(kinds[at] || meta.is_filler);
                by_source.insert(at, meta.sequence);
            }
        }
        let taken: Vec<u64> = by_source.into_values().collect();
        prop_assert!(taken.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{taken:?}");
        prop_assert!(taken.len() >= kinds.iter().filter(|it| **it).count());
    }
}
