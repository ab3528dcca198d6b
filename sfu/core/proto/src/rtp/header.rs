//! The RTP header (RFC 3550, section 5.1), read from a packet that may still be encrypted: SRTP leaves
//! the header plain.

use std::ops::Range;

use super::RtpError;
use crate::api::Ssrc;

/// Bytes of a header without CSRCs and extensions.
pub const FIXED_HEADER_LEN: usize = 12;

/// Where a header's extension block is (RFC 3550, section 5.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExtensionBlock {
    /// The "defined by profile" field, which tells the one-byte from the two-byte form.
    pub profile: u16,
    /// Offset of the first element in the packet.
    pub start: usize,
    /// Bytes of all elements.
    pub len: usize,
}

/// A parsed header. It owns nothing: offsets are those of the packet that it was parsed from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    pub payload_type: u8,
    pub marker: bool,
    pub sequence: u16,
    pub timestamp: u32,
    pub ssrc: Ssrc,
    /// Bytes up to the payload: CSRCs and extensions included.
    pub header_len: usize,
    pub has_padding: bool,
    pub extension: Option<ExtensionBlock>,
}

impl Header {
    /// Reads the header of `packet`, encrypted or not. `header_len` never exceeds the packet.
    ///
    /// Fails with `Version` unless it is RTP version 2, and with `Truncated` when CSRCs or extensions
    /// reach beyond the end.
    pub fn parse(packet: &[u8]) -> Result<Self, RtpError> {
        let (fixed, _) = packet
            .split_first_chunk::<FIXED_HEADER_LEN>()
            .ok_or(RtpError::Truncated)?;
        if fixed[0] >> 6 != 2 {
            return Err(RtpError::Version);
        }
        let csrc_count = usize::from(fixed[0] & 0x0f);
        let mut header_len = FIXED_HEADER_LEN + 4 * csrc_count;
        let mut extension = None;
        if fixed[0] & 0x10 != 0 {
            let block = extension_block(packet, header_len)?;
            header_len = block.start + block.len;
            extension = Some(block);
        }
        if header_len > packet.len() {
            return Err(RtpError::Truncated);
        }
        Ok(Self {
            payload_type: fixed[1] & 0x7f,
            marker: fixed[1] & 0x80 != 0,
            sequence: u16::from_be_bytes([fixed[2], fixed[3]]),
            timestamp: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
            ssrc: Ssrc(u32::from_be_bytes([
                fixed[8], fixed[9], fixed[10], fixed[11],
            ])),
            header_len,
            has_padding: fixed[0] & 0x20 != 0,
            extension,
        })
    }

    /// The payload without padding, as a range of `packet`, of which `decrypted_len` bytes are
    /// header and plain payload. It is empty for a packet of padding only.
    ///
    /// Fails with `Padding` when the packet claims padding and its last byte is zero or more than
    /// there is, and with `Truncated` when the lengths contradict each other.
    pub fn payload_range(
        &self,
        decrypted_len: usize,
        packet: &[u8],
    ) -> Result<Range<usize>, RtpError> {
        let payload = packet
            .get(self.header_len..decrypted_len)
            .ok_or(RtpError::Truncated)?;
        if !self.has_padding {
            return Ok(self.header_len..decrypted_len);
        }
        let padding = usize::from(*payload.last().ok_or(RtpError::Padding)?);
        if padding == 0 || padding > payload.len() {
            return Err(RtpError::Padding);
        }
        Ok(self.header_len..decrypted_len - padding)
    }
}

fn extension_block(packet: &[u8], at: usize) -> Result<ExtensionBlock, RtpError> {
    let word = packet
        .get(at..)
        .and_then(|rest| rest.first_chunk::<4>())
        .ok_or(RtpError::Truncated)?;
    Ok(ExtensionBlock {
        profile: u16::from_be_bytes([word[0], word[1]]),
        start: at + 4,
        len: 4 * usize::from(u16::from_be_bytes([word[2], word[3]])),
    })
}
