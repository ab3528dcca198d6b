//! What is asked for, and when.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;

use super::{ms, start};
use crate::api::MediaKind;
use crate::receive::nack::NackGenerator;

const RTT: Duration = Duration::from_millis(100);

fn asked(nack: &mut NackGenerator, now: std::time::Instant) -> Vec<u16> {
    let mut out = Vec::new();
    nack.poll(now, RTT, &mut out);
    out
}

#[test]
fn reordering_is_not_loss() {
    let now = start();
    let mut nack = NackGenerator::new(MediaKind::Video);
    for extended in [100, 102, 103, 101, 104, 105] {
        nack.on_packet(now, extended);
        assert_eq!(asked(&mut nack, now), [0; 0]);
    }
    assert_eq!(asked(&mut nack, now + ms(50)), [0; 0]);
    assert_eq!(nack.poll_timeout(), None);
}

#[test]
fn a_gap_is_asked_for_after_10_ms_or_two_more_packets() {
    let now = start();
    let mut nack = NackGenerator::new(MediaKind::Video);
    nack.on_packet(now, 65_534);
    nack.on_packet(now, 65_538);
    assert_eq!(nack.poll_timeout(), Some(now + ms(10)));
    assert_eq!(asked(&mut nack, now + ms(9)), [0; 0]);
    assert_eq!(asked(&mut nack, now + ms(10)), [65_535, 0, 1]);

    nack.on_packet(now + ms(11), 65_540);
    nack.on_packet(now + ms(11), 65_541);
    assert_eq!(asked(&mut nack, now + ms(11)), [0; 0]);
    nack.on_packet(now + ms(12), 65_542);
    assert_eq!(nack.poll_timeout(), Some(now + ms(12)));
    assert_eq!(asked(&mut nack, now + ms(12)), [3]);
}

#[test]
fn each_gap_is_confirmed_by_the_packets_after_it() {
    let now = start();
    let mut nack = NackGenerator::new(MediaKind::Video);
    // 2 and 6 are missing; 5 confirms the first of them only.
    for extended in [1, 3, 4, 5, 7] {
        nack.on_packet(now, extended);
    }
    assert_eq!(asked(&mut nack, now), [2]);
    nack.on_packet(now + ms(1), 8);
    assert_eq!(asked(&mut nack, now + ms(1)), [0; 0]);
    nack.on_packet(now + ms(2), 9);
    assert_eq!(asked(&mut nack, now + ms(2)), [6]);
}

#[test]
fn requests_repeat_every_round_trip_and_end() {
    for (kind, tries) in [(MediaKind::Video, 10), (MediaKind::Audio, 3)] {
        let now = start();
        let mut nack = NackGenerator::new(kind);
        nack.on_packet(now, 1);
        nack.on_packet(now, 3);
        let mut times = Vec::new();
        while let Some(at) = nack.poll_timeout() {
            for sequence in asked(&mut nack, at) {
                assert_eq!(sequence, 2);
                times.push(at - now);
            }
        }
        let expected: Vec<_> = (0..tries).map(|try_| ms(10 + 150 * try_)).collect();
        assert_eq!(times, expected, "{kind:?}");
    }
}

#[test]
fn a_short_round_trip_does_not_hurry_requests() {
    let now = start();
    let mut nack = NackGenerator::new(MediaKind::Video);
    nack.on_packet(now, 1);
    nack.on_packet(now, 3);
    let mut out = Vec::new();
    nack.poll(now + ms(10), ms(1), &mut out);
    assert_eq!(out, [2]);
    assert_eq!(nack.poll_timeout(), Some(now + ms(30)));
}

#[test]
fn a_long_round_trip_is_learnt_from_the_answers() {
    let now = start();
    let mut out = Vec::new();
    let mut nack = NackGenerator::new(MediaKind::Video);
    nack.on_packet(now, 1);
    nack.on_packet(now, 3);
    nack.poll(now + ms(10), Duration::ZERO, &mut out);
    nack.on_packet(now + ms(210), 2);
    nack.on_packet(now + ms(300), 5);
    nack.poll(now + ms(310), Duration::ZERO, &mut out);
    assert_eq!(out, [2, 4]);
    assert_eq!(nack.poll_timeout(), Some(now + ms(310 + 300)));
    // What is known to be longer counts.
    let mut later = nack.clone();
    later.poll(now + ms(610), ms(400), &mut out);
    assert_eq!(later.poll_timeout(), Some(now + ms(610 + 600)));
}

#[test]
fn audio_is_not_asked_for_after_half_a_second() {
    let now = start();
    let mut nack = NackGenerator::new(MediaKind::Audio);
    nack.on_packet(now, 1);
    nack.on_packet(now, 3);
    assert_eq!(asked(&mut nack, now + ms(500)), [0; 0]);
    assert_eq!(nack.poll_timeout(), None);
}

#[test]
fn too_much_loss_is_a_key_frame() {
    let now = start();
    let mut out = Vec::new();
    let mut nack = NackGenerator::new(MediaKind::Video);
    nack.on_packet(now, 1);
    nack.on_packet(now, 3);
    nack.on_packet(now, 1_000);
    assert_eq!(nack.poll_timeout(), Some(now));
    assert!(nack.poll(now, RTT, &mut out));
    assert!(!nack.poll(now + ms(100), RTT, &mut out), "only once");
    assert_eq!(out, [0; 0]);

    // 300 packets missed one by one: the oldest 44 are given up.
    for extended in (1_000..1_602).step_by(2) {
        nack.on_packet(now, extended);
    }
    assert!(nack.poll(now + ms(10), RTT, &mut out));
    let expected: Vec<u16> = (1_001..1_600).step_by(2).skip(44).collect();
    assert_eq!(out, expected);

    // Nobody can send a key frame of audio.
    let mut nack = NackGenerator::new(MediaKind::Audio);
    nack.on_packet(now, 1);
    nack.on_packet(now, 1_000);
    assert!(!nack.poll(now + ms(10), RTT, &mut out));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Over any history: nothing is asked for that has come or was never due, no packet more than
    /// ten times, never more than 256 at once.
    #[test]
    fn only_missing_packets_are_asked_for(
        steps in prop::collection::vec((0_u64..12, -20_i64..25), 1..2_000),
    ) {
        let mut now = start();
        let mut nack = NackGenerator::new(MediaKind::Video);
        let mut highest = 100_000_u64;
        let mut received = BTreeSet::from([highest]);
        let mut requests = vec![0_u8; 65_536];
        nack.on_packet(now, highest);
        for (wait, step) in steps {
            now += ms(wait);
            let mut out = Vec::new();
            nack.poll(now, ms(5), &mut out);
            prop_assert!(out.len() <= 256);
            for sequence in out {
                let back = (highest as u16).wrapping_sub(sequence);
                prop_assert!(!received.contains(&(highest - u64::from(back))));
                requests[usize::from(sequence)] += 1;
                prop_assert!(requests[usize::from(sequence)] <= 10);
            }
            let extended = highest.saturating_add_signed(step);
            if extended > highest {
                highest = extended;
            }
            if received.insert(extended) {
                nack.on_packet(now, extended);
            }
        }
    }
}
