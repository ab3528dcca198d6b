//! Header extensions: both forms, every kind, and garbage.

use proptest::prelude::*;

use super::*;
use crate::api::{ExtensionId, ExtensionKind, Mid, Rid};

const ALL: [ExtensionKind; 10] = [
    ExtensionKind::Mid,
    ExtensionKind::Rid,
    ExtensionKind::RepairedRid,
    ExtensionKind::AudioLevel,
    ExtensionKind::TransportCc,
    ExtensionKind::AbsSendTime,
    ExtensionKind::AbsCaptureTime,
    ExtensionKind::DependencyDescriptor,
    ExtensionKind::VideoOrientation,
    ExtensionKind::PlayoutDelay,
];

/// Every kind, at identifiers from `first` on in the order of `ALL`.
fn map_from(first: u8) -> ExtensionMap {
    let ids: Vec<_> = (first..)
        .zip(ALL)
        .map(|(id, kind)| ExtensionId { id, kind })
        .collect();
    ExtensionMap::new(&ids)
}

fn read(map: &ExtensionMap, packet: &[u8]) -> ParsedExtensions {
    map.read(packet, &Header::parse(packet).unwrap())
}

/// A packet whose extension block is `elements` as they are.
fn raw_packet(profile: u16, elements: &[u8]) -> Vec<u8> {
    assert_eq!(elements.len() % 4, 0);
    let mut bytes = packet(&[], b"");
    bytes[0] |= 0x10;
    bytes.extend_from_slice(&profile.to_be_bytes());
    bytes.extend_from_slice(&((elements.len() / 4) as u16).to_be_bytes());
    bytes.extend_from_slice(elements);
    bytes
}

#[test]
fn every_kind_is_read_in_both_forms() {
    for first in [1, 20] {
        let map = map_from(first);
        let id = |kind| map.id(kind).unwrap();
        let bytes = packet(
            &[
                (id(ExtensionKind::Mid), b"audio-0"),
                (id(ExtensionKind::Rid), b"h"),
                (id(ExtensionKind::RepairedRid), b"q"),
                (id(ExtensionKind::AudioLevel), &[0x80 | 37]),
                (id(ExtensionKind::TransportCc), &[0x12, 0x34]),
                (id(ExtensionKind::AbsSendTime), &[1, 2, 3]),
                (id(ExtensionKind::AbsCaptureTime), &[9; 8]),
                (id(ExtensionKind::DependencyDescriptor), &[0xd0, 0xd1, 0xd2]),
                (id(ExtensionKind::VideoOrientation), &[2]),
                (id(ExtensionKind::PlayoutDelay), &[4, 5, 6]),
            ],
            b"payload",
        );
        let parsed = read(&map, &bytes);
        let descriptor = parsed.dependency_descriptor.clone().unwrap();
        assert_eq!(bytes[descriptor], [0xd0, 0xd1, 0xd2]);
        let mut capture_time = [0; 16];
        capture_time[..8].fill(9);
        assert_eq!(
            parsed,
            ParsedExtensions {
                mid: Mid::new(b"audio-0"),
                rid: Rid::new(b"h"),
                repaired_rid: Rid::new(b"q"),
                audio_level: Some(AudioLevelExt {
                    voice: true,
                    level_dbov: 37
                }),
                transport_cc: Some(0x1234),
                abs_send_time: Some(0x01_0203),
                abs_capture_time: Some((capture_time, 8)),
                dependency_descriptor: parsed.dependency_descriptor.clone(),
                video_orientation: Some(2),
                playout_delay: Some([4, 5, 6]),
            }
        );
    }
}

#[test]
fn a_capture_time_with_clock_offset_keeps_both() {
    let map = map_from(1);
    let value: [u8; 16] = std::array::from_fn(|at| at as u8);
    let id = map.id(ExtensionKind::AbsCaptureTime).unwrap();
    let parsed = read(&map, &packet(&[(id, &value)], b""));
    assert_eq!(parsed.abs_capture_time, Some((value, 16)));
    let parsed = read(&map, &packet(&[(id, &value[..9])], b""));
    assert_eq!(parsed.abs_capture_time, None);
}

