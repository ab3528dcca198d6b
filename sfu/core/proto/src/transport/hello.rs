//! What a DTLS handshake may see of the datagrams that reach it.
//!
//! Until the peer's Finished has been verified, nothing on the wire is authenticated, and any error
//! ends a `dimpl` session for good. An attacker who spoofs the peer's address could end it with one
//! plaintext alert or a ClientHello without ciphers. So only complete, plausible messages in their
//! place pass, each as a datagram of its own (dimpl drops a whole datagram that begins with something
//! it knows). Fragments are put together here. A certificate passes only if the description announced
//! it, which an attacker off the path cannot know, and what belongs to it passes only after it: a
//! ServerHello waits for it, and ChangeCipherSpec for the Finished. After the handshake only
//! protected records pass, and what a peer may have to repeat.

use std::time::Instant;

use aws_lc_rs::digest;

use super::records::{self, Assembler, Fragment, Record};
use crate::api::DtlsRole;

/// Datagrams made of one: a flight has at most seven messages.
const MAX_DATAGRAMS: usize = 12;
/// A handshake has six messages a side; numbers beyond this are nobody's.
const MAX_SEQUENCE: u16 = 12;
/// Lengths of a protected Finished: explicit nonce (8, AES-GCM only), header 12, verify data 12,
/// tag 16.
const FINISHED_LENGTHS: [usize; 2] = [48, 40];

const DTLS_1_2: [u8; 2] = [0xfe, 0xfd];
/// TLS_ECDHE_ECDSA with AES-128-GCM, AES-256-GCM, ChaCha20-Poly1305.
const CIPHER_SUITES: [u16; 3] = [0xc02b, 0xc02c, 0xcca9];
/// AES128_CM_SHA1_80, AEAD_AES_128_GCM, AEAD_AES_256_GCM (RFC 5764, RFC 7714).
const SRTP_PROFILES: [u16; 3] = [0x0001, 0x0007, 0x0008];
/// X25519, P-256, P-384.
const GROUPS: [u16; 3] = [29, 23, 24];
const EXTENSION_SUPPORTED_GROUPS: u16 = 10;
const EXTENSION_USE_SRTP: u16 = 14;
const EXTENSION_EXTENDED_MASTER_SECRET: u16 = 23;
const MAX_EXTENSIONS: usize = 64;

/// The filter in front of one handshake.
#[derive(Debug)]
pub struct HandshakeFilter {
    role: DtlsRole,
    fingerprint_sha256: [u8; 32],
    assembler: Assembler,
    /// Random of the hello that this handshake is about.
    hello_random: Option<[u8; 32]>,
    /// The last ServerHello, until the server's certificate has come: a record.
    server_hello: Option<Vec<u8>>,
    /// Bit per message type that has passed.
    passed: u32,
    change_cipher_spec: Option<[u8; records::RECORD_HEADER + 1]>,
    /// First time that a certificate was left out.
    mismatch_at: Option<Instant>,
    out: Vec<u8>,
    /// Where each datagram in `out` ends.
    ends: Vec<usize>,
}

impl HandshakeFilter {
    pub fn new(role: DtlsRole, fingerprint_sha256: [u8; 32]) -> Self {
        Self {
            role,
            fingerprint_sha256,
            assembler: Assembler::default(),
            hello_random: None,
            server_hello: None,
            passed: 0,
            change_cipher_spec: None,
            mismatch_at: None,
            out: Vec::new(),
            ends: Vec::new(),
        }
    }

    /// When a certificate other than the announced one was first seen.
    pub fn mismatch_at(&self) -> Option<Instant> {
        self.mismatch_at
    }

    /// Takes a datagram while the handshake runs; `datagrams` is what is left of it.
    pub fn handshaking(&mut self, now: Instant, datagram: &[u8]) {
        self.out.clear();
        self.ends.clear();
        for record in records::records(datagram) {
            match (record.content_type, record.epoch) {
                (records::HANDSHAKE, 0) => self.plaintext_handshake(now, &record),
                (records::CHANGE_CIPHER_SPEC, 0) => self.keep_change_cipher_spec(&record),
                (records::HANDSHAKE, 1) => self.protected_finished(&record),
                _ => {}
            }
        }
    }

    /// One of the datagrams that the last call left.
    pub fn datagram(&self, index: usize) -> Option<&[u8]> {
        let start = match index {
            0 => 0,
            _ => *self.ends.get(index - 1)?,
        };
        self.out.get(start..*self.ends.get(index)?)
    }

