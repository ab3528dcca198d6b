//! One peer of the engine: the swarm's transport (ICE, DTLS, SRTP) on a socket that the bench drives
//! itself, so that it decides when anything is sent or read.

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Instant;

use kinguicall_net::new_credentials;
use kinguicall_proto::api::{DtlsRole, ExtensionId, ExtensionKind, RemoteDescription, Ssrc};
use kinguicall_proto::rtcp::{Packet, packets};
use kinguicall_proto::rtp::{ExtensionMap, Header};
use kinguicall_swarm::outbox::Outbox;
use kinguicall_swarm::transport::{Identity, Received, Session, Transport, TransportState};

use crate::load::{AUDIO, TRANSPORT_CC_EXTENSION};

const BUFFER_BYTES: usize = 2_048;
/// Packets of the witness that others are compared with: more than arrive between two comparisons.
const REMEMBERED: usize = 1_024;

/// Which of the publisher's packets one is, and the transport-wide number that it came under. Its own
/// sequence number does not tell it: to somebody who was not sent all of a stream that is another one.
struct Known {
    ssrc: Ssrc,
    timestamp: u32,
    /// Within its frame.
    index: u8,
    number: u16,
}

impl Known {
    fn new(header: &Header, packet: &[u8], number: Option<u16>) -> Option<Self> {
        Some(Self {
            ssrc: header.ssrc,
            timestamp: header.timestamp,
            index: *packet.last()?,
            number: number?,
        })
    }

    fn is_same(&self, other: &Self) -> bool {
        let of = |it: &Self| (it.ssrc, it.timestamp, it.index);
        of(self) == of(other)
    }
}

/// One peer of the engine.
pub(crate) struct Client {
    socket: UdpSocket,
    server: SocketAddr,
    transport: Transport,
    outbox: Outbox,
    key_frame_wanted: bool,
    extensions: ExtensionMap,
    /// Transport-wide numbers, with rollovers, and times of arrival since the last call of
    /// `take_arrivals`.
    arrivals: Vec<(u64, Instant)>,
    newest: u64,
    remembered: VecDeque<Known>,
    ahead: i16,
    /// RTP packets that were authentic.
    pub received: u64,
    /// RTP and RTCP packets that were not.
    pub rejected: u64,
    pub received_audio: u64,
}

impl Client {
    /// A client that will check `server` with the credentials of the engine's transport.
    pub(crate) fn new(
        now: Instant,
        identity: &Arc<Identity>,
        server: SocketAddr,
        remote: RemoteDescription,
    ) -> io::Result<Self> {
        let socket = UdpSocket::bind((server.ip(), 0))?;
        socket.connect(server)?;
        socket.set_nonblocking(true)?;
        let local = new_credentials().map_err(io::Error::other)?;
        let mut transport = Transport::new(now, Arc::clone(identity), local, 1, false);
        transport.set_remote(now, remote, &[server], true);
        Ok(Self {
            socket,
            server,
            transport,
            outbox: Outbox::default(),
            key_frame_wanted: false,
            extensions: ExtensionMap::new(&[ExtensionId {
                id: TRANSPORT_CC_EXTENSION,
                kind: ExtensionKind::TransportCc,
            }]),
            arrivals: Vec::new(),
            newest: 0,
            remembered: VecDeque::new(),
            ahead: 0,
            received: 0,
            rejected: 0,
            received_audio: 0,
        })
    }

    /// What the engine must be told of this client.
    pub(crate) fn description(&self, identity: &Identity) -> RemoteDescription {
        RemoteDescription {
            ice: self.transport.ice_credentials().clone(),
            fingerprint_sha256: identity.fingerprint_sha256(),
            dtls_role: DtlsRole::Server,
        }
    }

    /// The SRTP session, once keys have been agreed on.
    pub(crate) fn session(&mut self) -> Option<&mut Session> {
        self.transport.session()
    }

    pub(crate) fn socket(&self) -> &UdpSocket {
        &self.socket
    }

