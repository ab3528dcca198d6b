//! What the filter of handshakes looks at in hellos and certificates. All of it is written by a
//! stranger: it is read front to back, in bounds, and what is malformed is nothing.

use aws_lc_rs::digest;

const DTLS_1_0: [u8; 2] = [0xfe, 0xff];
const DTLS_1_2: [u8; 2] = [0xfe, 0xfd];
/// TLS_ECDHE_ECDSA with AES-128-GCM, AES-256-GCM, ChaCha20-Poly1305.
const CIPHER_SUITES: [u16; 3] = [0xc02b, 0xc02c, 0xcca9];
/// AES128_CM_SHA1_80, AEAD_AES_128_GCM, AEAD_AES_256_GCM (RFC 5764, RFC 7714).
const SRTP_PROFILES: [u16; 3] = [0x0001, 0x0007, 0x0008];
/// X25519, P-256, P-384.
const GROUPS: [u16; 3] = [29, 23, 24];
const EXTENSION_SUPPORTED_GROUPS: u16 = 10;
const EXTENSION_USE_SRTP: u16 = 14;
const EXTENSION_SUPPORTED_VERSIONS: u16 = 43;
const EXTENSION_EXTENDED_MASTER_SECRET: u16 = 23;
const MAX_EXTENSIONS: usize = 64;

/// Object identifiers as they are encoded (RFC 5480, section 2).
const EC_PUBLIC_KEY: &[u8] = &[6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
const P_256: &[u8] = &[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
const P_384: &[u8] = &[6, 5, 0x2b, 0x81, 4, 0, 0x22];

/// SHA-256 of a certificate (RFC 8122, section 5).
pub fn fingerprint_sha256(certificate: &[u8]) -> [u8; 32] {
    let mut fingerprint = [0; 32];
    fingerprint.copy_from_slice(digest::digest(&digest::SHA256, certificate).as_ref());
    fingerprint
}

/// The first certificate of a Certificate message (RFC 5246, section 7.4.2): `Some(None)` of one that
/// holds none, `None` of one that is malformed.
pub fn leaf_certificate(body: &[u8]) -> Option<Option<&[u8]>> {
    let mut reader = Reader(body);
    let mut list = Reader(reader.vector(3)?);
    if !reader.0.is_empty() {
        return None;
    }
    if list.0.is_empty() {
        return Some(None);
    }
    list.vector(3).map(Some)
}

/// Whether the certificate has a key that signatures can be checked with here: one on P-256 or P-384,
/// whose names stand in it. The peer has announced this very certificate, so it deceives only itself.
pub fn has_usable_key(certificate: &[u8]) -> bool {
    let holds = |name: &[u8]| certificate.windows(name.len()).any(|part| part == name);
    holds(EC_PUBLIC_KEY) && (holds(P_256) || holds(P_384))
}

/// What a well-formed ClientHello can lead to here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientHello {
    /// DTLS 1.2, a cipher suite, an SRTP profile and a key-exchange group in common, and extended
    /// master secret.
    Usable,
    /// No version in common.
    OtherVersion,
    NothingInCommon,
}

/// Reads a ClientHello; `None` if it is malformed.
pub fn client_hello(body: &[u8]) -> Option<ClientHello> {
    let mut reader = Reader(body);
    let version = reader.take(2)?;
    reader.take(32)?;
    let session_id = reader.vector(1)?;
    reader.vector(1)?; // cookie
    let suites = reader.vector(2)?;
    let compression = reader.vector(1)?;
    if version == DTLS_1_0 {
        return Some(ClientHello::OtherVersion);
    }
    let extensions = Extensions::read(reader.vector(2)?)?;
    if !reader.0.is_empty() || version != DTLS_1_2 || session_id.len() > 32 {
        return None;
    }
    if !extensions.has_version {
        return Some(ClientHello::OtherVersion);
    }
    let has_suite = contains_any(suites, &CIPHER_SUITES)?;
    let uncompressed = compression.contains(&0);
    let fits = has_suite && uncompressed && extensions.fit();
    Some(if fits {
        ClientHello::Usable
    } else {
        ClientHello::NothingInCommon
    })
}

/// What the extensions of a ClientHello say.
struct Extensions {
    has_version: bool,
    has_srtp: bool,
    has_group: bool,
    has_master_secret: bool,
}

impl Extensions {
    fn read(list: &[u8]) -> Option<Self> {
        let mut found = Self {
            has_version: true,
            has_srtp: false,
            has_group: true,
            has_master_secret: false,
        };
        let mut list = Reader(list);
        let mut seen: Vec<u16> = Vec::new();
        while !list.0.is_empty() {
            let kind = list.u16()?;
            let data = list.vector(2)?;
            if seen.contains(&kind) || seen.len() >= MAX_EXTENSIONS {
                return None;
            }
            seen.push(kind);
            match kind {
                EXTENSION_USE_SRTP => {
                    let mut data = Reader(data);
                    found.has_srtp = contains_any(data.vector(2)?, &SRTP_PROFILES)?;
                    data.vector(1)?; // MKI
                }
                EXTENSION_SUPPORTED_GROUPS => {
                    found.has_group = contains_any(Reader(data).vector(2)?, &GROUPS)?;
                }
                EXTENSION_SUPPORTED_VERSIONS => {
                    let versions = [u16::from_be_bytes(DTLS_1_2)];
                    found.has_version = contains_any(Reader(data).vector(1)?, &versions)?;
                }
                EXTENSION_EXTENDED_MASTER_SECRET => found.has_master_secret = true,
                _ => {}
            }
        }
        Some(found)
    }

    fn fit(&self) -> bool {
        self.has_srtp && self.has_group && self.has_master_secret
    }
}

/// Whether a server may answer our hello with this one.
pub fn is_plausible_server_hello(body: &[u8]) -> bool {
    let parse = || {
        let mut reader = Reader(body);
        let version = reader.take(2)?;
        reader.take(32)?;
        reader.vector(1)?; // session
        let suite = reader.u16()?;
        let compression = reader.take(1)?;
        reader.vector(2)?; // extensions
        let fits = reader.0.is_empty() && version == DTLS_1_2 && compression == [0];
        Some(fits && CIPHER_SUITES.contains(&suite))
    };
    parse().unwrap_or(false)
}

/// Whether a list of 16-bit values holds one of `wanted`. `None` if it is malformed, or names one
/// of them twice.
fn contains_any(list: &[u8], wanted: &[u16]) -> Option<bool> {
    if list.is_empty() || !list.len().is_multiple_of(2) {
        return None;
    }
    let values = || {
        list.chunks_exact(2)
            .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
    };
    let times = |value: u16| values().filter(|&other| other == value).count();
    if wanted.iter().any(|&value| times(value) > 1) {
        return None;
    }
    Some(values().any(|value| wanted.contains(&value)))
}

/// Reads a message from its front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn u16(&mut self) -> Option<u16> {
        let bytes = self.take(2)?;
        Some(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    /// A vector preceded by its length in `width` bytes.
    fn vector(&mut self, width: usize) -> Option<&'a [u8]> {
        let length = self
            .take(width)?
            .iter()
            .fold(0, |length, &byte| length << 8 | usize::from(byte));
        self.take(length)
    }
}
