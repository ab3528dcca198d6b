//! Payload formats: where streams can be joined, and VP8 renumbering.

use proptest::prelude::*;

use super::payload::{h264, is_switch_point, vp8};
use crate::api::Codec;

const VIDEO: [Codec; 4] = [Codec::Vp8, Codec::H264, Codec::Vp9, Codec::Av1];
const VP8_KEY_FRAME: [u8; 10] = [0x10, 0x02, 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0xe0, 0x01];

/// `descriptor` and the first bytes of a key frame.
fn vp8_key_frame(descriptor: &[u8]) -> Vec<u8> {
    [descriptor, &VP8_KEY_FRAME].concat()
}

#[test]
fn a_full_vp8_descriptor_is_read() {
    let payload = vp8_key_frame(&[0x90, 0xf0, 0xd2, 0x34, 0x07, 0xa0]);
    let parsed = vp8::Descriptor::parse(&payload).unwrap();
    assert_eq!(
        parsed,
        vp8::Descriptor {
            len: 6,
            picture_id: Some(vp8::PictureId {
                value: 0x5234,
                is_long: true,
                offset: 2
            }),
            tl0_pic_idx: Some(vp8::Tl0PicIdx {
                value: 7,
                offset: 4
            }),
            temporal_id: Some(2),
            layer_sync: true,
            starts_partition_0: true,
            key_frame: true,
        }
    );
}

#[test]
fn a_short_vp8_picture_id_is_read() {
    let payload = vp8_key_frame(&[0x90, 0x80, 0x11]);
    let parsed = vp8::Descriptor::parse(&payload).unwrap();
    assert_eq!(parsed.len, 3);
    assert_eq!(
        parsed.picture_id,
        Some(vp8::PictureId {
            value: 0x11,
            is_long: false,
            offset: 2
        })
    );
    assert_eq!((parsed.tl0_pic_idx, parsed.temporal_id), (None, None));
}

#[test]
fn a_key_index_alone_is_no_temporal_layer() {
    let payload = vp8_key_frame(&[0x90, 0x10, 0xff]);
    let parsed = vp8::Descriptor::parse(&payload).unwrap();
    assert_eq!((parsed.len, parsed.temporal_id), (3, None));
    assert!(!parsed.layer_sync);
}

#[test]
fn a_truncated_vp8_payload_is_no_key_frame() {
    for descriptor in [
        &[0x10][..],
        &[0x90, 0x00],
        &[0x90, 0x80, 0x11],
        &[0x90, 0xf0, 0xd2, 0x34, 0x07, 0xa0],
    ] {
        let payload = vp8_key_frame(descriptor);
        assert!(is_switch_point(Codec::Vp8, &payload));
        for len in 0..payload.len() {
            assert!(!is_switch_point(Codec::Vp8, &payload[..len]), "{len}");
        }
        for len in 0..=descriptor.len() {
            assert_eq!(vp8::Descriptor::parse(&payload[..len]), None);
        }
    }
}

#[test]
fn only_the_start_of_a_vp8_key_frame_is_a_switch_point() {
    let key_frame = |descriptor| is_switch_point(Codec::Vp8, &vp8_key_frame(&[descriptor]));
    assert!(key_frame(0x10));
    assert!(key_frame(0x30), "non-reference bit");
    assert!(!key_frame(0x00), "not the start of a partition");
    assert!(!key_frame(0x11), "partition 1");
    let mut inter_frame = vp8_key_frame(&[0x10]);
    inter_frame[1] |= 0x01;
    assert!(!is_switch_point(Codec::Vp8, &inter_frame));
    let mut no_start_code = vp8_key_frame(&[0x10]);
    no_start_code[4] = 0;
    assert!(!is_switch_point(Codec::Vp8, &no_start_code));
}

#[test]
fn vp8_fields_are_replaced_in_place() {
    let mut payload = vp8_key_frame(&[0x90, 0xf0, 0xd2, 0x34, 0x07, 0xa0]);
    let before = payload.clone();
    let parsed = vp8::Descriptor::parse(&payload).unwrap();
    parsed.patch(&mut payload, Some(0x7fff), Some(0xab));
    assert_eq!(payload[..6], [0x90, 0xf0, 0xff, 0xff, 0xab, 0xa0]);
    assert_eq!(payload[6..], before[6..]);
    let patched = vp8::Descriptor::parse(&payload).unwrap();
    assert_eq!(patched.picture_id.unwrap().value, 0x7fff);
    parsed.patch(&mut payload, Some(0x5234), Some(7));
    assert_eq!(payload, before);
    parsed.patch(&mut payload, None, None);
    assert_eq!(payload, before);
}

#[test]
fn a_short_vp8_picture_id_stays_short() {
    let mut payload = vp8_key_frame(&[0x90, 0x80, 0x11]);
    let parsed = vp8::Descriptor::parse(&payload).unwrap();
    parsed.patch(&mut payload, Some(0x01ff), Some(1));
    assert_eq!(payload, vp8_key_frame(&[0x90, 0x80, 0x7f]));
}

