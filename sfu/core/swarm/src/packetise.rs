//! Encoded frames into RTP payloads: VP8 (RFC 7741), H.264 (RFC 6184) and Opus (RFC 7587).
//!
//! Parts of a frame are of nearly equal size, as libwebrtc makes them. A VP8 descriptor is written
//! with room for the running numbers that its sender fills in.

use std::ops::Range;

/// Most bytes of a payload: with header, extensions and tag below 1,200.
pub(crate) const MAX_PAYLOAD: usize = 1_120;

/// Bytes of the descriptor: X, I, L and T, a 15-bit picture id, TL0PICIDX, TID.
const VP8_DESCRIPTOR: usize = 6;
const NAL_IDR: u8 = 5;
const NAL_SPS: u8 = 7;
const NAL_PPS: u8 = 8;
const NAL_STAP_A: u8 = 24;
const NAL_FU_A: u8 = 28;

/// Payloads, one after the other in `bytes`.
#[derive(Debug, Default)]
pub(crate) struct Payloads {
    pub bytes: Vec<u8>,
    pub ranges: Vec<Range<usize>>,
}

impl Payloads {
    fn push(&mut self, parts: &[&[u8]]) {
        let start = self.bytes.len();
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
        self.ranges.push(start..self.bytes.len());
    }
}

pub(crate) fn opus(frame: &[u8], out: &mut Payloads) {
    out.push(&[frame]);
}

pub(crate) fn vp8(frame: &[u8], out: &mut Payloads) {
    for (index, part) in even_parts(frame, MAX_PAYLOAD - VP8_DESCRIPTOR).enumerate() {
        let start_of_partition = if index == 0 { 0x10 } else { 0 };
        let descriptor = [0x80 | start_of_partition, 0xe0, 0x80, 0, 0, 0];
        out.push(&[&descriptor, part]);
    }
}

/// Fills in the numbers of a VP8 payload made by [`vp8`].
pub(crate) fn number_vp8(payload: &mut [u8], picture_id: u16, tl0_pic_idx: u8) {
    if let Some(numbers) = payload.get_mut(2..5) {
        let [high, low] = (picture_id | 0x8000).to_be_bytes();
        numbers.copy_from_slice(&[high, low, tl0_pic_idx]);
    }
}

/// `frame` is in the byte stream format of H.264, annex B. Parameter sets share a packet; larger
/// units are cut.
pub(crate) fn h264(frame: &[u8], out: &mut Payloads) {
    let mut sets: Vec<&[u8]> = Vec::new();
    for unit in units(frame) {
        let kind = unit[0] & 0x1f;
        if matches!(kind, NAL_SPS | NAL_PPS) {
            sets.push(unit);
            continue;
        }
        if kind == NAL_IDR && !sets.is_empty() {
            aggregate(&sets, out);
            sets.clear();
        }
        if unit.len() <= MAX_PAYLOAD {
            out.push(&[unit]);
            continue;
        }
        let parts: Vec<_> = even_parts(&unit[1..], MAX_PAYLOAD - 2).collect();
        for (index, part) in parts.iter().enumerate() {
            let first = if index == 0 { 0x80 } else { 0 };
            let last = if index + 1 == parts.len() { 0x40 } else { 0 };
            let header = [(unit[0] & 0x60) | NAL_FU_A, first | last | kind];
            out.push(&[&header, part]);
        }
    }
}

fn aggregate(units: &[&[u8]], out: &mut Payloads) {
    let mut payload = vec![0x60 | NAL_STAP_A];
    for unit in units {
        payload.extend_from_slice(&(unit.len() as u16).to_be_bytes());
        payload.extend_from_slice(unit);
    }
    out.push(&[&payload]);
}

/// NAL units between start codes of three or four bytes, none of them empty.
fn units(stream: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut starts: Vec<usize> = Vec::new();
    let mut at = 0;
    while at + 3 <= stream.len() {
        if stream[at..at + 3] == [0, 0, 1] {
            starts.push(at + 3);
            at += 3;
        } else {
            at += 1;
        }
    }
    let ends: Vec<usize> = starts
        .iter()
        .skip(1)
        .map(|next| next - 3)
        .chain([stream.len()])
        .collect();
    starts.into_iter().zip(ends).filter_map(|(start, end)| {
        let unit = &stream[start..end];
        // A unit ends with a one bit: zeros behind it belong to the next start code.
        let len = unit.iter().rposition(|byte| *byte != 0)? + 1;
        Some(&unit[..len])
    })
}

fn even_parts(bytes: &[u8], max: usize) -> impl Iterator<Item = &[u8]> {
    let count = bytes.len().div_ceil(max).max(1);
    (0..count).map(move |index| {
        let edge = |part: usize| bytes.len() * part / count;
        &bytes[edge(index)..edge(index + 1)]
    })
}

#[cfg(test)]
mod tests {
    use kinguicall_proto::api::Codec;
    use kinguicall_proto::rtp::payload::{is_switch_point, vp8::Descriptor};

    use super::*;

    fn payloads(make: impl Fn(&mut Payloads)) -> Vec<Vec<u8>> {
        let mut out = Payloads::default();
        make(&mut out);
        let payload = |range: &Range<usize>| out.bytes[range.clone()].to_vec();
        out.ranges.iter().map(payload).collect()
    }

    #[test]
    fn a_vp8_key_frame_is_cut_evenly_and_its_start_is_found() {
        let mut frame = vec![7; 3_000];
        frame[..6].copy_from_slice(&[0x10, 0, 0, 0x9d, 0x01, 0x2a]);
        let mut cut = payloads(|out| vp8(&frame, out));
        assert_eq!(cut.len(), 3);
        assert!(cut.iter().all(|p| p.len() == 1_000 + VP8_DESCRIPTOR));
        let starts: Vec<_> = cut.iter().map(|p| is_switch_point(Codec::Vp8, p)).collect();
        assert_eq!(starts, [true, false, false]);
        number_vp8(&mut cut[1], 0x1234, 9);
        let read = Descriptor::parse(&cut[1]).unwrap();
        assert_eq!(read.picture_id.map(|id| id.value), Some(0x1234));
        assert_eq!(read.tl0_pic_idx.map(|it| it.value), Some(9));
        let rest: Vec<u8> = cut
            .iter()
            .flat_map(|p| p[VP8_DESCRIPTOR..].to_vec())
            .collect();
        assert_eq!(rest, frame);
    }

    #[test]
    fn h264_parameter_sets_travel_together_and_a_large_picture_is_cut() {
        let mut idr = vec![0x65, 0x88];
        idr.extend(vec![3; 2_500]);
        let mut frame = vec![0, 0, 0, 1, 0x67, 1, 2, 3, 0, 0, 0, 1, 0x68, 4, 0, 0, 1];
        frame.extend(&idr);
        let cut = payloads(|out| h264(&frame, out));
        assert_eq!(cut[0], [0x78, 0, 4, 0x67, 1, 2, 3, 0, 2, 0x68, 4]);
        assert_eq!(cut.len(), 4);
        assert!(is_switch_point(Codec::H264, &cut[0]));
        assert_eq!([cut[1][1], cut[2][1], cut[3][1]], [0x85, 0x05, 0x45]);
        let rest: Vec<u8> = cut[1..].iter().flat_map(|p| p[2..].to_vec()).collect();
        assert_eq!(rest, idr[1..]);
        let small = payloads(|out| h264(&[0, 0, 1, 0x41, 9, 0], out));
        assert_eq!(small, [[0x41, 9]]);
    }
}