    /// Sends what is due and takes what has arrived.
    pub(crate) fn drive(&mut self, now: Instant) -> io::Result<()> {
        let mut buffer = [0; BUFFER_BYTES];
        while let Ok(len) = self.socket.recv(&mut buffer) {
            let datagram = &mut buffer[..len];
            let (from, out) = (self.server, &mut self.outbox);
            match self.transport.handle(now, from, datagram, out) {
                Received::Rtp(header, len) => {
                    self.received += 1;
                    self.received_audio += u64::from(header.payload_type == AUDIO.payload_type);
                    let extensions = self.extensions.read(&datagram[..len], &header);
                    if let Some(number) = extensions.transport_cc {
                        self.newest += u64::from(number.wrapping_sub(self.newest as u16));
                        self.arrivals.push((self.newest, Instant::now()));
                    }
                    let known = Known::new(&header, &datagram[..len], extensions.transport_cc);
                    self.remembered.extend(known);
                    if self.remembered.len() > REMEMBERED {
                        self.remembered.pop_front();
                    }
                }
                Received::Rtcp(len) => {
                    let wanted = packets(&datagram[..len])
                        .any(|packet| matches!(packet, Ok(Packet::Pli(_) | Packet::Fir(_))));
                    self.key_frame_wanted |= wanted;
                }
                Received::Rejected => self.rejected += 1,
                Received::Nothing => {}
            }
        }
        self.transport.handle_timeout(now, &mut self.outbox);
        if let TransportState::Failed(failure) = self.transport.state() {
            return Err(io::Error::other(format!("a client failed: {failure:?}")));
        }
        self.send_outbox()
    }

    /// Sends a check if one is due.
    pub(crate) fn keep_consent(&mut self, now: Instant) -> io::Result<()> {
        self.transport.send_checks(now, &mut self.outbox);
        self.send_outbox()
    }

    fn send_outbox(&mut self) -> io::Result<()> {
        for (_, datagram) in self.outbox.iter() {
            self.socket.send(datagram)?;
        }
        self.outbox.clear();
        Ok(())
    }

    /// Whether a key frame has been asked for since the last call.
    pub(crate) fn take_key_frame_request(&mut self) -> bool {
        std::mem::take(&mut self.key_frame_wanted)
    }

    /// What has arrived since the last call, by transport-wide number.
    pub(crate) fn take_arrivals(&mut self) -> Vec<(u64, Instant)> {
        std::mem::take(&mut self.arrivals)
    }

    /// Compares the packet that waits in this sink with what the witness knows of the same one.
    /// Returns by how much this client's transport-wide numbers are ahead of the witness's.
    pub(crate) fn ahead_of(&mut self, witness: &Self) -> i16 {
        let mut buffer = [0; BUFFER_BYTES];
        while let Ok(len) = self.socket.recv(&mut buffer) {
            let packet = &mut buffer[..len];
            let is_rtcp = packet.get(1).is_some_and(|b| (192..=223).contains(b));
            let Some(header) = Header::parse(packet).ok().filter(|_| !is_rtcp) else {
                continue;
            };
            let Some(session) = self.transport.session() else {
                continue;
            };
            let Ok(len) = session.inbound.unprotect_rtp(packet, &header) else {
                continue;
            };
            let packet = &packet[..len];
            let number = self.extensions.read(packet, &header).transport_cc;
            let Some(own) = Known::new(&header, packet, number) else {
                continue;
            };
            let mut known = witness.remembered.iter().rev();
            if let Some(theirs) = known.find(|it| it.is_same(&own)) {
                self.ahead = own.number.wrapping_sub(theirs.number) as i16;
            }
        }
        self.ahead
    }

    /// Frees the DTLS session, which is not needed for media.
    pub(crate) fn forget_dtls(&mut self) {
        self.transport.forget_dtls();
    }

    /// Lets the kernel drop whatever arrives from now on.
    pub(crate) fn become_sink(&mut self) -> io::Result<()> {
        socket2::SockRef::from(&self.socket).set_recv_buffer_size(1)
    }
}
