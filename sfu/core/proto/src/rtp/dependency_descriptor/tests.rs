//! Descriptors written here bit by bit, hostile ones of other projects, and random ones.

use proptest::prelude::*;

use super::*;
use crate::rtp::tests::samples;
use Indication::{Discardable, NotPresent, Required, Switch};

/// Writes from the highest bit on.
#[derive(Default)]
struct Writer {
    bytes: Vec<u8>,
    used: usize,
}

impl Writer {
    fn number(&mut self, value: u32, count: usize) -> &mut Self {
        for shift in (0..count).rev() {
            if self.used.is_multiple_of(8) {
                self.bytes.push(0);
            }
            let bit = (value >> shift & 1) as u8;
            *self.bytes.last_mut().expect("just pushed") |= bit << (7 - self.used % 8);
            self.used += 1;
        }
        self
    }
}

/// Mandatory fields of a frame of one packet.
fn mandatory(template_id: u32, frame_number: u16) -> Writer {
    let mut writer = Writer::default();
    writer.number(0b11, 2).number(template_id, 6);
    writer.number(u32::from(frame_number), 16);
    writer
}

/// Two spatial layers of two temporal ones (L2T2, without temporal dependencies between spatial
/// layers spelt out), template ids from 60 on so that they wrap, one chain a spatial layer.
fn key_frame(frame_number: u16) -> Vec<u8> {
    let mut w = mandatory(60, frame_number);
    // Structure present, nothing else.
    w.number(0b10000, 5);
    w.number(60, 6).number(3, 5);
    // Layers: S0T0 S0T0 S0T1 S1T0 S1T0 S1T1 end.
    for step in [0, 1, 2, 0, 1, 3] {
        w.number(step, 2);
    }
    // Targets: S0T0, S0T1, S1T0, S1T1.
    for row in ["SSSS", "SSRR", "-D-R", "--SS", "--SS", "---D"] {
        for indication in row.chars() {
            w.number("-DSR".find(indication).expect("known") as u32, 2);
        }
    }
    // Frame differences: none, 4, 2, 1, 4 and 1, 2 and 1.
    for diffs in [&[][..], &[4], &[2], &[1], &[4, 1], &[2, 1]] {
        for diff in diffs {
            w.number(1, 1).number(diff - 1, 4);
        }
        w.number(0, 1);
    }
    // ns(5) of 2 chains, then ns(2) for each target.
    w.number(2, 2);
    for chain in [0, 0, 1, 1] {
        w.number(chain, 1);
    }
    for diffs in [[0, 0], [4, 3], [2, 1], [1, 1], [1, 1], [3, 2]] {
        w.number(diffs[0], 4).number(diffs[1], 4);
    }
    // Resolutions.
    w.number(1, 1);
    for size in [319, 179, 639, 359] {
        w.number(size, 16);
    }
    w.bytes
}

#[test]
fn a_key_frame_brings_the_meaning_of_later_frames() {
    let mut reader = Reader::default();
    let delta = mandatory(65 - 64, 8).bytes;
    assert_eq!(reader.read(&delta), None, "nothing is known yet");
    let key = reader.read(&key_frame(7)).expect("well formed");
    assert!(key.starts_frame && key.ends_frame && key.has_structure);
    assert_eq!(
        (key.frame_number, key.spatial_id, key.temporal_id),
        (7, 0, 0)
    );
    assert_eq!(key.indications[..4], [Switch; 4]);
    assert_eq!(key.chain_diffs[..2], [0, 0]);
    let structure = reader.structure().expect("just read");
    let targets: Vec<_> = structure.targets.iter().collect();
    let layers: Vec<_> = targets
        .iter()
        .map(|t| (t.spatial_id, t.temporal_id))
        .collect();
    assert_eq!(layers, [(0, 0), (0, 1), (1, 0), (1, 1)]);
    assert_eq!(
        targets.iter().map(|t| t.chain).collect::<Vec<_>>(),
        [0, 0, 1, 1]
    );
    assert_eq!(reader.active_targets(), 0b1111);

    // Template 65 modulo 64 is the sixth.
    let top = reader.read(&delta).expect("known now");
    assert_eq!((top.spatial_id, top.temporal_id), (1, 1));
    assert_eq!(
        top.indications[..4],
        [NotPresent, NotPresent, NotPresent, Discardable]
    );
    assert_eq!(top.chain_diffs[..2], [3, 2]);
    let base = reader.read(&mandatory(61, 9).bytes).expect("known");
    assert_eq!(base.indications[..4], [Switch, Switch, Required, Required]);
    assert_eq!(
        reader.read(&mandatory(2, 9).bytes),
        None,
        "no such template"
    );
}

