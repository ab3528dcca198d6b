//! A client that nobody here wrote: str0m in RTP mode behind an emulated link.

use std::net::SocketAddr;
use std::time::Instant;

use crate::world::RED;
use kinguicall_proto::api::{IceCredentials, TransportId};
use str0m::IceCreds;
use str0m::channel::ChannelId;
use str0m::crypto::Fingerprint;
use str0m::format::{Codec, FormatParams};
use str0m::media::Frequency;
use str0m::media::KeyframeRequestKind;
use str0m::net::{Protocol, Receive};
use str0m::rtp::{RtpPacket, SeqNo, Ssrc};
use str0m::{Candidate, Event, Input, Output, Rtc};
use str0m_netem::{Input as LinkInput, Netem, NetemConfig, Output as LinkOutput};

use crate::descriptor::{self, DESCRIPTOR_ID};

const UDP_IPV4_HEADERS: usize = 28;
/// How a DTLS 1.2 record begins: content type, version, epoch 0.
const PLAINTEXT_ALERT: [u8; 5] = [21, 0xfe, 0xfd, 0, 0];
const SENDER_REPORT: u8 = 200;

/// A media packet as the client got it.
#[derive(Debug, Clone)]
pub struct Received {
    pub at: Instant,
    pub ssrc: u32,
    /// With the client's own count of rollovers.
    pub sequence: u64,
    pub timestamp: u32,
    pub payload_type: u8,
    pub marker: bool,
    pub payload: Vec<u8>,
    /// The dependency descriptor, empty if there was none.
    pub descriptor: Vec<u8>,
    /// The transport-wide sequence number, if there was one.
    pub transport_sequence: Option<u16>,
    /// RTP time of the last sender report before this packet.
    pub reported_rtp: Option<u32>,
}

/// One peer connection of a client.
pub struct Client {
    pub rtc: Rtc,
    pub transport: TransportId,
    pub address: SocketAddr,
    /// Where its packets seem to come from: another address than its own behind a NAT, which may
    /// change that any time.
    pub seen_as: SocketAddr,
    pub received: Vec<Received>,
    pub channels: Vec<(ChannelId, String)>,
    pub messages: Vec<(ChannelId, Vec<u8>)>,
    pub key_frame_requests: usize,
    pub connected: bool,
    /// Bytes that the server has sent, with UDP and IPv4 headers.
    pub wire_bytes: u64,
    /// Transport feedback is negotiated for its subscriptions.
    pub sends_feedback: bool,
    /// Plaintext DTLS alerts that the server has sent.
    pub alerts: usize,
    /// Datagrams with sender reports that the server has sent.
    pub report_datagrams: usize,
    /// Longest datagram that the server has sent, in bytes of UDP payload.
    pub longest_datagram: usize,
    server: SocketAddr,
    up: Netem<Vec<u8>>,
    down: Netem<Vec<u8>>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("transport", &self.transport)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// A client that knows the server's description; `local_credentials` tells its own.
    pub fn new(
        now: Instant,
        transport: TransportId,
        address: SocketAddr,
        server: SocketAddr,
        credentials: &IceCredentials,
        fingerprint: Vec<u8>,
    ) -> Self {
        let mut builder = Rtc::builder()
            .set_rtp_mode(true)
            .set_extension(DESCRIPTOR_ID, descriptor::extension());
        // str0m does not know redundant audio: to it this is one more payload type.
        builder.codec_config().add_config(
            RED.into(),
            None,
            Codec::Opus,
            Frequency::FORTY_EIGHT_KHZ,
            Some(2),
            FormatParams::default(),
        );
        let mut rtc = builder.build(now);
        rtc.add_local_candidate(host(address));
        rtc.add_remote_candidate(host(server));
        let mut direct = rtc.direct_api();
        direct.set_ice_controlling(true);
        direct.set_remote_ice_credentials(IceCreds {
            ufrag: credentials.ufrag.clone(),
            pass: credentials.password.clone(),
        });
        direct.set_remote_fingerprint(Fingerprint {
            hash_func: "sha-256".to_owned(),
            bytes: fingerprint,
        });
        direct.start_dtls(true).expect("a fresh Rtc can start DTLS");
        Self {
            rtc,
            transport,
            address,
            seen_as: address,
            received: Vec::new(),
            channels: Vec::new(),
            messages: Vec::new(),
            key_frame_requests: 0,
            connected: false,
            wire_bytes: 0,
            sends_feedback: false,
            alerts: 0,
            report_datagrams: 0,
            longest_datagram: 0,
            server,
            up: Netem::new(NetemConfig::new()),
            down: Netem::new(NetemConfig::new()),
        }
    }

    /// Begins an association for data channels.
    pub fn start_sctp(&mut self) {
        self.rtc.direct_api().start_sctp(true);
    }