#[test]
fn h264_pictures_start_with_parameter_sets_or_idr() {
    let cases: [(&[u8], bool, &str); 15] = [
        (&[0x67, 0x42, 0xe0], true, "SPS"),
        (&[0x68, 0xce], false, "PPS"),
        (&[0x65, 0x88], true, "IDR slice"),
        (&[0x65, 0x48], false, "a later slice of an IDR picture"),
        (&[0x65], false, "IDR header only"),
        (&[0x67], false, "SPS header only"),
        (&[0x41, 0x9a], false, "P slice"),
        (&[0x78, 0, 2, 0x67, 0x42, 0, 2, 0x68, 0xce], true, "STAP-A"),
        (
            &[0x78, 0, 2, 0x68, 0xce, 0, 2, 0x65, 0x88],
            true,
            "IDR second",
        ),
        (&[0x78, 0, 2, 0x68, 0xce, 0, 2, 0x41, 0x9a], false, "no IDR"),
        (&[0x78, 0, 9, 0x67, 0x42], false, "STAP-A cut short"),
        (&[0x7c, 0x85, 0x88], true, "FU-A start of IDR"),
        (&[0x7c, 0x05, 0x88], false, "FU-A middle of IDR"),
        (&[0x7c, 0x81, 0x9a], false, "FU-A start of P slice"),
        (&[0x7c, 0x85], false, "FU-A headers only"),
    ];
    for (payload, expected, what) in cases {
        assert_eq!(h264::starts_key_frame(payload), expected, "{what}");
    }
}

#[test]
fn h264_empty_units_do_not_hang() {
    assert!(!h264::starts_key_frame(&[0x78; 1]));
    let mut payload = vec![0; 1_200];
    payload[0] = 0x78;
    assert!(!h264::starts_key_frame(&payload));
}

#[test]
fn vp9_key_frames_start_at_the_lowest_layer() {
    let cases: [(&[u8], bool, &str); 9] = [
        (&[0x08, 0x82], true, "start of an intra frame"),
        (&[0x48, 0x82], false, "inter-predicted"),
        (&[0x00, 0x82], false, "not the start"),
        (&[0x88, 0x81, 0x01, 0x82], true, "long picture id"),
        (&[0xa8, 0x01, 0x00, 0x82], true, "layer 0"),
        (&[0xa8, 0x01, 0x02, 0x82], false, "layer 1"),
        (&[0xa8, 0x01, 0x01, 0x82], false, "inter-layer predicted"),
        (&[0x88, 0x81], false, "cut in the picture id"),
        (&[0x08], false, "nothing behind the descriptor"),
    ];
    for (payload, expected, what) in cases {
        assert_eq!(is_switch_point(Codec::Vp9, payload), expected, "{what}");
    }
}

#[test]
fn av1_sequences_start_with_their_header() {
    let cases: [(&[u8], bool, &str); 8] = [
        (&[0x18, 0x0a, 0x0b], true, "one element, no length"),
        (&[0x28, 0x02, 0x0a, 0x0b, 0x30], true, "two elements"),
        (&[0x08, 0x02, 0x0a, 0x0b], true, "uncounted elements"),
        (&[0x10, 0x0a, 0x0b], false, "no new sequence"),
        (&[0x98, 0x0a, 0x0b], false, "continues an OBU"),
        (&[0x18, 0x30, 0x0b], false, "frame OBU first"),
        (&[0x28, 0x05, 0x0a, 0x0b], false, "element cut short"),
        (
            &[0x28, 0xff, 0xff, 0xff, 0xff, 0xff],
            false,
            "endless length",
        ),
    ];
    for (payload, expected, what) in cases {
        assert_eq!(is_switch_point(Codec::Av1, payload), expected, "{what}");
    }
}

#[test]
fn audio_may_start_anywhere_and_empty_video_nowhere() {
    for codec in [Codec::Opus, Codec::Red, Codec::Opaque] {
        assert!(is_switch_point(codec, &[]));
        assert!(is_switch_point(codec, &[1]));
    }
    for codec in VIDEO {
        assert!(!is_switch_point(codec, &[]));
    }
}

proptest! {
    #[test]
    fn arbitrary_payloads_never_panic(
        codec in prop::sample::select(&VIDEO[..]),
        mut payload in prop::collection::vec(any::<u8>(), 0..60),
        picture_id: u16,
        tl0: u8,
    ) {
        is_switch_point(codec, &payload);
        if let Some(parsed) = vp8::Descriptor::parse(&payload) {
            prop_assert!(parsed.len < payload.len());
            parsed.patch(&mut payload, Some(picture_id), Some(tl0));
            let patched = vp8::Descriptor::parse(&payload).unwrap();
            prop_assert_eq!(patched.len, parsed.len);
            if let Some(id) = patched.picture_id {
                let mask = if id.is_long { 0x7fff } else { 0x7f };
                prop_assert_eq!(id.value, picture_id & mask);
            }
            if let Some(idx) = patched.tl0_pic_idx {
                prop_assert_eq!(idx.value, tl0);
            }
        }
    }

    #[test]
    fn a_switch_point_survives_no_truncation_to_its_descriptor(
        codec in prop::sample::select(&VIDEO[..]),
        byte: u8,
    ) {
        prop_assert!(!is_switch_point(codec, &[byte]));
    }
}
