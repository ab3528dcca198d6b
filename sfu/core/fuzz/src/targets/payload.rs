//! Payload headers of all codecs, and redundant audio.

use kinguicall_proto::api::Codec;
use kinguicall_proto::rtp::payload::{h264, is_switch_point, red, vp8, vp9};

use crate::input::Input;

const CODECS: [Codec; 7] = [
    Codec::Opus,
    Codec::Red,
    Codec::Vp8,
    Codec::H264,
    Codec::Vp9,
    Codec::Av1,
    Codec::Opaque,
];

pub fn run(data: &[u8]) {
    detect(data);
    check_vp8(data);
    check_h264(data);
    if let Some(descriptor) = vp9::Descriptor::parse(data) {
        let starts = vp9::starts_key_frame(data);
        assert!(!starts || (descriptor.starts_frame && !descriptor.inter_predicted));
    }
    check_red(Input(data));
}

/// A video packet that is empty is never a beginning; audio may start anywhere.
pub(super) fn detect(payload: &[u8]) {
    for codec in CODECS {
        let starts = is_switch_point(codec, payload);
        if codec.is_video() {
            assert!(!starts || payload.len() >= 2);
        } else {
            assert!(starts);
        }
    }
}

fn check_vp8(payload: &[u8]) {
    let Some(descriptor) = vp8::Descriptor::parse(payload) else {
        return;
    };
    assert!(descriptor.len < payload.len() && descriptor.len <= 6);
    let mut patched = payload.to_vec();
    descriptor.patch(&mut patched, Some(0x2a55), Some(0x99));
    assert_eq!(patched[descriptor.len..], payload[descriptor.len..]);
    let mut expected = descriptor;
    if let Some(picture_id) = &mut expected.picture_id {
        picture_id.value = if picture_id.is_long { 0x2a55 } else { 0x55 };
    }
    if let Some(tl0) = &mut expected.tl0_pic_idx {
        tl0.value = 0x99;
    }
    assert_eq!(vp8::Descriptor::parse(&patched), Some(expected));
    let old = (descriptor.picture_id, descriptor.tl0_pic_idx);
    let old = (old.0.map(|it| it.value), old.1.map(|it| it.value));
    expected.patch(&mut patched, old.0, old.1);
    assert_eq!(patched, payload);
}

/// A unit that starts a picture does so inside an aggregate, too.
fn check_h264(payload: &[u8]) {
    let Some(kind @ (5 | 7)) = payload.first().map(|it| it & 0x1f) else {
        return;
    };
    let Ok(size) = u16::try_from(payload.len()) else {
        return;
    };
    let mut aggregate = vec![24];
    aggregate.extend(size.to_be_bytes());
    aggregate.extend(payload);
    let starts = h264::starts_key_frame(payload);
    assert_eq!(h264::starts_key_frame(&aggregate), starts);
    let mut fragment = vec![28, 0x80 | kind];
    fragment.extend(&payload[1..]);
    assert_eq!(h264::starts_key_frame(&fragment), starts);
}

fn check_red(mut input: Input<'_>) {
    let (steps, ticks) = (u64::from(input.byte()), u32::from(input.u16()));
    let Some(payload) = red::Payload::parse(input.0) else {
        return;
    };
    assert_eq!(write_red(&payload), input.0);
    let own = (1_000 + steps, 90_000_u32.wrapping_add(ticks));
    let mut count = 0;
    for recovered in payload.recover((1_000, 90_000), own) {
        assert!(recovered.sequence > 1_000 && recovered.sequence < own.0);
        let age = own.1.wrapping_sub(recovered.timestamp);
        assert!(age > 0 && age < ticks);
        assert!(!recovered.block.payload.is_empty());
        count += 1;
    }
    assert!(count <= payload.redundant.len() && count <= red::MAX_REDUNDANT);
}

fn write_red(payload: &red::Payload<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    for block in &payload.redundant {
        let word = 0x8000_0000
            | u32::from(block.payload_type) << 24
            | u32::from(block.timestamp_offset) << 10
            | block.payload.len() as u32;
        out.extend(word.to_be_bytes());
    }
    out.push(payload.primary.payload_type);
    for block in &payload.redundant {
        out.extend(block.payload);
    }
    out.extend(payload.primary.payload);
    out
}
