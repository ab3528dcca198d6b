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

use std::time::{Duration, Instant};

use super::hello::{self, ClientHello};
use super::records::{self, Assembler, Fragment, Record};
use crate::api::{CloseReason, DtlsRole};

/// Datagrams made of one: a flight has at most seven messages.
const MAX_DATAGRAMS: usize = 12;
/// A handshake has six messages a side; numbers beyond this are nobody's.
const MAX_SEQUENCE: u16 = 12;
/// Lengths of a protected Finished: explicit nonce (8, AES-GCM only), header 12, verify data 12,
/// tag 16.
const FINISHED_LENGTHS: [usize; 2] = [48, 40];

/// How long a wrong certificate may be an attacker's before it is taken for the peer's.
const CERTIFICATE_PATIENCE: Duration = Duration::from_secs(1);
/// The same for a hello that leads nowhere, and for a refusal: what is genuine may have been lost, and
/// is sent again.
const REFUSAL_PATIENCE: Duration = Duration::from_secs(3);

/// An alert's level, and descriptions (RFC 5246, section 7.2).
const FATAL: u8 = 2;
const HANDSHAKE_FAILURE: u8 = 40;
const BAD_CERTIFICATE: u8 = 42;
const UNSUPPORTED_CERTIFICATE: u8 = 43;
const PROTOCOL_VERSION: u8 = 70;

/// Why a handshake does not go on, unless an attacker has made it up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The peer has no certificate that it could use with what we can verify.
    NoCertificate,
    /// Another certificate than the announced one.
    OtherCertificate,
    /// The announced certificate has a key of a kind that cannot be used here.
    UnusableCertificate,
    OtherVersion,
    NothingInCommon,
    /// The peer's fatal alert.
    Refused(u8),
}

impl Trouble {
    fn patience(self) -> Duration {
        match self {
            Self::NoCertificate | Self::OtherCertificate => CERTIFICATE_PATIENCE,
            // Only the peer has it.
            Self::UnusableCertificate => Duration::ZERO,
            Self::OtherVersion | Self::NothingInCommon | Self::Refused(_) => REFUSAL_PATIENCE,
        }
    }

    pub fn reason(self) -> CloseReason {
        match self {
            Self::NoCertificate | Self::UnusableCertificate => CloseReason::CertificateUnsupported,
            Self::OtherCertificate => CloseReason::FingerprintMismatch,
            Self::OtherVersion | Self::NothingInCommon => CloseReason::DtlsUnsupported,
            Self::Refused(_) => CloseReason::HandshakeRefused,
        }
    }

    /// What the peer is told.
    pub fn alert(self) -> Option<[u8; 2]> {
        let description = match self {
            Self::NoCertificate | Self::NothingInCommon => HANDSHAKE_FAILURE,
            Self::OtherCertificate => BAD_CERTIFICATE,
            Self::UnusableCertificate => UNSUPPORTED_CERTIFICATE,
            Self::OtherVersion => PROTOCOL_VERSION,
            Self::Refused(_) => return None,
        };
        Some([FATAL, description])
    }
}

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
    /// Since something better passed.
    trouble: Option<(Instant, Trouble)>,
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
            trouble: None,
            out: Vec::new(),
            ends: Vec::new(),
        }
    }

    /// What is in the way of the handshake, and until when it may be an attacker's doing.
    pub fn trouble(&self) -> Option<(Instant, Trouble)> {
        self.trouble
            .map(|(since, trouble)| (since + trouble.patience(), trouble))
    }

    /// Whether the peer has said anything that counts.
    pub fn has_heard(&self) -> bool {
        self.passed != 0 || self.server_hello.is_some()
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
                (records::ALERT, 0) => self.plaintext_alert(now, &record),
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

    /// Takes a datagram once the handshake is done, unless it may pass as it is (`is_protected`):
    /// `datagram` gives what is left of it.
    pub fn established(&mut self, datagram: &[u8]) {
        self.out.clear();
        self.ends.clear();
        for record in records::records(datagram) {
            if is_protected_record(&record) || self.is_repeated_flight(&record) {
                self.out.extend_from_slice(record.bytes);
                self.end_datagram();
            }
        }
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
            records::CLIENT_HELLO => self.is_usable(now, body) && self.is_same_hello(body),
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
        self.trouble = None;
    }

    /// The one that comes right before the certificate is the server's.
    fn keep_server_hello(&mut self, header: &[u8], fragment: &Fragment<'_>, body: &[u8]) {
        if !self.has_passed(&[records::SERVER_HELLO]) && hello::is_plausible_server_hello(body) {
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

    fn is_usable(&mut self, now: Instant, body: &[u8]) -> bool {
        let trouble = match hello::client_hello(body) {
            Some(ClientHello::Usable) => return true,
            // One that is under way is not stopped by another one.
            _ if self.has_heard() => return false,
            Some(ClientHello::OtherVersion) => Trouble::OtherVersion,
            Some(ClientHello::NothingInCommon) => Trouble::NothingInCommon,
            None => return false,
        };
        self.note(now, trouble);
        false
    }

    fn is_announced(&mut self, now: Instant, body: &[u8]) -> bool {
        let trouble = match hello::leaf_certificate(body) {
            Some(None) => Trouble::NoCertificate,
            Some(Some(leaf)) if hello::fingerprint_sha256(leaf) == self.fingerprint_sha256 => {
                if hello::has_usable_key(leaf) {
                    return true;
                }
                Trouble::UnusableCertificate
            }
            _ => Trouble::OtherCertificate,
        };
        self.note(now, trouble);
        false
    }

    fn plaintext_alert(&mut self, now: Instant, record: &Record<'_>) {
        if let [FATAL, description] = record.body() {
            self.note(now, Trouble::Refused(*description));
        }
    }

    /// The first trouble counts, unless one is known for sure.
    fn note(&mut self, now: Instant, trouble: Trouble) {
        if self.trouble.is_none() || trouble == Trouble::UnusableCertificate {
            self.trouble = Some((now, trouble));
        }
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

/// Whether a datagram consists of protected records only. Such a one passes once the handshake is done.
pub fn is_protected(datagram: &[u8]) -> bool {
    let mut whole = 0;
    let mut all_protected = true;
    for record in records::records(datagram) {
        all_protected &= is_protected_record(&record);
        whole += record.bytes.len();
    }
    all_protected && whole == datagram.len() && whole > 0
}

fn is_protected_record(record: &Record<'_>) -> bool {
    record.epoch == 1
        && matches!(
            record.content_type,
            records::ALERT | records::HANDSHAKE | records::APPLICATION_DATA
        )
}
