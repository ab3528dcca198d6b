//! SRTP and SRTCP for the profiles of DTLS-SRTP (RFC 3711, RFC 5764, RFC 7714).
//!
//! [`contexts`] turns what DTLS exports into the two halves of a session. A half works in place, on
//! the buffer a packet came in or leaves by, and allocates nothing per packet.

mod cm;
mod gcm;
mod inbound;
mod kdf;
mod outbound;
mod profile;
mod replay;
mod stream;
#[cfg(test)]
mod tests;

pub use inbound::{Inbound, MAX_SOURCES};
pub use outbound::Outbound;
pub use profile::Profile;
pub use stream::{PacketIndex, SendStream, SendStreams};

use kdf::Kdf;

const RTP_HEADER_LEN: usize = 12;
/// The part of a compound RTCP packet that stays plain: the first header and its sender's SSRC.
const RTCP_HEADER_LEN: usize = 8;
const MAX_RTCP_INDEX: u32 = 0x7fff_ffff;

/// Why a packet was not protected or not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SrtpError {
    #[error("keying material has the wrong length for the profile")]
    KeyingMaterial,
    #[error("packet is too short to hold its header and its tag")]
    TooShort,
    #[error("packet is longer than any datagram that a peer sends")]
    TooLong,
    #[error("buffer has no room for the tag")]
    NoRoom,
    #[error("packet is not authentic")]
    Authentication,
    #[error("packet has been received before, or is too old to tell")]
    Replay,
    #[error("RTCP packet is not encrypted")]
    NotEncrypted,
    #[error("peer sends from more sources than one transport may")]
    TooManySources,
    #[error("the SSRC has been used under these keys before")]
    SsrcUsed,
    #[error("all packet indices of these keys have been used")]
    IndexExhausted,
    #[error("cipher failed")]
    Cipher,
}

/// Makes both halves of a session out of `keying_material`, the DTLS exporter's output (RFC 5764,
/// section 4.2: client key, server key, client salt, server salt).
///
/// Fails with `KeyingMaterial` unless it is `profile.keying_material_len()` bytes.
pub fn contexts(
    profile: Profile,
    keying_material: &[u8],
    we_are_dtls_client: bool,
) -> Result<(Outbound, Inbound), SrtpError> {
    if keying_material.len() != profile.keying_material_len() {
        return Err(SrtpError::KeyingMaterial);
    }
    let (keys, salts) = keying_material.split_at(2 * profile.key_len());
    let (client_key, server_key) = keys.split_at(profile.key_len());
    let (client_salt, server_salt) = salts.split_at(profile.salt_len());
    let client = Cipher::derive(profile, client_key, client_salt)?;
    let server = Cipher::derive(profile, server_key, server_salt)?;
    let (mut ours, theirs) = if we_are_dtls_client {
        (client, server)
    } else {
        (server, client)
    };
    ours.expand_rtp_key()?;
    Ok((Outbound::new(ours), Inbound::new(theirs)))
}

/// Session keys of one direction.
enum Cipher {
    Gcm(gcm::Gcm),
    /// Boxed, as its key schedules take kilobytes and few peers need it.
    Cm(Box<cm::Cm>),
}

impl Cipher {
    fn derive(profile: Profile, master_key: &[u8], master_salt: &[u8]) -> Result<Self, SrtpError> {
        let kdf = Kdf::new(master_key, master_salt)?;
        Ok(match profile {
            Profile::AeadAes256Gcm | Profile::AeadAes128Gcm => {
                Self::Gcm(gcm::Gcm::derive(&kdf, profile.key_len())?)
            }
            Profile::Aes128CmSha1_80 => Self::Cm(Box::new(cm::Cm::derive(&kdf)?)),
        })
    }

    /// To be called before the first RTP packet.
    #[inline]
    fn expand_rtp_key(&mut self) -> Result<(), SrtpError> {
        match self {
            Self::Gcm(gcm) => gcm.expand_rtp_key(),
            Self::Cm(_) => Ok(()),
        }
    }

    fn tag_len(&self) -> usize {
        match self {
            Self::Gcm(_) => gcm::TAG_LEN,
            Self::Cm(_) => cm::TAG_LEN,
        }
    }

    /// The E bit and the index of an SRTCP packet: the last word with GCM, before the tag with CM.
    fn rtcp_index_word(&self, packet: &[u8]) -> Result<u32, SrtpError> {
        let end = match self {
            Self::Gcm(_) => Some(packet.len()),
            Self::Cm(_) => packet.len().checked_sub(cm::TAG_LEN),
        };
        end.and_then(|end| packet.get(..end)?.last_chunk())
            .map(|word| u32::from_be_bytes(*word))
            .ok_or(SrtpError::TooShort)
    }
}

/// SSRC of the sender of a compound RTCP packet.
fn ssrc_of_rtcp(packet: &[u8]) -> Result<u32, SrtpError> {
    packet
        .get(4..)
        .and_then(|rest| rest.first_chunk())
        .map(|ssrc| u32::from_be_bytes(*ssrc))
        .ok_or(SrtpError::TooShort)
}
