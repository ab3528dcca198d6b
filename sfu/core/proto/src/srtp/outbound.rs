//! Protecting what leaves a transport.
//!
//! The caller numbers RTP packets, so it passes the rollover counter and answers for never giving
//! one (SSRC, sequence, rollover counter) twice: with GCM that would reveal the authentication key. A
//! debug build checks it. RTCP is numbered here, once per transport.

use super::{Cipher, MAX_RTCP_INDEX, RTCP_HEADER_LEN, RTP_HEADER_LEN, SrtpError};

/// Set in the index word of an encrypted RTCP packet (RFC 3711, section 3.4).
const ENCRYPTED: u32 = 1 << 31;

/// The sending half of a transport's SRTP session.
pub struct Outbound {
    cipher: Cipher,
    next_rtcp_index: u32,
    #[cfg(debug_assertions)]
    sent: SentIndices,
}

impl Outbound {
    pub(super) fn new(cipher: Cipher) -> Self {
        Self {
            cipher,
            next_rtcp_index: 0,
            #[cfg(debug_assertions)]
            sent: SentIndices::default(),
        }
    }

    /// Encrypts the packet in `buf[..plain_len]` in place, appends the tag and returns the length of
    /// the result. `header_len` includes CSRCs and extensions; `roc` is the number of times that the
    /// sequence number has wrapped for this SSRC.
    ///
    /// Fails with `TooShort` when the lengths contradict each other, and with `NoRoom` when `buf`
    /// has no room for the tag; `buf` is then as it was.
    pub fn protect_rtp(
        &mut self,
        buf: &mut [u8],
        header_len: usize,
        plain_len: usize,
        roc: u32,
    ) -> Result<usize, SrtpError> {
        if header_len < RTP_HEADER_LEN || plain_len < header_len {
            return Err(SrtpError::TooShort);
        }
        let total = plain_len.saturating_add(self.cipher.tag_len());
        let packet = buf.get_mut(..total).ok_or(SrtpError::NoRoom)?;
        let sequence = u16::from_be_bytes([packet[2], packet[3]]);
        let ssrc = u32::from_be_bytes([packet[8], packet[9], packet[10], packet[11]]);
        let index = (u64::from(roc) << 16) | u64::from(sequence);
        #[cfg(debug_assertions)]
        self.sent.take_note(ssrc, index, &packet[..plain_len]);
        match &self.cipher {
            Cipher::Gcm(gcm) => gcm.seal_rtp(packet, header_len, ssrc, index)?,
            Cipher::Cm(cm) => cm.seal_rtp(packet, header_len, ssrc, index)?,
        }
        Ok(total)
    }

    /// Encrypts the compound RTCP packet in `buf[..plain_len]` in place, appends tag and index and
    /// returns the length of the result.
    ///
    /// Fails with `IndexExhausted` after 2^31 packets: the keys must not be used any longer.
    pub fn protect_rtcp(&mut self, buf: &mut [u8], plain_len: usize) -> Result<usize, SrtpError> {
        if plain_len < RTCP_HEADER_LEN {
            return Err(SrtpError::TooShort);
        }
        let total = plain_len.saturating_add(self.cipher.tag_len() + 4);
        let packet = buf.get_mut(..total).ok_or(SrtpError::NoRoom)?;
        let index = self.next_rtcp_index;
        if index > MAX_RTCP_INDEX {
            return Err(SrtpError::IndexExhausted);
        }
        self.next_rtcp_index = index + 1;
        match &self.cipher {
            Cipher::Gcm(gcm) => gcm.seal_rtcp(packet, index | ENCRYPTED)?,
            Cipher::Cm(cm) => cm.seal_rtcp(packet, index | ENCRYPTED)?,
        }
        Ok(total)
    }

    #[cfg(test)]
    pub(super) fn set_next_rtcp_index(&mut self, index: u32) {
        self.next_rtcp_index = index;
    }
}

/// What a debug build remembers, to catch a caller that repeats a nonce for another packet (the same
/// packet may be sent again: it encrypts to the same bytes). A release build does without: the
/// look-up would have to happen for every packet, and to outlive the stream.
#[cfg(debug_assertions)]
#[derive(Default)]
struct SentIndices {
    packets: std::collections::BTreeMap<(u32, u64), u64>,
}

#[cfg(debug_assertions)]
impl SentIndices {
    /// Packets remembered over all sources.
    const REMEMBERED: usize = 4_096;

    fn take_note(&mut self, ssrc: u32, index: u64, plain: &[u8]) {
        use std::hash::{DefaultHasher, Hash, Hasher};

        let mut hasher = DefaultHasher::new();
        plain.hash(&mut hasher);
        let digest = hasher.finish();
        let before = self.packets.insert((ssrc, index), digest);
        assert!(
            before.is_none_or(|before| before == digest),
            "nonce of SSRC {ssrc:#x}, index {index} reused"
        );
        if self.packets.len() > Self::REMEMBERED {
            self.packets.pop_first();
        }
    }
}
