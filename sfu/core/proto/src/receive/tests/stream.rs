//! Numbering, loss and jitter of one stream.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{ms, start};
use crate::api::Ssrc;
use crate::receive::stream::{Arrival, Stream};

fn stream() -> Stream {
    Stream::new(Ssrc(7), 90_000)
}

/// Takes packets a millisecond apart, each of a frame of its own.
fn feed(stream: &mut Stream, sequences: impl IntoIterator<Item = u16>) -> Vec<Arrival> {
    let now = start();
    (0..)
        .zip(sequences)
        .map(|(at, sequence)| stream.on_packet(now + ms(at), sequence, at as u32 * 90, 100, false))
        .collect()
}

fn new(extended: u64) -> Arrival {
    Arrival::New { extended }
}

#[test]
fn numbers_grow_over_the_rollover() {
    let mut stream = stream();
    let arrivals = feed(&mut stream, [65_534, 65_535, 0, 1, 65_535, 65_533]);
    assert_eq!(
        arrivals,
        [
            new(131_070),
            new(131_071),
            new(131_072),
            new(131_073),
            Arrival::Duplicate,
            new(131_069),
        ]
    );
    let block = stream.report_block(start()).expect("packets came");
    assert_eq!(block.highest_sequence, 65_537);
    assert_eq!((block.cumulative_lost, block.fraction_lost), (0, 0));
    assert_eq!((stream.packets(), stream.bytes()), (5, 500));
}

#[test]
fn packets_before_the_first_have_a_number() {
    let mut stream = stream();
    assert_eq!(
        feed(&mut stream, [2, 0, 65_535]),
        [new(65_538), new(65_536), new(65_535)]
    );
    assert_eq!(stream.packets_lost(), 0);
}

#[test]
fn a_gap_of_40_000_costs_one_packet() {
    let mut stream = stream();
    feed(&mut stream, 0..100);
    let arrivals = feed(&mut stream, [40_099, 40_100, 40_101]);
    assert_eq!(
        arrivals,
        [Arrival::TooOld, new(65_536 + 40_100), new(65_536 + 40_101)]
    );
    // A restart is no loss.
    assert_eq!(stream.packets_lost(), 0);
    // The first of them is welcome when it comes again.
    assert_eq!(
        stream.on_packet(start(), 40_099, 0, 100, true),
        new(65_536 + 40_099)
    );
}

#[test]
fn a_restart_behind_goes_on_above() {
    let mut stream = stream();
    feed(&mut stream, 30_000..30_100);
    let arrivals = feed(&mut stream, [5, 6, 7]);
    assert_eq!(
        arrivals,
        [Arrival::TooOld, new(131_072 + 6), new(131_072 + 7)]
    );
}

#[test]
fn strays_do_not_restart() {
    let mut stream = stream();
    feed(&mut stream, 0..10);
    let arrivals = feed(&mut stream, [30_000, 40_000, 10, 20_000, 11, 20_001]);
    assert_eq!(
        arrivals,
        [
            Arrival::TooOld,
            Arrival::TooOld,
            new(65_546),
            Arrival::TooOld,
            new(65_547),
            Arrival::TooOld,
        ]
    );
    // Nor do retransmissions, even in a row.
    for sequence in [20_000, 20_001, 20_002] {
        let arrival = stream.on_packet(start(), sequence, 0, 100, true);
        assert_eq!(arrival, Arrival::TooOld);
    }
}

#[test]
fn loss_counts_although_it_is_repaired() {
    let mut stream = stream();
    feed(&mut stream, (0..100).filter(|sequence| sequence % 4 != 1));
    assert_eq!(stream.on_packet(start(), 1, 0, 100, true), new(65_537));
    let block = stream.report_block(start()).expect("packets came");
    assert_eq!(block.cumulative_lost, 25);
    assert_eq!(block.fraction_lost, 64);
    assert_eq!(stream.packets(), 76);
    // The next interval has its own fraction.
    feed(&mut stream, 100..110);
    let block = stream.report_block(start()).expect("packets came");
    assert_eq!((block.cumulative_lost, block.fraction_lost), (25, 0));
    let block = stream.report_block(start()).expect("packets came");
    assert_eq!(block.fraction_lost, 0);
}

