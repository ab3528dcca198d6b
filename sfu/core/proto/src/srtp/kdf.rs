//! Key derivation (RFC 3711, section 4.3; RFC 6188 for 256-bit keys; RFC 7714, section 11).
//!
//! The key derivation rate is always zero with DTLS-SRTP, so each session key is derived once: it is
//! the AES counter-mode key stream under the master key, started at the salt with a label mixed in.

use aws_lc_rs::cipher::{AES_128, AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;

use super::SrtpError;

/// What a session key is for (RFC 3711, sections 4.3.1 and 4.3.2).
#[derive(Debug, Clone, Copy)]
pub(super) enum Label {
    RtpEncryption = 0,
    RtpAuthentication = 1,
    RtpSalt = 2,
    RtcpEncryption = 3,
    RtcpAuthentication = 4,
    RtcpSalt = 5,
}

/// Derives session keys from one master key and salt.
pub(super) struct Kdf {
    key: EncryptingKey,
    /// Right-padded with zeros where a GCM profile has only 12 bytes.
    salt: [u8; 14],
}

impl Kdf {
    pub(super) fn new(master_key: &[u8], master_salt: &[u8]) -> Result<Self, SrtpError> {
        let mut salt = [0; 14];
        salt.get_mut(..master_salt.len())
            .ok_or(SrtpError::KeyingMaterial)?
            .copy_from_slice(master_salt);
        Ok(Self {
            key: counter_mode_key(master_key)?,
            salt,
        })
    }

    /// Fills `N` bytes of session key.
    pub(super) fn derive<const N: usize>(&self, label: Label) -> Result<[u8; N], SrtpError> {
        let mut iv = [0; 16];
        iv[..14].copy_from_slice(&self.salt);
        iv[7] ^= label as u8;
        let mut out = [0; N];
        apply_key_stream(&self.key, iv, &mut out)?;
        Ok(out)
    }
}

/// An AES key for counter mode, its schedule computed once.
pub(super) fn counter_mode_key(key: &[u8]) -> Result<EncryptingKey, SrtpError> {
    let algorithm = match key.len() {
        16 => &AES_128,
        32 => &AES_256,
        _ => return Err(SrtpError::KeyingMaterial),
    };
    UnboundCipherKey::new(algorithm, key)
        .and_then(EncryptingKey::ctr)
        .map_err(|_| SrtpError::Cipher)
}

/// XORs the key stream that starts at counter block `iv` into `data`.
pub(super) fn apply_key_stream(
    key: &EncryptingKey,
    iv: [u8; 16],
    data: &mut [u8],
) -> Result<(), SrtpError> {
    key.less_safe_encrypt(data, EncryptionContext::Iv128(FixedLength::from(iv)))
        .map(|_| ())
        .map_err(|_| SrtpError::Cipher)
}
