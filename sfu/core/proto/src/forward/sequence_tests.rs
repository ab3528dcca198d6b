//! No hole where something was left out, and never one number for two packets.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::api::Ssrc;
use crate::srtp::SendStreams;
use proptest::prelude::*;

fn numbered_from(first: u16) -> SequenceMap {
    let stream = SendStreams::default().open(Ssrc(1), first);
    SequenceMap::new(stream.expect("a fresh SSRC"))
}

#[test]
fn a_switch_continues_without_a_gap() {
    let mut map = numbered_from(7);
    map.start(70_000);
    assert_eq!(out(&mut map, 70_000), Some(7));
    assert_eq!(out(&mut map, 70_002), Some(9));
    assert_eq!(out(&mut map, 70_001), Some(8));
    map.start(66_000);
    assert_eq!(out(&mut map, 66_000), Some(10));
    assert_eq!(out(&mut map, 65_999), None, "before the switch");
    assert_eq!(out(&mut map, 66_001), Some(11));
}

#[test]
fn a_huge_gap_is_closed_up_but_still_seen() {
    let mut map = numbered_from(0);
    map.start(65_536);
    assert_eq!(out(&mut map, 65_536), Some(0));
    assert_eq!(out(&mut map, 65_536 + 40_000), Some(2));
    assert_eq!(out(&mut map, 65_536 + 40_001), Some(3));
    assert_eq!(out(&mut map, 65_537), None, "older than the gap");
}

#[test]
fn nothing_is_mapped_before_the_start() {
    let mut map = numbered_from(0);
    assert_eq!(out(&mut map, 5), None);
    map.exclude(5, true);
    assert_eq!(out(&mut map, 6), None);
}

#[test]
fn what_is_left_out_leaves_no_gap() {
    let mut map = numbered_from(0);
    map.start(100);
    assert_eq!(out(&mut map, 100), Some(0));
    map.exclude(101, true);
    map.exclude(102, false);
    let next = map.map(103).expect("sent");
    assert_eq!((next.out, next.pictures_left_out), (1, 1));
}

#[test]
fn a_late_packet_is_shifted_by_what_was_left_out_before_it_only() {
    let mut map = numbered_from(0);
    map.start(100);
    out(&mut map, 100);
    map.exclude(102, true);
    assert_eq!(out(&mut map, 103), Some(2));
    let late = map.map(101).expect("sent");
    assert_eq!((late.out, late.pictures_left_out), (1, 0));
}

#[test]
fn a_late_packet_that_is_left_out_closes_up_while_it_can() {
    let mut map = numbered_from(0);
    map.start(100);
    out(&mut map, 100);
    map.exclude(102, true);
    map.exclude(101, false);
    assert_eq!(out(&mut map, 103), Some(1));
    assert_eq!(out(&mut map, 105), Some(3));
    map.exclude(104, true);
    assert_eq!(out(&mut map, 106), Some(4), "its number stays unused");
}

#[test]
fn the_record_is_bounded_and_what_it_has_forgotten_is_not_sent() {
    let mut map = numbered_from(0);
    map.start(0);
    out(&mut map, 0);
    for n in 0..200 {
        map.exclude(3 * n + 2, true);
        out(&mut map, 3 * n + 3);
    }
    assert!(map.exclusions.len() <= MAX_EXCLUSIONS);
    assert_eq!(out(&mut map, 1), None);
    assert_eq!(out(&mut map, 3 * 199 + 1), Some(2 * 199 + 1));
}

/// What happens to the next packet.
#[derive(Debug, Clone, Copy)]
enum Step {
    Send,
    Exclude,
    Hold,
    Switch,
    Jump(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => Just(Step::Send),
        6 => Just(Step::Exclude),
        3 => Just(Step::Hold),
        1 => Just(Step::Switch),
        1 => (1u64..5_000).prop_map(Step::Jump),
    ]
}

proptest! {
    /// Whatever is left out, held back and sent late: no outgoing number is used twice, and inside
    /// a stretch the order is kept.
    #[test]
    fn numbers_are_unique(
        steps in prop::collection::vec(step(), 1..600),
        late in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 0..40),
    ) {
        let mut map = numbered_from(0);
        let mut used = BTreeSet::new();
        let mut stretch = BTreeMap::new();
        let mut held = Vec::new();
        let mut late = late.into_iter();
        let mut source = 100_000;
        map.start(source);
        for step in steps {
            source += 1;
            match step {
                Step::Send => {
                    if let Some(to) = out(&mut map, source) {
                        prop_assert!(used.insert(to), "{to} used twice");
                        stretch.insert(source, to);
                    }
                }
                Step::Exclude => { map.exclude(source, true); }
                Step::Hold => held.push(source),
                Step::Switch => {
                    map.start(source);
                    stretch.clear();
                }
                Step::Jump(by) => source += by,
            }
            if let (true, Some((index, send))) = (!held.is_empty(), late.next()) {
                let chosen = held.remove(index.index(held.len()));
                if !send {
                    map.exclude(chosen, false);
                } else if let Some(to) = out(&mut map, chosen) {
                    prop_assert!(used.insert(to), "{to} used twice");
                    stretch.insert(chosen, to);
                }
            }
            prop_assert!(stretch.values().is_sorted(), "order");
        }
    }

    /// Without loss, what is left out is never seen: the numbers are consecutive.
    #[test]
    fn without_loss_there_is_no_hole(sent in prop::collection::vec(any::<bool>(), 1..500)) {
        let mut map = numbered_from(9);
        map.start(70_000);
        let mut expected = 9;
        for (source, send) in (70_000..).zip(sent) {
            if send {
                prop_assert_eq!(out(&mut map, source), Some(expected));
                expected += 1;
            } else {
                map.exclude(source, true);
            }
        }
    }
}

fn out(map: &mut SequenceMap, source: u64) -> Option<u64> {
    map.map(source).map(|mapped| mapped.out)
}

#[test]
fn exclusion_tells_whether_a_number_stays_unused() {
    let mut map = numbered_from(0);
    map.start(100);
    out(&mut map, 100);
    assert!(map.exclude(101, false));
    assert!(map.exclude(101, false), "again");
    out(&mut map, 103);
    assert!(!map.exclude(102, false), "its successor has left");
    assert!(map.is_behind(102) && !map.is_behind(104));
    assert_eq!(out(&mut map, 102), Some(1));
}

#[test]
fn the_source_of_a_number_is_found_again() {
    let mut map = SequenceMap::new(PlainNumbers::from(70_000));
    map.start(100);
    for source in (100..160).filter(|it| it % 7 < 5) {
        let mapped = map.map(source).expect("sent").out;
        assert_eq!(map.source_of(mapped), Some(source));
        for left_out in (source + 1..source + 3).filter(|it| it % 7 >= 5) {
            map.exclude(left_out, false);
        }
    }
    assert_eq!(map.source_of(70_004), Some(106));
    assert_eq!(map.source_of(70_000), Some(100));
    assert_eq!(map.source_of(69_999), None);
}