#[test]
fn unknown_identifiers_are_passed_over() {
    let map = ExtensionMap::new(&[
        ExtensionId {
            id: 3,
            kind: ExtensionKind::Mid,
        },
        ExtensionId {
            id: 0,
            kind: ExtensionKind::Rid,
        },
    ]);
    assert_eq!(map.id(ExtensionKind::Rid), None);
    let parsed = read(&map, &packet(&[(7, b"x"), (3, b"m"), (9, b"yy")], b""));
    assert_eq!(parsed.mid, Mid::new(b"m"));
}

#[test]
fn padding_may_stand_between_elements() {
    let map = map_from(1);
    let one_byte = raw_packet(0xbede, &[0, 0, 0x10, b'a', 0, 0x20, b'b', 0]);
    let two_byte = raw_packet(0x1007, &[0, 1, 1, b'a', 0, 2, 1, b'b']);
    for bytes in [one_byte, two_byte] {
        let parsed = read(&map, &bytes);
        assert_eq!((parsed.mid, parsed.rid), (Mid::new(b"a"), Rid::new(b"b")));
    }
}

#[test]
fn reserved_identifiers_end_a_one_byte_block() {
    let map = map_from(1);
    for reserved in [0xf0, 0x01] {
        let parsed = read(
            &map,
            &raw_packet(0xbede, &[0x10, b'a', reserved, 0x20, 0x20, b'b', 0, 0]),
        );
        assert_eq!((parsed.mid, parsed.rid), (Mid::new(b"a"), None));
    }
}

#[test]
fn an_element_that_leaves_the_block_is_dropped() {
    let map = map_from(1);
    let mut bytes = raw_packet(0xbede, &[0x10, b'a', 0x2f, b'b']);
    bytes.extend_from_slice(&[b'c'; 40]);
    let parsed = read(&map, &bytes);
    assert_eq!((parsed.mid, parsed.rid), (Mid::new(b"a"), None));
}

#[test]
fn other_profiles_hold_no_elements() {
    let parsed = read(&map_from(1), &raw_packet(0xabac, &[0x10, b'a', 0, 0]));
    assert_eq!(parsed, ParsedExtensions::default());
}

#[test]
fn tokens_may_be_filled_up_with_zeros() {
    let map = map_from(1);
    let parsed = read(&map, &packet(&[(1, b"ab\0\0"), (2, b"\0\0")], b""));
    assert_eq!((parsed.mid, parsed.rid), (Mid::new(b"ab"), None));
}

proptest! {
    #[test]
    fn elements_survive_both_forms(
        elements in prop::collection::vec(
            (1_u8..=255, prop::collection::vec(any::<u8>(), 0..40)),
            1..6,
        ),
    ) {
        // One kind for all identifiers: the last of them must be what is read.
        let ids: Vec<_> = elements
            .iter()
            .map(|(id, _)| ExtensionId { id: *id, kind: ExtensionKind::DependencyDescriptor })
            .collect();
        let borrowed: Vec<_> = elements.iter().map(|(id, value)| (*id, &value[..])).collect();
        let bytes = packet(&borrowed, b"payload");
        let range = read(&ExtensionMap::new(&ids), &bytes).dependency_descriptor.unwrap();
        prop_assert_eq!(&bytes[range], &elements.last().unwrap().1[..]);
    }

    #[test]
    fn arbitrary_blocks_never_panic(
        profile in prop::sample::select(&[0xbede_u16, 0x1000, 0x100f][..]),
        words in prop::collection::vec(any::<[u8; 4]>(), 0..30),
        first in 1_u8..240,
    ) {
        let bytes = raw_packet(profile, &words.concat());
        if let Some(range) = read(&map_from(first), &bytes).dependency_descriptor {
            prop_assert!(range.start >= 16 && range.end <= bytes.len());
        }
    }
}
