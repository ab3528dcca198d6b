//! What packets say of their layers, by either kind of descriptor.

use super::super::scalability::Scalability;
use crate::api::{Codec, Dependencies};

/// Picture id of 7 bits, layers, and one byte of the frame.
fn vp9(first: u8, layers: u8) -> Option<crate::api::ScalableFrame> {
    let payload = [0xa0 | first, 5, layers, 9, 1];
    Scalability::default().read(Codec::Vp9, None, &payload)
}

#[test]
fn vp9_tells_by_its_payload_descriptor() {
    let frame = vp9(0x48, 2 << 5 | 0x10 | 1 << 1 | 1).expect("it has layers");
    assert_eq!((frame.spatial_id, frame.temporal_id), (1, 2));
    assert!(frame.starts && !frame.ends);
    let layered = |temporal_switch, key| Dependencies::Layered {
        temporal_switch,
        key,
    };
    assert_eq!(frame.dependencies, layered(true, false));
    let key = vp9(0x04, 0).expect("it has layers");
    assert!(!key.starts && key.ends);
    assert_eq!(key.dependencies, layered(false, true));
}

#[test]
fn what_says_nothing_of_layers_has_none() {
    let mut stream = Scalability::default();
    assert_eq!(stream.read(Codec::Vp9, None, &[0x88, 5, 1]), None);
    assert_eq!(stream.read(Codec::Vp9, None, &[0xa8, 0x85]), None, "cut");
    assert_eq!(stream.read(Codec::Av1, None, &[0x18, 0x08]), None);
    assert_eq!(stream.read(Codec::Av1, Some(&[0xc0, 0, 1]), &[1]), None);
    assert_eq!(stream.read(Codec::Vp8, Some(&[0xc0, 0, 1]), &[1]), None);
}

#[test]
fn a_structure_of_one_target_is_read_from_the_descriptor() {
    let mut stream = Scalability::default();
    // Structure present; offset 0, one target, one template: switch; no differences; one chain
    // that protects the target, difference 0; no resolutions.
    let bits = "11000000 0000000000000111 10000 000000 00000 11 10 0 1 0000 0";
    let mut bytes = Vec::new();
    let digits: Vec<u8> = bits.bytes().filter(|b| *b != b' ').collect();
    for chunk in digits.chunks(8) {
        let byte = chunk.iter().fold(0u8, |byte, bit| byte << 1 | (bit - b'0'));
        bytes.push(byte << (8 - chunk.len()));
    }
    let frame = stream.read(Codec::Av1, Some(&bytes), &[1]);
    let frame = frame.expect("well formed");
    assert!(frame.starts && frame.ends);
    let Dependencies::Described(targets) = frame.dependencies else {
        panic!("it has a descriptor");
    };
    assert_eq!(
        (targets.frame_number, targets.count, targets.active),
        (7, 1, 1)
    );
    assert!(targets.has_chains);
    assert_eq!(targets.indication(0), crate::api::SWITCH);
    assert_eq!(targets.best(0, 0, |_| true), Some(0));
}
