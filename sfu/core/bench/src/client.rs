//! A small native WebRTC client: a controlling ICE agent with one candidate pair, a DTLS client,
//! and SRTP. It shares the SRTP code with the server, but neither its ICE nor its DTLS sessions.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dimpl::{Dtls, DtlsCertificate};
use is::stun::{StunMessage, TransId};
use kinguicall_net::new_credentials;
use kinguicall_proto::api::{DtlsRole, IceCredentials, RemoteDescription};
use kinguicall_proto::rtcp::{Packet, packets};
use kinguicall_proto::rtp::Header;
use kinguicall_proto::srtp::{Inbound, Outbound, Profile, contexts};

/// Checks before the first answer.
const CHECK_INTERVAL: Duration = Duration::from_millis(50);
/// Checks that keep consent fresh (RFC 7675, section 5.1).
const CONSENT_INTERVAL: Duration = Duration::from_secs(4);
const BUFFER_BYTES: usize = 2_048;

/// Certificate and parameters that all clients of a process share.
pub struct Identity {
    certificate: DtlsCertificate,
    config: Arc<dimpl::Config>,
}

impl Identity {
    pub fn new() -> io::Result<Self> {
        let certificate = dimpl::certificate::generate_self_signed_certificate();
        let config = dimpl::Config::builder().build();
        Ok(Self {
            certificate: certificate.map_err(io::Error::other)?,
            config: Arc::new(config.map_err(io::Error::other)?),
        })
    }
}

/// Both halves of an SRTP session.
pub struct Session {
    pub profile: Profile,
    pub outbound: Outbound,
    pub inbound: Inbound,
}

/// One peer of the engine.
pub struct Client {
    socket: UdpSocket,
    local: IceCredentials,
    remote: IceCredentials,
    next_check: Instant,
    is_checked: bool,
    dtls: Option<Box<Dtls>>,
    session: Option<Session>,
    key_frame_wanted: bool,
    /// RTP packets that were authentic.
    pub received: u64,
    /// RTP packets that were not.
    pub rejected: u64,
}

impl Client {
    /// A client that will check `server` with the credentials of the engine's transport.
    pub fn new(
        now: Instant,
        identity: &Identity,
        server: SocketAddr,
        remote: IceCredentials,
    ) -> io::Result<Self> {
        let socket = UdpSocket::bind((server.ip(), 0))?;
        socket.connect(server)?;
        socket.set_nonblocking(true)?;
        let (config, certificate) = (&identity.config, &identity.certificate);
        let mut dtls = Dtls::new_12(Arc::clone(config), certificate.clone(), now);
        dtls.set_active(true);
        Ok(Self {
            socket,
            local: new_credentials().map_err(io::Error::other)?,
            remote,
            next_check: now,
            is_checked: false,
            dtls: Some(Box::new(dtls)),
            session: None,
            key_frame_wanted: false,
            received: 0,
            rejected: 0,
        })
    }

    /// What the engine must be told of this client.
    pub fn description(&self, identity: &Identity) -> RemoteDescription {
        let mut fingerprint_sha256 = [0; 32];
        fingerprint_sha256.copy_from_slice(&identity.certificate.fingerprint());
        RemoteDescription {
            ice: self.local.clone(),
            fingerprint_sha256,
            dtls_role: DtlsRole::Server,
        }
    }

    /// The SRTP session, once keys have been agreed on.
    pub fn session(&mut self) -> Option<&mut Session> {
        self.session.as_mut()
    }

    pub fn socket(&self) -> &UdpSocket {
        &self.socket
    }

    /// Sends what is due and takes what has arrived.
    pub fn drive(&mut self, now: Instant) -> io::Result<()> {
        self.keep_consent(now)?;
        let mut buffer = [0; BUFFER_BYTES];
        while let Ok(len) = self.socket.recv(&mut buffer) {
            let datagram = &mut buffer[..len];
            match datagram.first() {
                Some(0..=3) => self.is_checked = true,
                Some(20..=63) => self.handle_dtls(datagram)?,
                Some(128..=191) => self.handle_media(datagram),
                _ => {}
            }
        }
        if self.is_checked {
            self.drive_dtls(now)?;
        }
        Ok(())
    }

    /// Sends a check if one is due.
    pub fn keep_consent(&mut self, now: Instant) -> io::Result<()> {
        if now < self.next_check {
            return Ok(());
        }
        let wait = if self.is_checked {
            CONSENT_INTERVAL
        } else {
            CHECK_INTERVAL
        };
        self.next_check = now + wait;
        let username = format!("{}:{}", self.remote.ufrag, self.local.ufrag);
        let check = StunMessage::binding_request(&username, TransId::new(), true, 1, 1, true);
        let mut bytes = [0; 256];
        let password = self.remote.password.as_bytes();
        let length = check
            .to_bytes(Some(password), &mut bytes, hmac_sha1)
            .map_err(io::Error::other)?;
        self.socket.send(&bytes[..length])?;
        Ok(())
    }

    /// Whether a key frame has been asked for since the last call.
    pub fn take_key_frame_request(&mut self) -> bool {
        std::mem::take(&mut self.key_frame_wanted)
    }

    /// Frees the DTLS session, which is not needed for media.
    pub fn forget_dtls(&mut self) {
        self.dtls = None;
    }

    /// Lets the kernel drop whatever arrives from now on.
    pub fn become_sink(&mut self) -> io::Result<()> {
        socket2::SockRef::from(&self.socket).set_recv_buffer_size(1)
    }

    fn handle_media(&mut self, packet: &mut [u8]) {
        let Some(session) = &mut self.session else {
            return;
        };
        // RTCP is told by its packet types (RFC 5761, section 4).
        if packet.get(1).is_some_and(|b| (192..=223).contains(b)) {
            if let Ok(len) = session.inbound.unprotect_rtcp(packet) {
                let wanted = packets(&packet[..len])
                    .any(|packet| matches!(packet, Ok(Packet::Pli(_) | Packet::Fir(_))));
                self.key_frame_wanted |= wanted;
            }
            return;
        }
        let opened = Header::parse(packet)
            .is_ok_and(|header| session.inbound.unprotect_rtp(packet, &header).is_ok());
        if opened {
            self.received += 1;
        } else {
            self.rejected += 1;
        }
    }

    fn handle_dtls(&mut self, datagram: &[u8]) -> io::Result<()> {
        let Some(dtls) = &mut self.dtls else {
            return Ok(());
        };
        dtls.handle_packet(datagram).map_err(io::Error::other)
    }

    fn drive_dtls(&mut self, now: Instant) -> io::Result<()> {
        let Some(dtls) = &mut self.dtls else {
            return Ok(());
        };
        dtls.handle_timeout(now).map_err(io::Error::other)?;
        let mut buffer = [0; BUFFER_BYTES];
        loop {
            match dtls.poll_output(&mut buffer) {
                dimpl::Output::Packet(packet) => {
                    self.socket.send(packet)?;
                }
                dimpl::Output::KeyingMaterial(keys, profile) => {
                    let profile = Profile::from_dimpl(profile)
                        .ok_or_else(|| io::Error::other("unknown SRTP profile"))?;
                    let (outbound, inbound) =
                        contexts(profile, &keys, true).map_err(io::Error::other)?;
                    self.session = Some(Session {
                        profile,
                        outbound,
                        inbound,
                    });
                }
                dimpl::Output::Timeout(_) => return Ok(()),
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
