//! Writing RTP headers: straight into the buffer that the packet leaves by.

use super::FIXED_HEADER_LEN;
use super::extension::{ONE_BYTE_PROFILE, TWO_BYTE_PROFILE};
use crate::api::Ssrc;

/// Fields of a header on its way out. It has neither CSRCs nor padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutHeader {
    /// Below 128.
    pub payload_type: u8,
    pub marker: bool,
    pub sequence: u16,
    pub timestamp: u32,
    pub ssrc: Ssrc,
}

/// Writes a header with `extensions` (identifier and value) to the start of `out` and returns its
/// length, or 0 when `out` is too short.
///
/// The one-byte form of RFC 8285 is taken when every element fits it (identifiers 1 to 14, values of 1
/// to 16 bytes), otherwise the two-byte form. An element that fits neither (identifier 0, a value over
/// 255 bytes) is left out.
pub fn write_header(out: &mut [u8], fields: &OutHeader, extensions: &[(u8, &[u8])]) -> usize {
    try_write(out, fields, extensions).unwrap_or(0)
}

fn try_write(out: &mut [u8], fields: &OutHeader, extensions: &[(u8, &[u8])]) -> Option<usize> {
    let fixed = out.first_chunk_mut::<FIXED_HEADER_LEN>()?;
    let has_extensions = extensions.iter().any(is_writable);
    fixed[0] = 0x80 | (u8::from(has_extensions) << 4);
    fixed[1] = (u8::from(fields.marker) << 7) | (fields.payload_type & 0x7f);
    fixed[2..4].copy_from_slice(&fields.sequence.to_be_bytes());
    fixed[4..8].copy_from_slice(&fields.timestamp.to_be_bytes());
    fixed[8..].copy_from_slice(&fields.ssrc.0.to_be_bytes());
    if !has_extensions {
        return Some(FIXED_HEADER_LEN);
    }
    let start = FIXED_HEADER_LEN + 4;
    let (profile, used) = write_elements(out.get_mut(start..)?, extensions)?;
    let padded = used.next_multiple_of(4);
    out.get_mut(start + used..start + padded)?.fill(0);
    let words = u16::try_from(padded / 4).ok()?;
    out[FIXED_HEADER_LEN..FIXED_HEADER_LEN + 2].copy_from_slice(&profile.to_be_bytes());
    out[FIXED_HEADER_LEN + 2..start].copy_from_slice(&words.to_be_bytes());
    Some(start + padded)
}

/// Writes all elements and returns the form's profile and the bytes taken.
fn write_elements(out: &mut [u8], extensions: &[(u8, &[u8])]) -> Option<(u16, usize)> {
    let one_byte = extensions
        .iter()
        .filter(|extension| is_writable(extension))
        .all(|(id, value)| *id <= 14 && (1..=16).contains(&value.len()));
    let mut at = 0;
    for (id, value) in extensions.iter().filter(|extension| is_writable(extension)) {
        if one_byte {
            *out.get_mut(at)? = (id << 4) | (value.len() - 1) as u8;
            at += 1;
        } else {
            out.get_mut(at..at + 2)?
                .copy_from_slice(&[*id, value.len() as u8]);
            at += 2;
        }
        out.get_mut(at..at + value.len())?.copy_from_slice(value);
        at += value.len();
    }
    let profile = if one_byte {
        ONE_BYTE_PROFILE
    } else {
        TWO_BYTE_PROFILE
    };
    Some((profile, at))
}

fn is_writable((id, value): &(u8, &[u8])) -> bool {
    *id != 0 && value.len() <= 255
}