#[test]
fn a_frame_may_differ_from_its_template() {
    let mut reader = Reader::default();
    reader.read(&key_frame(1)).expect("well formed");
    let mut w = mandatory(61, 2);
    w.number(0b01111, 5);
    w.number(0b0011, 4);
    for indication in [3, 2, 1, 0] {
        w.number(indication, 2);
    }
    // Frame differences of 4, 8 and 12 bits.
    for (nibbles, diff) in [(1, 3), (2, 200), (3, 4_000)] {
        w.number(nibbles, 2).number(diff, 4 * nibbles as usize);
    }
    w.number(0, 2);
    w.number(200, 8).number(100, 8);
    let frame = reader.read(&w.bytes).expect("well formed");
    assert_eq!(
        frame.indications[..4],
        [Required, Switch, Discardable, NotPresent]
    );
    assert_eq!(frame.chain_diffs[..2], [200, 100]);
    assert_eq!(reader.active_targets(), 0b0011);
    let next = reader.read(&mandatory(61, 3).bytes).expect("known");
    assert_eq!(
        next.chain_diffs[..2],
        [4, 3],
        "the template stays as it was"
    );
    assert_eq!(
        reader.active_targets(),
        0b0011,
        "until it is said otherwise"
    );
}

#[test]
fn a_descriptor_that_is_cut_short_changes_nothing() {
    let whole = key_frame(5);
    for len in 0..whole.len() {
        let mut reader = Reader::default();
        assert_eq!(reader.read(&whole[..len]), None, "{len} of {}", whole.len());
        assert!(reader.structure().is_none());
    }
}

#[test]
fn more_than_is_understood_is_refused() {
    let mut w = mandatory(0, 1);
    w.number(0b10000, 5).number(0, 6).number(31, 5);
    w.bytes.resize(255, 0);
    assert_eq!(Reader::default().read(&w.bytes), None, "32 targets");
    let mut w = mandatory(0, 1);
    w.number(0b10000, 5).number(0, 6).number(0, 5);
    for _ in 0..4 {
        w.number(2, 2);
    }
    w.bytes.resize(255, 0);
    assert_eq!(
        Reader::default().read(&w.bytes),
        None,
        "five spatial layers"
    );
}

#[test]
fn the_frame_number_can_be_replaced() {
    let mut reader = Reader::default();
    let mut value = key_frame(5);
    let before = reader.read(&value).expect("well formed");
    set_frame_number(&mut value, 0xabcd);
    let after = reader.read(&value).expect("well formed");
    assert_eq!(
        after,
        Descriptor {
            frame_number: 0xabcd,
            ..before
        }
    );
}

#[test]
fn hostile_descriptors_are_safe_at_every_length() {
    for sample in ["dependency-descriptor", "rtp", "any"]
        .map(samples)
        .concat()
    {
        let mut reader = Reader::default();
        for part in sample.chunks(255) {
            for len in 0..=part.len() {
                reader.read(&part[..len]);
            }
        }
        // Some begin with a length, as their fuzzer takes them apart.
        for part in sample.get(1..).unwrap_or_default().chunks(16) {
            reader.read(part);
        }
    }
}

proptest! {
    #[test]
    fn random_bytes_are_safe(values in prop::collection::vec(
        prop::collection::vec(any::<u8>(), 0..256), 1..8,
    )) {
        let mut reader = Reader::default();
        for value in values {
            if let Some(descriptor) = reader.read(&value) {
                prop_assert!(descriptor.spatial_id < 4 && descriptor.temporal_id < 4);
                let structure = reader.structure().expect("it has a meaning");
                prop_assert!((1..=MAX_TARGETS).contains(&structure.targets.len()));
                let chains = structure.chains.max(1);
                prop_assert!(structure.targets.iter().all(|t| t.chain < chains));
                prop_assert_eq!(reader.active_targets() & !structure.all_targets(), 0);
            }
        }
    }

    /// Random bits behind a beginning that makes sense reach the deeper fields.
    #[test]
    fn random_structures_are_safe(tail in prop::collection::vec(any::<u8>(), 0..200), targets in 0u32..16) {
        let mut w = mandatory(0, 1);
        w.number(0b11111, 5).number(0, 6).number(targets, 5).number(3, 2);
        w.bytes.extend(tail);
        Reader::default().read(&w.bytes);
    }
}
