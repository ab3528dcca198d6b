//! AES-GCM protection (RFC 7714): one pass for secrecy and integrity, no allocation.
//!
//! Each direction has a key and a salt for RTP and another pair for RTCP. The caller answers for
//! every (SSRC, index) being sealed once: a repeated nonce would give the authentication key away.

use arrayvec::ArrayVec;
use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use super::SrtpError;
use super::kdf::{Kdf, Label};
use super::{RTCP_HEADER_LEN, ssrc_of_rtcp};

pub(super) const TAG_LEN: usize = 16;
const SALT_LEN: usize = 12;

struct SaltedKey {
    key: LessSafeKey,
    salt: [u8; SALT_LEN],
}

impl SaltedKey {
    fn new(key: &[u8], salt: [u8; SALT_LEN]) -> Result<Self, SrtpError> {
        let algorithm = match key.len() {
            16 => &AES_128_GCM,
            32 => &AES_256_GCM,
            _ => return Err(SrtpError::KeyingMaterial),
        };
        let key = UnboundKey::new(algorithm, key).map_err(|_| SrtpError::Cipher)?;
        Ok(Self {
            key: LessSafeKey::new(key),
            salt,
        })
    }

    /// RFC 7714, sections 8.1 and 9.1: both are two zero bytes, the SSRC and 48 bits of index.
    fn nonce(&self, ssrc: u32, index: u64) -> Nonce {
        let block = (u128::from(ssrc) << 48) | u128::from(index);
        let mut iv = self.salt;
        for (byte, other) in iv.iter_mut().zip(&block.to_be_bytes()[4..]) {
            *byte ^= other;
        }
        Nonce::assume_unique_for_key(iv)
    }

    fn seal(
        &self,
        nonce: Nonce,
        aad: &[u8],
        data: &mut [u8],
        tag: &mut [u8],
    ) -> Result<(), SrtpError> {
        self.key
            .seal_in_place_scatter(nonce, Aad::from(aad), data, &[], tag)
            .map_err(|_| SrtpError::Cipher)
    }

    fn open(&self, nonce: Nonce, aad: &[u8], data: &mut [u8], tag: &[u8]) -> Result<(), SrtpError> {
        self.key
            .open_in_place_separate_tag(nonce, Aad::from(aad), tag, data)
            .map(|_| ())
            .map_err(|_| SrtpError::Authentication)
    }
}

/// GCM keys of one direction.
pub(super) struct Gcm {
    rtp: RtpKey,
    rtcp: SaltedKey,
}

/// A key takes 600 bytes once it is expanded, and most peers send no media.
enum RtpKey {
    Expanded(SaltedKey),
    Derived(Box<DerivedKey>),
}

struct DerivedKey {
    key: ArrayVec<u8, 32>,
    salt: [u8; SALT_LEN],
}

impl RtpKey {
    fn expanded(&self) -> Result<&SaltedKey, SrtpError> {
        match self {
            Self::Expanded(key) => Ok(key),
            Self::Derived(_) => Err(SrtpError::Cipher),
        }
    }
}

impl Gcm {
    /// `key_len` is 16 or 32. RTP takes a call of `expand_rtp_key` first.
    pub(super) fn derive(kdf: &Kdf, key_len: usize) -> Result<Self, SrtpError> {
        let derived = |key_label, salt_label| {
            let key: [u8; 32] = kdf.derive(key_label)?;
            let key = key.get(..key_len).ok_or(SrtpError::KeyingMaterial)?;
            Ok(DerivedKey {
                key: key.iter().copied().collect(),
                salt: kdf.derive(salt_label)?,
            })
        };
        let rtp = derived(Label::RtpEncryption, Label::RtpSalt)?;
        let rtcp = derived(Label::RtcpEncryption, Label::RtcpSalt)?;
        Ok(Self {
            rtp: RtpKey::Derived(Box::new(rtp)),
            rtcp: SaltedKey::new(&rtcp.key, rtcp.salt)?,
        })
    }