    /// Takes a datagram once the handshake is done. Returns whether it may pass as it is; if not,
    /// `datagram` gives what is left of it.
    pub fn established(&mut self, datagram: &[u8]) -> bool {
        self.out.clear();
        self.ends.clear();
        let mut whole = 0;
        let mut all_protected = true;
        for record in records::records(datagram) {
            all_protected &= is_protected(&record);
            whole += record.bytes.len();
        }
        if all_protected && whole == datagram.len() && whole > 0 {
            return true;
        }
        for record in records::records(datagram) {
            if is_protected(&record) || self.is_repeated_flight(&record) {
                self.out.extend_from_slice(record.bytes);
                self.end_datagram();
            }
        }
        false
    }

    /// The client's last flight again: it has not received ours (RFC 6347, section 4.2.4).
    fn is_repeated_flight(&self, record: &Record<'_>) -> bool {
        self.role == DtlsRole::Server
            && record.epoch == 0
            && record.content_type == records::HANDSHAKE
            && records::fragments(record.body())
                .next()
                .is_some_and(|first| first.message_type == records::CLIENT_KEY_EXCHANGE)
    }

    fn plaintext_handshake(&mut self, now: Instant, record: &Record<'_>) {
        let header = &record.bytes[..records::RECORD_HEADER];
        for fragment in records::fragments(record.body()) {
            if !self.is_expected(&fragment) {
                continue;
            }
            if fragment.is_whole() {
                self.message(now, header, &fragment, fragment.body);
            } else if let Some(body) = self.assembler.add(&fragment) {
                self.message(now, header, &fragment, &body);
            }
        }
    }

    fn is_expected(&self, fragment: &Fragment<'_>) -> bool {
        use records as r;
        if fragment.sequence > MAX_SEQUENCE {
            return false;
        }
        let follows = |message_types| self.has_passed(message_types);
        match (self.role, fragment.message_type) {
            (DtlsRole::Server, r::CLIENT_HELLO) => fragment.sequence == 0,
            (DtlsRole::Server, r::CERTIFICATE) => follows(&[r::CLIENT_HELLO]),
            (DtlsRole::Server, r::CLIENT_KEY_EXCHANGE) => follows(&[r::CERTIFICATE]),
            (DtlsRole::Server, r::CERTIFICATE_VERIFY) => follows(&[r::CLIENT_KEY_EXCHANGE]),
            (DtlsRole::Client, r::SERVER_HELLO) => true,
            (DtlsRole::Client, r::HELLO_VERIFY_REQUEST) => {
                !follows(&[r::HELLO_VERIFY_REQUEST]) && self.server_hello.is_none()
            }
            (DtlsRole::Client, r::CERTIFICATE) => {
                follows(&[r::SERVER_HELLO]) || self.server_hello.is_some()
            }
            (
                DtlsRole::Client,
                r::SERVER_KEY_EXCHANGE
                | r::CERTIFICATE_REQUEST
                | r::SERVER_HELLO_DONE
                | r::NEW_SESSION_TICKET,
            ) => follows(&[r::CERTIFICATE]),
            _ => false,
        }
    }

    /// A complete message.
    fn message(&mut self, now: Instant, header: &[u8], fragment: &Fragment<'_>, body: &[u8]) {
        let passes = match fragment.message_type {
            records::CLIENT_HELLO => is_plausible_client_hello(body) && self.is_same_hello(body),
            records::SERVER_HELLO => {
                self.keep_server_hello(header, fragment, body);
                false
            }
            records::CERTIFICATE => self.is_announced(now, body),
            _ => true,
        };
        if !passes || self.ends.len() >= MAX_DATAGRAMS {
            return;
        }
        if fragment.message_type == records::CERTIFICATE
            && let Some(server_hello) = self.server_hello.take()
        {
            self.out.extend_from_slice(&server_hello);
            self.end_datagram();
            self.passed |= 1 << records::SERVER_HELLO;
        }
        records::write_message(&mut self.out, header, fragment, body);
        self.end_datagram();
        self.passed |= 1 << fragment.message_type;
    }

    /// The one that comes right before the certificate is the server's.
    fn keep_server_hello(&mut self, header: &[u8], fragment: &Fragment<'_>, body: &[u8]) {
        if !self.has_passed(&[records::SERVER_HELLO]) && is_plausible_server_hello(body) {
            let mut record = Vec::with_capacity(header.len() + body.len() + 12);
            records::write_message(&mut record, header, fragment, body);
            self.server_hello = Some(record);
        }
    }

    fn has_passed(&self, message_types: &[u8]) -> bool {
        let wanted = message_types.iter().fold(0, |bits, kind| bits | 1 << kind);
        self.passed & wanted == wanted
    }

