//! AES counter mode with HMAC-SHA1-80 (RFC 3711, sections 4.1.1 and 4.2.1).
//!
//! The tag is checked before anything is decrypted, so a forged packet stays as it came.

use aws_lc_rs::cipher::EncryptingKey;
use aws_lc_rs::{constant_time, hmac};

use super::SrtpError;
use super::kdf::{Kdf, Label, apply_key_stream, counter_mode_key};
use super::{MAX_RTCP_INDEX, RTCP_HEADER_LEN, ssrc_of_rtcp};

pub(super) const TAG_LEN: usize = 10;
const SALT_LEN: usize = 14;
const AUTH_KEY_LEN: usize = 20;

struct KeySet {
    key: EncryptingKey,
    salt: [u8; SALT_LEN],
    auth: hmac::Key,
}

impl KeySet {
    fn new(
        key: [u8; 16],
        salt: [u8; SALT_LEN],
        auth: [u8; AUTH_KEY_LEN],
    ) -> Result<Self, SrtpError> {
        Ok(Self {
            key: counter_mode_key(&key)?,
            salt,
            auth: hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &auth),
        })
    }

    /// Encrypts or decrypts: counter mode does not tell them apart.
    fn apply(&self, ssrc: u32, index: u64, data: &mut [u8]) -> Result<(), SrtpError> {
        let block = (u128::from(ssrc) << 64) | (u128::from(index) << 16);
        let mut iv = block.to_be_bytes();
        for (byte, salt) in iv.iter_mut().zip(&self.salt) {
            *byte ^= salt;
        }
        apply_key_stream(&self.key, iv, data)
    }

    fn tag(&self, message: &[u8], suffix: &[u8]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.auth);
        context.update(message);
        context.update(suffix);
        context.sign()
    }

    fn verify(&self, message: &[u8], suffix: &[u8], tag: &[u8]) -> Result<(), SrtpError> {
        let expected = self.tag(message, suffix);
        constant_time::verify_slices_are_equal(&expected.as_ref()[..TAG_LEN], tag)
            .map_err(|_| SrtpError::Authentication)
    }
}

/// Counter-mode keys of one direction.
pub(super) struct Cm {
    rtp: KeySet,
    rtcp: KeySet,
}

impl Cm {
    pub(super) fn derive(kdf: &Kdf) -> Result<Self, SrtpError> {
        Ok(Self {
            rtp: KeySet::new(
                kdf.derive(Label::RtpEncryption)?,
                kdf.derive(Label::RtpSalt)?,
                kdf.derive(Label::RtpAuthentication)?,
            )?,
            rtcp: KeySet::new(
                kdf.derive(Label::RtcpEncryption)?,
                kdf.derive(Label::RtcpSalt)?,
                kdf.derive(Label::RtcpAuthentication)?,
            )?,
        })
    }

    /// `packet` is header, payload and room for the tag.
    pub(super) fn seal_rtp(
        &self,
        packet: &mut [u8],
        header_len: usize,
        ssrc: u32,
        index: u64,
    ) -> Result<(), SrtpError> {
        let (message, tag) = split_tag(packet, header_len)?;
        self.rtp.apply(ssrc, index, &mut message[header_len..])?;
        let mac = self.rtp.tag(message, &rollover_counter(index));
        tag.copy_from_slice(&mac.as_ref()[..TAG_LEN]);
        Ok(())
    }

    pub(super) fn open_rtp(
        &self,
        packet: &mut [u8],
        header_len: usize,
        ssrc: u32,
        index: u64,
    ) -> Result<(), SrtpError> {
        let (message, tag) = split_tag(packet, header_len)?;
        self.rtp.verify(message, &rollover_counter(index), tag)?;
        self.rtp.apply(ssrc, index, &mut message[header_len..])
    }

    /// `packet` is the RTCP packet and room for the index, which is `index_word`, and the tag.
    pub(super) fn seal_rtcp(&self, packet: &mut [u8], index_word: u32) -> Result<(), SrtpError> {
        let ssrc = ssrc_of_rtcp(packet)?;
        let (message, tag) = split_tag(packet, RTCP_HEADER_LEN + 4)?;
        let word_at = message.len() - 4;
        let (rtcp, word) = message.split_at_mut(word_at);
        word.copy_from_slice(&index_word.to_be_bytes());
        let index = u64::from(index_word & MAX_RTCP_INDEX);
        self.rtcp.apply(ssrc, index, &mut rtcp[RTCP_HEADER_LEN..])?;
        let mac = self.rtcp.tag(message, &[]);
        tag.copy_from_slice(&mac.as_ref()[..TAG_LEN]);
        Ok(())
    }

    pub(super) fn open_rtcp(&self, packet: &mut [u8], index_word: u32) -> Result<(), SrtpError> {
        let ssrc = ssrc_of_rtcp(packet)?;
        let (message, tag) = split_tag(packet, RTCP_HEADER_LEN + 4)?;
        self.rtcp.verify(message, &[], tag)?;
        let end = message.len() - 4;
        let index = u64::from(index_word & MAX_RTCP_INDEX);
        self.rtcp
            .apply(ssrc, index, &mut message[RTCP_HEADER_LEN..end])
    }
}

/// The upper 32 bits of a packet index, as the tag covers them.
fn rollover_counter(index: u64) -> [u8; 4] {
    ((index >> 16) as u32).to_be_bytes()
}

/// The authenticated part, at least `min_len` bytes of it, and the tag.
fn split_tag(packet: &mut [u8], min_len: usize) -> Result<(&mut [u8], &mut [u8]), SrtpError> {
    let tag_at = packet
        .len()
        .checked_sub(TAG_LEN)
        .filter(|at| *at >= min_len)
        .ok_or(SrtpError::TooShort)?;
    Ok(packet.split_at_mut(tag_at))
}