#[test]
fn steady_packets_have_no_jitter_and_late_ones_have() {
    let mut stream = stream();
    let now = start();
    for frame in 0..50 {
        stream.on_packet(
            now + ms(frame * 20),
            frame as u16,
            frame as u32 * 1_800,
            1,
            false,
        );
    }
    assert_eq!(stream.jitter(), 0);
    // Every other packet is 10 ms, 900 units, late: J converges to 900.
    for frame in 50..250 {
        let at = now + ms(frame * 20 + frame % 2 * 10);
        stream.on_packet(at, frame as u16, frame as u32 * 1_800, 1, false);
    }
    assert!(
        (880..=900).contains(&stream.jitter()),
        "{}",
        stream.jitter()
    );
    // Packets of one frame measure pacing, not the network; a clock that jumps neither.
    let before = stream.jitter();
    let at = now + ms(250 * 20);
    for packet in 0..20 {
        stream.on_packet(at + ms(packet), 250 + packet as u16, 900_000_000, 1, false);
    }
    assert_eq!(stream.jitter(), before);
}

#[test]
fn the_block_echoes_the_sender_report() {
    let mut stream = stream();
    let now = start();
    assert_eq!(stream.report_block(now), None, "nothing to report on");
    feed(&mut stream, [1]);
    let block = stream.report_block(now).expect("a packet came");
    assert_eq!(
        (
            block.last_sender_report,
            block.delay_since_last_sender_report
        ),
        (0, 0)
    );
    stream.on_sender_report(now, 0x1111_2222_3333_4444, 99);
    let block = stream.report_block(now + ms(250)).expect("a packet came");
    assert_eq!(block.last_sender_report, 0x2222_3333);
    assert_eq!(block.delay_since_last_sender_report, 65_536 / 4);
    assert_eq!(stream.last_sender_report().map(|clock| clock.rtp), Some(99));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// With reordering, loss and duplicates inside the window, every packet is new exactly once,
    /// under the number it was sent with.
    #[test]
    fn numbers_are_right_under_reordering(
        first: u16,
        packets in prop::collection::vec((0_u64..40, 0_u8..10), 1..3_000),
    ) {
        // Each packet is delayed by some places, lost (0) or doubled (1).
        let mut order: Vec<(u64, u64)> = Vec::new();
        for (number, (delay, fate)) in (0_u64..).zip(&packets) {
            if *fate != 0 {
                order.push((number + delay, number));
            }
            if *fate == 1 {
                order.push((number + delay + 20, number));
            }
        }
        order.sort();
        prop_assume!(!order.is_empty());
        let start_number = order[0].1;
        let base = 65_536 + u64::from(first.wrapping_add(start_number as u16));
        let mut stream = stream();
        let mut seen = BTreeSet::new();
        for (_, number) in &order {
            let sequence = first.wrapping_add(*number as u16);
            let arrival = stream.on_packet(start(), sequence, 0, 1, false);
            if seen.insert(*number) {
                prop_assert_eq!(arrival, new(base + number - start_number));
            } else {
                prop_assert_eq!(arrival, Arrival::Duplicate);
            }
        }
        prop_assert_eq!(stream.packets(), seen.len() as u64);
    }

    /// Any sequence numbers at all: numbers never repeat, and reports stay in range.
    #[test]
    fn any_numbers_are_survived(
        packets in prop::collection::vec(
            (prop_oneof![any::<u16>(), 0_u16..50, 65_500..=65_535_u16], any::<u32>(), any::<bool>()),
            0..500,
        ),
    ) {
        let mut stream = stream();
        let mut seen = BTreeSet::new();
        for (sequence, timestamp, retransmitted) in packets {
            match stream.on_packet(start(), sequence, timestamp, 1, retransmitted) {
                Arrival::New { extended } => {
                    prop_assert_eq!(extended as u16, sequence);
                    prop_assert!(seen.insert(extended));
                }
                Arrival::Duplicate | Arrival::TooOld => {}
            }
            stream.report_block(start());
        }
    }
}
