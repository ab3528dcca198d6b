//! Tests of RTP headers, extensions and payload formats.

mod corpora;
mod extensions;
mod headers;
mod payloads;
mod red;

pub(super) use self::corpora::samples;
use super::*;
use crate::api::Ssrc;

const FIELDS: OutHeader = OutHeader {
    payload_type: 111,
    marker: true,
    sequence: 0x1234,
    timestamp: 0x5678_9abc,
    ssrc: Ssrc(0xcafe_babe),
};

/// A packet of `FIELDS`, `extensions` and `payload`.
fn packet(extensions: &[(u8, &[u8])], payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0xee; 2_000];
    let len = write_header(&mut out, &FIELDS, extensions);
    assert_ne!(len, 0);
    out.truncate(len);
    out.extend_from_slice(payload);
    out
}
