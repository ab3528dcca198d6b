//! Redundant audio: which blocks a payload has, and which lost packets they stand for.

use proptest::prelude::*;

use super::payload::red::{Block, MAX_REDUNDANT, Payload};

/// A payload of copies (offset, frame), oldest first, and the primary frame.
fn red(copies: &[(u16, &[u8])], primary: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for (offset, frame) in copies {
        let word = 0x8000_0000 | 111 << 24 | u32::from(*offset) << 10 | frame.len() as u32;
        out.extend(word.to_be_bytes());
    }
    out.push(111);
    for (_, frame) in copies {
        out.extend_from_slice(frame);
    }
    out.extend_from_slice(primary);
    out
}

/// Sequence number, timestamp and frame of what `payload` recovers.
fn recovered(payload: &[u8], previous: (u64, u32), own: (u64, u32)) -> Vec<(u64, u32, Vec<u8>)> {
    let parsed = Payload::parse(payload).expect("well formed");
    let found = parsed.recover(previous, own);
    found
        .map(|it| (it.sequence, it.timestamp, it.block.payload.to_vec()))
        .collect()
}

#[test]
fn blocks_are_told_apart() {
    let payload = red(&[(1_920, b"older"), (960, b"old")], b"new");
    let parsed = Payload::parse(&payload).expect("well formed");
    let block = |timestamp_offset, payload| Block {
        payload_type: 111,
        timestamp_offset,
        payload,
    };
    assert_eq!(parsed.primary, block(0, b"new"));
    assert_eq!(
        parsed.redundant.as_slice(),
        [block(1_920, b"older".as_slice()), block(960, b"old")]
    );
    let alone = red(&[], b"new");
    let parsed = Payload::parse(&alone).expect("well formed");
    assert_eq!(
        (parsed.primary.payload, parsed.redundant.len()),
        (&b"new"[..], 0)
    );
}

#[test]
fn what_ends_too_early_is_refused() {
    let payload = red(&[(960, b"old")], b"");
    for len in 0..payload.len() {
        assert_eq!(Payload::parse(&payload[..len]), None, "{len}");
    }
    let copies = vec![(960, &b""[..]); MAX_REDUNDANT];
    assert!(Payload::parse(&red(&copies, b"new")).is_some());
    let copies = vec![(960, &b""[..]); MAX_REDUNDANT + 1];
    assert_eq!(Payload::parse(&red(&copies, b"new")), None);
}

#[test]
fn copies_take_the_places_of_lost_packets() {
    let payload = red(&[(1_920, b"older"), (960, b"old")], b"new");
    let older = (98, 96_080, b"older".to_vec());
    let old = (99, 97_040, b"old".to_vec());
    let own = (100, 98_000);
    assert_eq!(
        recovered(&payload, (97, 95_120), own),
        [older.clone(), old.clone()]
    );
    assert_eq!(
        recovered(&payload, (95, 93_200), own),
        [older, old.clone()],
        "more is missing than there are copies of"
    );
    assert_eq!(recovered(&payload, (98, 96_080), own), [old]);
    assert_eq!(recovered(&payload, (99, 97_040), own), []);
}

#[test]
fn a_pause_does_not_move_copies_to_other_packets() {
    let payload = red(&[(1_920, b"older"), (960, b"old")], b"new");
    let own = (100, 98_000);
    // One packet is missing, and only the younger copy can be its frame or both: both are not.
    let found = recovered(&payload, (98, 97_000 - 40), own);
    assert_eq!(found, [(99, 97_040, b"old".to_vec())]);
    // Two are missing after a pause of 400 ms: which copy is which cannot be told.
    assert_eq!(recovered(&payload, (97, 98_000 - 19_201), own), []);
}

#[test]
fn timestamps_and_places_wrap() {
    let payload = red(&[(960, b"old")], b"new");
    let found = recovered(&payload, (65_535, 0xffff_fe00), (65_537, 0x580));
    assert_eq!(found, [(65_536, 0x1c0, b"old".to_vec())]);
}

proptest! {
    #[test]
    fn any_bytes_are_survived(
        payload in prop::collection::vec(any::<u8>(), 0..300),
        previous in (0u64..70, any::<u32>()),
        own in (0u64..70, any::<u32>()),
    ) {
        if let Some(parsed) = Payload::parse(&payload) {
            let blocks: usize = parsed.redundant.iter().map(|it| it.payload.len()).sum();
            let headers = 4 * parsed.redundant.len() + 1;
            prop_assert_eq!(headers + blocks + parsed.primary.payload.len(), payload.len());
            for found in parsed.recover(previous, own) {
                prop_assert!(found.sequence > previous.0 && found.sequence < own.0);
            }
        }
    }

    #[test]
    fn what_is_written_is_read(
        copies in prop::collection::vec((0u16..0x4000, prop::collection::vec(any::<u8>(), 0..0x3ff)), 0..4),
        primary in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let copies: Vec<(u16, &[u8])> = copies.iter().map(|(at, it)| (*at, &it[..])).collect();
        let payload = red(&copies, &primary);
        let parsed = Payload::parse(&payload).expect("well formed");
        let read: Vec<_> = parsed.redundant.iter().map(|it| (it.timestamp_offset, it.payload)).collect();
        prop_assert_eq!(read, copies);
        prop_assert_eq!(parsed.primary.payload, &primary[..]);
    }
}
