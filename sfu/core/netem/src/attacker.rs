//! A participant that has a valid session and means ill: it sends whatever RTP and RTCP it is told
//! to, authentic and without any of a client's restraint. Its link is perfect.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dimpl::{Dtls, DtlsCertificate};
use is::stun::{StunMessage, TransId};
use kinguicall_proto::api::{DtlsRole, IceCredentials, RemoteDescription, TransportId};
use kinguicall_proto::rtcp;
use kinguicall_proto::rtp::Header;
use kinguicall_proto::srtp::{Inbound, Outbound, Profile, contexts};

/// Between two connectivity checks: they establish the session and keep consent fresh.
const CHECK_INTERVAL: Duration = Duration::from_millis(200);
const BUFFER_BYTES: usize = 2_048;

/// An authentic RTP packet as it arrived.
#[derive(Debug, Clone)]
pub struct AttackedPacket {
    pub ssrc: u32,
    pub sequence: u16,
    /// All bytes of the datagram.
    pub wire_len: usize,
}

/// One hostile peer connection.
pub struct Attacker {
    pub transport: TransportId,
    pub address: SocketAddr,
    pub received: Vec<AttackedPacket>,
    /// Key-frame requests that it has been sent.
    pub key_frame_requests: usize,
    /// Datagrams of RTCP that it has been sent.
    pub rtcp_datagrams: usize,
    /// It sends no checks on its own.
    pub keeps_quiet: bool,
    local: IceCredentials,
    remote: IceCredentials,
    certificate: DtlsCertificate,
    dtls: Dtls,
    next_check: Instant,
    is_checked: bool,
    session: Option<(Outbound, Inbound)>,
    to_send: Vec<Vec<u8>>,
}

impl std::fmt::Debug for Attacker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attacker")
            .field("transport", &self.transport)
            .finish_non_exhaustive()
    }
}

impl Attacker {
    /// `remote` are the credentials of the server's transport.
    pub fn new(
        now: Instant,
        transport: TransportId,
        address: SocketAddr,
        remote: IceCredentials,
    ) -> Self {
        let certificate = dimpl::certificate::generate_self_signed_certificate()
            .expect("the crypto backend can make a certificate");
        let config = dimpl::Config::builder()
            .build()
            .expect("the defaults are valid");
        let mut dtls = Dtls::new_12(Arc::new(config), certificate.clone(), now);
        dtls.set_active(true);
        Self {
            transport,
            address,
            received: Vec::new(),
            key_frame_requests: 0,
            rtcp_datagrams: 0,
            keeps_quiet: false,
            local: IceCredentials {
                ufrag: "attacker".to_owned(),
                password: "attacker-attacker-attacker".to_owned(),
            },
            remote,
            certificate,
            dtls,
            next_check: now,
            is_checked: false,
            session: None,
            to_send: Vec::new(),
        }
    }

    pub fn description(&self) -> RemoteDescription {
        let fingerprint = self.certificate.fingerprint();
        RemoteDescription {
            ice: self.local.clone(),
            fingerprint_sha256: fingerprint.as_slice().try_into().expect("SHA-256"),
            dtls_role: DtlsRole::Server,
        }
    }

    pub fn is_connected(&self) -> bool {
        self.session.is_some()
    }

    /// Sends a plain RTP packet; `rollover` is the counter of its SSRC.
    pub fn send_rtp(&mut self, packet: &[u8], rollover: u32) {
        let header = Header::parse(packet).expect("a header that can be encrypted");
        let (outbound, _) = self.session.as_mut().expect("connected");
        let mut buffer = [0; BUFFER_BYTES];
        buffer[..packet.len()].copy_from_slice(packet);
        let len = outbound
            .protect_rtp_numbered(&mut buffer, header.header_len, packet.len(), rollover)
            .expect("the buffer has room");
        self.to_send.push(buffer[..len].to_vec());
    }

    /// Sends a plain RTCP compound.
    pub fn send_rtcp(&mut self, compound: &[u8]) {
        let (outbound, _) = self.session.as_mut().expect("connected");
        let mut buffer = [0; BUFFER_BYTES];
        buffer[..compound.len()].copy_from_slice(compound);
        let len = outbound
            .protect_rtcp(&mut buffer, compound.len())
            .expect("the buffer has room");
        self.to_send.push(buffer[..len].to_vec());
    }

    /// A datagram from the server.
    pub fn arrive(&mut self, mut datagram: Vec<u8>) {
        match datagram.first() {
            Some(0..=3) => self.is_checked = true,
            Some(20..=63) => {
                let _ = self.dtls.handle_packet(&datagram);
            }
            Some(128..=191) => self.take_media(&mut datagram),
            _ => {}
        }
    }

    /// Lets time pass; returns what is sent.
    pub fn advance(&mut self, now: Instant) -> Vec<Vec<u8>> {
        if now >= self.next_check && !self.keeps_quiet {
            self.next_check = now + CHECK_INTERVAL;
            let check = self.nominating_check();
            self.to_send.push(check);
        }
        if self.is_checked {
            let _ = self.dtls.handle_timeout(now);
            self.drive_dtls();
        }
        std::mem::take(&mut self.to_send)
    }

    fn take_media(&mut self, datagram: &mut [u8]) {
        let wire_len = datagram.len();
        let Some((_, inbound)) = &mut self.session else {
            return;
        };
        // RTCP is told by its packet types (RFC 5761, section 4).
        if datagram.get(1).is_some_and(|b| (192..=223).contains(b)) {
            if let Ok(len) = inbound.unprotect_rtcp(datagram) {
                self.rtcp_datagrams += 1;
                let packets = rtcp::packets(&datagram[..len]);
                let wanted = |it: &_| matches!(it, Ok(rtcp::Packet::Pli(_) | rtcp::Packet::Fir(_)));
                self.key_frame_requests += packets.filter(wanted).count();
            }
            return;
        }
        let header = Header::parse(datagram).expect("the server sends RTP");
        if inbound.unprotect_rtp(datagram, &header).is_ok() {
            self.received.push(AttackedPacket {
                ssrc: header.ssrc.0,
                sequence: header.sequence,
                wire_len,
            });
        }
    }

    /// A check that has media sent to wherever it seems to come from.
    pub fn nominating_check(&self) -> Vec<u8> {
        let username = format!("{}:{}", self.remote.ufrag, self.local.ufrag);
        let check = StunMessage::binding_request(&username, TransId::new(), true, 1, 1, true);
        let mut bytes = [0; 256];
        let password = self.remote.password.as_bytes();
        let len = check
            .to_bytes(Some(password), &mut bytes, hmac_sha1)
            .expect("the buffer has room");
        bytes[..len].to_vec()
    }

    fn drive_dtls(&mut self) {
        let mut buffer = [0; BUFFER_BYTES];
        loop {
            match self.dtls.poll_output(&mut buffer) {
                dimpl::Output::Packet(packet) => self.to_send.push(packet.to_vec()),
                dimpl::Output::KeyingMaterial(keys, profile) => {
                    let profile = Profile::from_dimpl(profile).expect("a profile known here");
                    let session = contexts(profile, &keys, true).expect("keys that fit");
                    self.session = Some(session);
                }
                dimpl::Output::Timeout(_) => return,
                _ => {}
            }
        }
    }
}

fn hmac_sha1(key: &[u8], parts: &[&[u8]]) -> [u8; 20] {
    use aws_lc_rs::hmac;

    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key);
    let mut context = hmac::Context::with_key(&key);
    for part in parts {
        context.update(part);
    }
    let mut digest = [0; 20];
    digest.copy_from_slice(context.sign().as_ref());
    digest
}