    /// Emulates the same network in both directions, with different random numbers.
    pub fn set_network(&mut self, config: &NetemConfig, seed: u64) {
        self.up.set_config(config.seed(seed));
        self.down.set_config(config.seed(seed + 1));
    }

    /// Emulates a network from the server to this client only.
    pub fn set_downlink(&mut self, config: &NetemConfig, seed: u64) {
        self.down.set_config(config.seed(seed));
    }

    /// Asks for a key frame of what arrives under `ssrc`.
    pub fn request_key_frame(&mut self, ssrc: u32) {
        let mut direct = self.rtc.direct_api();
        if let Some(stream) = direct.stream_rx(&ssrc.into()) {
            stream.request_keyframe(KeyframeRequestKind::Pli);
        }
    }

    pub fn local_credentials(&mut self) -> IceCredentials {
        let creds = self.rtc.direct_api().local_ice_credentials();
        IceCredentials {
            ufrag: creds.ufrag,
            password: creds.pass,
        }
    }

    pub fn fingerprint_sha256(&mut self) -> [u8; 32] {
        let direct = self.rtc.direct_api();
        let bytes = &direct.local_dtls_fingerprint().bytes;
        bytes.as_slice().try_into().expect("SHA-256 has 32 bytes")
    }

    /// A datagram from the server enters the downlink.
    pub fn arrive(&mut self, now: Instant, datagram: Vec<u8>) {
        self.longest_datagram = self.longest_datagram.max(datagram.len());
        self.wire_bytes += (datagram.len() + UDP_IPV4_HEADERS) as u64;
        // What SRTCP leaves readable: the type of the first packet.
        self.report_datagrams += usize::from(datagram.get(1) == Some(&SENDER_REPORT));
        self.alerts += usize::from(datagram.starts_with(&PLAINTEXT_ALERT));
        self.down.handle_input(LinkInput::Packet(now, datagram));
    }

    /// Lets time pass; returns what the uplink delivers to the server.
    pub fn advance(&mut self, now: Instant) -> Vec<Vec<u8>> {
        self.down.handle_input(LinkInput::Timeout(now));
        while let Some(LinkOutput::Packet(datagram)) = self.down.poll_output() {
            let receive = Receive::new(Protocol::Udp, self.server, self.address, &datagram);
            if let Ok(receive) = receive {
                self.input(Input::Receive(now, receive), now);
            }
        }
        self.input(Input::Timeout(now), now);
        self.up.handle_input(LinkInput::Timeout(now));
        let mut delivered = Vec::new();
        while let Some(LinkOutput::Packet(datagram)) = self.up.poll_output() {
            delivered.push(datagram);
        }
        delivered
    }

    fn input(&mut self, input: Input<'_>, now: Instant) {
        if !self.rtc.is_alive() {
            return;
        }
        self.rtc
            .handle_input(input)
            .expect("the server's packets are well formed");
        loop {
            match self
                .rtc
                .poll_output()
                .expect("str0m accepts what it was told")
            {
                Output::Timeout(_) => return,
                Output::Transmit(transmit) => {
                    let datagram = transmit.contents.to_vec();
                    self.up.handle_input(LinkInput::Packet(now, datagram));
                }
                Output::Event(event) => self.event(event, now),
            }
        }
    }

    fn event(&mut self, event: Event, now: Instant) {
        match event {
            Event::Connected => self.connected = true,
            Event::RtpPacket(packet) => self.received.push(received(&packet, now)),
            Event::KeyframeRequest(_) => self.key_frame_requests += 1,
            Event::ChannelOpen(id, label) => self.channels.push((id, label)),
            Event::ChannelClose(id) => self.channels.retain(|(known, _)| *known != id),
            Event::ChannelData(data) => self.messages.push((data.id, data.data)),
            _ => {}
        }
    }

    /// Packets of one SSRC, in order of arrival.
    pub fn packets(&self, ssrc: u32) -> impl Iterator<Item = &Received> {
        self.received
            .iter()
            .filter(move |packet| packet.ssrc == ssrc)
    }
}

fn received(packet: &RtpPacket, now: Instant) -> Received {
    let ssrc: Ssrc = packet.header.ssrc;
    let sequence: SeqNo = packet.seq_no;
    Received {
        at: now,
        ssrc: *ssrc,
        sequence: *sequence,
        timestamp: packet.header.timestamp,
        payload_type: *packet.header.payload_type,
        marker: packet.header.marker,
        payload: packet.payload.to_vec(),
        descriptor: descriptor::of(&packet.header.ext_vals),
        transport_sequence: packet.header.ext_vals.transport_cc,
        reported_rtp: packet
            .last_sender_info
            .map(|info| info.rtp_time.numer() as u32),
    }
}

fn host(address: SocketAddr) -> Candidate {
    Candidate::host(address, "udp").expect("a plain address is a valid candidate")
}
