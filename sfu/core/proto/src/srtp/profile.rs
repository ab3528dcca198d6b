//! SRTP protection profiles (RFC 5764, section 4.1.2; RFC 7714, section 14.2) and their sizes.
//!
//! The three that browsers offer. AES-CM costs four times as much as GCM and is there for peers
//! that know nothing else.

/// A protection profile that DTLS can agree on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    AeadAes256Gcm,
    AeadAes128Gcm,
    Aes128CmSha1_80,
}

impl Profile {
    /// The profile that the DTLS handshake chose, or `None` for one that is not known here.
    pub fn from_dimpl(profile: dimpl::SrtpProfile) -> Option<Self> {
        match profile {
            dimpl::SrtpProfile::AEAD_AES_256_GCM => Some(Self::AeadAes256Gcm),
            dimpl::SrtpProfile::AEAD_AES_128_GCM => Some(Self::AeadAes128Gcm),
            dimpl::SrtpProfile::AES128_CM_SHA1_80 => Some(Self::Aes128CmSha1_80),
            _ => None,
        }
    }

    /// Bytes of a master key, and of a session encryption key.
    pub const fn key_len(self) -> usize {
        match self {
            Self::AeadAes256Gcm => 32,
            Self::AeadAes128Gcm | Self::Aes128CmSha1_80 => 16,
        }
    }

    /// Bytes of a master salt, and of a session salt.
    pub const fn salt_len(self) -> usize {
        match self {
            Self::AeadAes256Gcm | Self::AeadAes128Gcm => 12,
            Self::Aes128CmSha1_80 => 14,
        }
    }

    /// Bytes to export from DTLS: both sides' keys, then both sides' salts.
    pub const fn keying_material_len(self) -> usize {
        2 * (self.key_len() + self.salt_len())
    }

    /// Bytes of an authentication tag.
    #[cfg(test)]
    pub(super) const fn tag_len(self) -> usize {
        match self {
            Self::AeadAes256Gcm | Self::AeadAes128Gcm => 16,
            Self::Aes128CmSha1_80 => 10,
        }
    }
}