    /// To be called before the first RTP packet; costs little after that.
    #[inline]
    pub(super) fn expand_rtp_key(&mut self) -> Result<(), SrtpError> {
        if let RtpKey::Derived(derived) = &self.rtp {
            self.rtp = RtpKey::Expanded(SaltedKey::new(&derived.key, derived.salt)?);
        }
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn from_session_key(key: &[u8], salt: [u8; SALT_LEN]) -> Self {
        Self {
            rtp: RtpKey::Expanded(SaltedKey::new(key, salt).unwrap()),
            rtcp: SaltedKey::new(key, salt).unwrap(),
        }
    }

    /// `packet` is header, payload and room for the tag.
    pub(super) fn seal_rtp(
        &self,
        packet: &mut [u8],
        header_len: usize,
        ssrc: u32,
        index: u64,
    ) -> Result<(), SrtpError> {
        let parts = split(packet, header_len, TAG_LEN)?;
        let key = self.rtp.expanded()?;
        let nonce = key.nonce(ssrc, index);
        key.seal(nonce, parts.header, parts.data, parts.tail)
    }

    pub(super) fn open_rtp(
        &self,
        packet: &mut [u8],
        header_len: usize,
        ssrc: u32,
        index: u64,
    ) -> Result<(), SrtpError> {
        let parts = split(packet, header_len, TAG_LEN)?;
        let key = self.rtp.expanded()?;
        let nonce = key.nonce(ssrc, index);
        key.open(nonce, parts.header, parts.data, parts.tail)
    }

    /// `packet` is the RTCP packet and room for the tag and the index, which is `index_word`
    /// (RFC 7714, section 9.2: the tag comes before the index, which is authenticated).
    pub(super) fn seal_rtcp(&self, packet: &mut [u8], index_word: u32) -> Result<(), SrtpError> {
        let (aad, nonce) = self.rtcp_parts(packet, index_word)?;
        let parts = split(packet, RTCP_HEADER_LEN, TAG_LEN + 4)?;
        let (tag, word) = parts.tail.split_at_mut(TAG_LEN);
        word.copy_from_slice(&index_word.to_be_bytes());
        self.rtcp.seal(nonce, &aad, parts.data, tag)
    }

    pub(super) fn open_rtcp(&self, packet: &mut [u8], index_word: u32) -> Result<(), SrtpError> {
        let (aad, nonce) = self.rtcp_parts(packet, index_word)?;
        let parts = split(packet, RTCP_HEADER_LEN, TAG_LEN + 4)?;
        self.rtcp
            .open(nonce, &aad, parts.data, &parts.tail[..TAG_LEN])
    }

    /// Associated data and nonce of an RTCP packet.
    fn rtcp_parts(
        &self,
        packet: &[u8],
        index_word: u32,
    ) -> Result<([u8; RTCP_HEADER_LEN + 4], Nonce), SrtpError> {
        let header = packet.get(..RTCP_HEADER_LEN).ok_or(SrtpError::TooShort)?;
        let mut aad = [0; RTCP_HEADER_LEN + 4];
        aad[..RTCP_HEADER_LEN].copy_from_slice(header);
        aad[RTCP_HEADER_LEN..].copy_from_slice(&index_word.to_be_bytes());
        let index = u64::from(index_word & super::MAX_RTCP_INDEX);
        Ok((aad, self.rtcp.nonce(ssrc_of_rtcp(packet)?, index)))
    }
}

/// The parts of a packet: what is only authenticated, what is encrypted, and what follows.
struct Parts<'a> {
    header: &'a [u8],
    data: &'a mut [u8],
    tail: &'a mut [u8],
}

fn split(packet: &mut [u8], header_len: usize, tail_len: usize) -> Result<Parts<'_>, SrtpError> {
    let tail_at = packet
        .len()
        .checked_sub(tail_len)
        .filter(|at| *at >= header_len)
        .ok_or(SrtpError::TooShort)?;
    let (rest, tail) = packet.split_at_mut(tail_at);
    let (header, data) = rest.split_at_mut(header_len);
    Ok(Parts { header, data, tail })
}
