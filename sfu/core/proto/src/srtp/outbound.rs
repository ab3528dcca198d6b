//! Protecting what leaves a transport.
//!
//! No (SSRC, sequence number, rollover counter) may ever be given to two packets: with GCM that would
//! reveal the authentication key. So RTP is protected under the index that a
//! [`SendStream`](super::SendStream) gave; a debug build looks at the packets as well. RTCP is numbered
//! here, once per transport.

use super::{Cipher, MAX_RTCP_INDEX, PacketIndex, RTCP_HEADER_LEN, RTP_HEADER_LEN, SrtpError};

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
    /// the result. `header_len` includes CSRCs and extensions; the header has the sequence number and
    /// the SSRC of `index`.
    ///
    /// Fails with `TooShort` when the lengths contradict each other, and with `NoRoom` when `buf`
    /// has no room for the tag; `buf` is then as it was.
    #[inline]
    pub fn protect_rtp(
        &mut self,
        buf: &mut [u8],
        header_len: usize,
        plain_len: usize,
        index: PacketIndex,
    ) -> Result<usize, SrtpError> {
        debug_assert_eq!(buf.get(2..4), Some(&index.sequence().to_be_bytes()[..]));
        debug_assert_eq!(buf.get(8..12), Some(&index.ssrc().0.to_be_bytes()[..]));
        self.protect_rtp_numbered(buf, header_len, plain_len, index.rollover())
    }

    /// `protect_rtp` for clients of load tests and of the simulation, which number packets on their
    /// own: `roc` is the number of times that the sequence number has wrapped for this SSRC.
    pub fn protect_rtp_numbered(
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

/// What a debug build remembers, to catch a repeated nonce for another packet (the same packet may be
/// sent again: it encrypts to the same bytes). A release build does without: the look-up would have
/// to happen for every packet.
#[cfg(debug_assertions)]
#[derive(Default)]
struct SentIndices {
    packets: std::collections::BTreeMap<(u32, u64), u64>,
    /// The same, in the order in which they were first sent.
    order: std::collections::VecDeque<(u32, u64)>,
}

#[cfg(debug_assertions)]
impl SentIndices {
    /// Packets remembered over all sources: the last ones.
    const REMEMBERED: usize = 4_096;

    fn take_note(&mut self, ssrc: u32, index: u64, plain: &[u8]) {
        use std::hash::{DefaultHasher, Hash, Hasher};

        let mut hasher = DefaultHasher::new();
        plain.hash(&mut hasher);
        let digest = hasher.finish();
        match self.packets.insert((ssrc, index), digest) {
            Some(before) => assert!(
                before == digest,
                "nonce of SSRC {ssrc:#x}, index {index} reused"
            ),
            None => self.order.push_back((ssrc, index)),
        }
        if self.order.len() > Self::REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.packets.remove(&oldest);
        }
    }
}
