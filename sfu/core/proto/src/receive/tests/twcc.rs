//! Arrivals of a transport, as its feedback tells them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::{ms, start};
use crate::api::Ssrc;
use crate::receive::twcc::Recorder;
use crate::rtcp::{Packet, packets};

/// What one feedback says: `(sequence number, arrival in 250 µs)`.
type Told = Vec<(u16, Option<i64>)>;

fn poll(recorder: &mut Recorder, now: Instant) -> Vec<Told> {
    let mut all = Vec::new();
    let mut out = Vec::new();
    while recorder.poll(now, Ssrc(1), Ssrc(2), &mut out) {
        assert!(out.len() <= 1_100);
        let Some(Ok(Packet::TransportFeedback(feedback))) = packets(&out).next() else {
            panic!("not transport feedback");
        };
        let mut ticks = i64::from(feedback.reference_time) * 256;
        all.push(
            feedback
                .statuses()
                .map(|(sequence, delta)| {
                    let arrival = delta.map(|delta| {
                        ticks += i64::from(delta);
                        ticks
                    });
                    (sequence, arrival)
                })
                .collect(),
        );
        out.clear();
    }
    all
}

#[test]
fn one_feedback_each_50_ms() {
    let now = start();
    let mut recorder = Recorder::default();
    assert_eq!(recorder.poll_timeout(), None);
    recorder.on_packet(now, 65_535);
    recorder.on_packet(now + ms(5), 0);
    recorder.on_packet(now + ms(5), 0);
    recorder.on_packet(now + ms(7), 2);
    assert_eq!(recorder.poll_timeout(), Some(now + ms(50)));
    assert!(poll(&mut recorder, now + ms(49)).is_empty());
    assert_eq!(
        poll(&mut recorder, now + ms(50)),
        [vec![
            (65_535, Some(0)),
            (0, Some(20)),
            (1, None),
            (2, Some(28))
        ]]
    );
    assert_eq!(recorder.poll_timeout(), None, "nothing new has come");

    // What was lost between two feedbacks is told by the second.
    recorder.on_packet(now + ms(60), 4);
    assert_eq!(recorder.poll_timeout(), Some(now + ms(110)));
    assert_eq!(
        poll(&mut recorder, now + ms(110)),
        [vec![(3, None), (4, Some(240))]]
    );
}

#[test]
fn a_burst_takes_what_has_waited_for_30_ms_along() {
    let now = start();
    let mut recorder = Recorder::default();
    recorder.on_packet(now, 1);
    recorder.on_packet(now + ms(29), 2);
    assert_eq!(recorder.poll_timeout(), Some(now + ms(50)), "too early");
    recorder.on_packet(now + ms(33), 3);
    assert_eq!(recorder.poll_timeout(), Some(now + ms(50)), "no burst");
    recorder.on_packet(now + ms(43), 4);
    assert_eq!(recorder.poll_timeout(), Some(now + ms(43)));
    let told = poll(&mut recorder, now + ms(43));
    assert_eq!(told[0].len(), 4);
    assert_eq!(recorder.poll_timeout(), None);
}

#[test]
fn a_late_packet_is_told_with_what_followed_it() {
    let now = start();
    let mut recorder = Recorder::default();
    for sequence in [10, 11, 13] {
        recorder.on_packet(now, sequence);
    }
    poll(&mut recorder, now + ms(50));
    recorder.on_packet(now + ms(51), 12);
    assert_eq!(
        poll(&mut recorder, now + ms(101)),
        [vec![(12, Some(204)), (13, Some(0))]]
    );
}

#[test]
fn a_burst_is_told_at_once_and_in_several_packets() {
    let now = start();
    let mut recorder = Recorder::default();
    for packet in 0..1_000_u64 {
        recorder.on_packet(
            now + Duration::from_micros(packet * 250 * 300),
            packet as u16,
        );
        if packet == 510 {
            assert_eq!(recorder.poll_timeout(), Some(now + ms(50)));
        }
    }
    let told = poll(&mut recorder, now + ms(75_000));
    assert!(told.len() > 1);
    let all: Vec<_> = told.into_iter().flatten().collect();
    assert_eq!(all.len(), 1_000);
    assert!(all.iter().all(|(_, arrival)| arrival.is_some()));
}

#[test]
fn only_what_the_window_holds_is_told() {
    let now = start();
    let mut recorder = Recorder::default();
    for sequence in 0..3_000 {
        recorder.on_packet(now + ms(u64::from(sequence)), sequence);
    }
    let told: Told = poll(&mut recorder, now + ms(3_000))
        .into_iter()
        .flatten()
        .collect();
    let expected: Told = (1_976..3_000)
        .map(|sequence| (sequence, Some(i64::from(sequence) * 4)))
        .collect();
    assert_eq!(told, expected);
    // What has been told does not hurry the next feedback.
    recorder.on_packet(now + ms(3_000), 3_000);
    assert_eq!(recorder.poll_timeout(), Some(now + ms(3_050)));
}

#[test]
fn numbering_that_starts_again_is_followed() {
    let now = start();
    let mut recorder = Recorder::default();
    for sequence in 20_000..20_100 {
        recorder.on_packet(now, sequence);
    }
    poll(&mut recorder, now + ms(50));
    // Forwards at once; backwards after a few packets that could be strays.
    recorder.on_packet(now + ms(60), 40_000);
    assert_eq!(
        poll(&mut recorder, now + ms(110)),
        [vec![(40_000, Some(240))]]
    );
    for sequence in 10_000..10_005 {
        recorder.on_packet(now + ms(120), sequence);
    }
    let told: Vec<u16> = poll(&mut recorder, now + ms(170))
        .into_iter()
        .flatten()
        .map(|(sequence, _)| sequence)
        .collect();
    assert_eq!(told, [10_002, 10_003, 10_004]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Every packet that came is told at least once with its time, and none that did not.
    #[test]
    fn every_arrival_is_told(
        steps in prop::collection::vec((0_u64..20_000, prop_oneof![6 => Just(1_i32), 2 => -30_i32..30, 1 => 1_i32..900]), 1..800),
    ) {
        let begin = start();
        let mut now = begin;
        let mut recorder = Recorder::default();
        let mut sequence = 65_000_u16;
        let mut highest = 0_i32;
        let mut at = 0_i32;
        let mut arrived = BTreeMap::new();
        let mut told = BTreeMap::new();
        recorder.on_packet(now, sequence);
        arrived.insert(sequence, 0_i64);
        for (wait, step) in steps {
            now += Duration::from_micros(wait);
            if step > 30 {
                // The window holds what it is told in time, not what a leap pushes out of it.
                now += ms(50);
            }
            if recorder.poll_timeout().is_some_and(|due| due <= now) {
                told.extend(poll(&mut recorder, now).into_iter().flatten());
            }
            at += step;
            // Numbers must stay unique for this test, and late ones inside the window.
            if at > 65_000 {
                break;
            }
            if at < highest - 900 || at < 0 {
                at = highest + 1;
            }
            highest = highest.max(at);
            sequence = 65_000_u16.wrapping_add(at as u16);
            recorder.on_packet(now, sequence);
            arrived.entry(sequence).or_insert(((now - begin).as_micros() / 250) as i64);
        }
        told.extend(poll(&mut recorder, now + ms(50)).into_iter().flatten());
        let told: BTreeMap<_, _> = told
            .into_iter()
            .filter_map(|(sequence, arrival)| Some((sequence, arrival?)))
            .collect();
        prop_assert_eq!(told, arrived);
    }
}