    /// Whether the peer has said all that it says in plaintext: its ChangeCipherSpec is due.
    fn keys_are_exchanged(&self) -> bool {
        match self.role {
            DtlsRole::Server => self.has_passed(&[records::CERTIFICATE_VERIFY]),
            DtlsRole::Client => self.has_passed(&[records::SERVER_HELLO_DONE]),
        }
    }

    /// The first plausible hello counts: a second one could only break what is under way.
    fn is_same_hello(&mut self, body: &[u8]) -> bool {
        let Some(&random) = body.get(2..).and_then(|rest| rest.first_chunk::<32>()) else {
            return false;
        };
        *self.hello_random.get_or_insert(random) == random
    }

    fn is_announced(&mut self, now: Instant, body: &[u8]) -> bool {
        let announced = leaf_certificate(body)
            .is_some_and(|certificate| fingerprint_sha256(certificate) == self.fingerprint_sha256);
        if !announced {
            self.mismatch_at.get_or_insert(now);
        }
        announced
    }

    fn keep_change_cipher_spec(&mut self, record: &Record<'_>) {
        if let Ok(bytes) = record.bytes.try_into()
            && record.body() == [1]
        {
            self.change_cipher_spec = Some(bytes);
        }
    }

    fn protected_finished(&mut self, record: &Record<'_>) {
        let is_due = self.keys_are_exchanged() && FINISHED_LENGTHS.contains(&record.body().len());
        let Some(change_cipher_spec) = self.change_cipher_spec.filter(|_| is_due) else {
            return;
        };
        self.out.extend_from_slice(&change_cipher_spec);
        self.out.extend_from_slice(record.bytes);
        self.end_datagram();
    }

    fn end_datagram(&mut self) {
        self.ends.push(self.out.len());
    }
}

/// SHA-256 of a certificate (RFC 8122, section 5).
pub fn fingerprint_sha256(certificate: &[u8]) -> [u8; 32] {
    let mut fingerprint = [0; 32];
    fingerprint.copy_from_slice(digest::digest(&digest::SHA256, certificate).as_ref());
    fingerprint
}

fn is_protected(record: &Record<'_>) -> bool {
    record.epoch == 1
        && matches!(
            record.content_type,
            records::ALERT | records::HANDSHAKE | records::APPLICATION_DATA
        )
}

/// The first certificate of a Certificate message (RFC 5246, section 7.4.2).
fn leaf_certificate(body: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader(body);
    let mut list = Reader(reader.vector(3)?);
    let leaf = list.vector(3)?;
    reader.0.is_empty().then_some(leaf)
}

/// Whether this hello can lead to a connection here: DTLS 1.2, a cipher suite, an SRTP profile and
/// a key-exchange group in common, extended master secret, and well-formed throughout.
fn is_plausible_client_hello(body: &[u8]) -> bool {
    client_hello(body).is_some_and(|can_connect| can_connect)
}

fn client_hello(body: &[u8]) -> Option<bool> {
    let mut reader = Reader(body);
    let version = reader.take(2)?;
    reader.take(32)?;
    let session_id = reader.vector(1)?;
    reader.vector(1)?; // cookie
    let suites = reader.vector(2)?;
    let compression = reader.vector(1)?;
    let mut extensions = Reader(reader.vector(2)?);
    if !reader.0.is_empty() || version != DTLS_1_2 || session_id.len() > 32 {
        return None;
    }
    let mut seen: Vec<u16> = Vec::new();
    let (mut has_srtp, mut has_group, mut has_master_secret) = (false, true, false);
    while !extensions.0.is_empty() {
        let kind = extensions.u16()?;
        let data = extensions.vector(2)?;
        if seen.contains(&kind) || seen.len() >= MAX_EXTENSIONS {
            return None;
        }
        seen.push(kind);
        match kind {
            EXTENSION_USE_SRTP => {
                let mut data = Reader(data);
                has_srtp = contains_any(data.vector(2)?, &SRTP_PROFILES)?;
                data.vector(1)?; // MKI
            }
            EXTENSION_SUPPORTED_GROUPS => {
                has_group = contains_any(Reader(data).vector(2)?, &GROUPS)?;
            }
            EXTENSION_EXTENDED_MASTER_SECRET => has_master_secret = true,
            _ => {}
        }
    }
    let has_suite = contains_any(suites, &CIPHER_SUITES)?;
    let uncompressed = compression.contains(&0);
    Some(has_suite && uncompressed && has_srtp && has_group && has_master_secret)
}

/// Whether a server may answer our hello with this one.
fn is_plausible_server_hello(body: &[u8]) -> bool {
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
