//! One peer connection with what it sends and receives, and the feedback that goes with that:
//! reports, NACK, requests for key frames, transport-wide feedback or REMB.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use kinguicall_proto::api::{ExtensionId, Ssrc};
use kinguicall_proto::receive::{rtx, twcc::Recorder};
use kinguicall_proto::rtcp::{self, Packet, packets, write};
use kinguicall_proto::rtp::{ExtensionMap, Header};

use crate::clock::NtpClock;
use crate::incoming::{Incoming, ReceiveConfig};
use crate::link::{Link, LinkConfig, Passage};
use crate::outbox::Outbox;
use crate::outgoing::{Outgoing, PacketContext, SendConfig};
use crate::random::Random;
use crate::stats::{StreamRecord, Totals, TransportRecord};
use crate::transport::{Received, Transport, TransportState};

const REPORT_INTERVAL: Duration = Duration::from_secs(1);
const MAX_PACKET: usize = 1_500;
/// Room for the tag and the index behind a compound.
const RTCP_OVERHEAD: usize = 32;
/// Most bytes of a compound that goes into a datagram.
const MAX_COMPOUND: usize = 1_200;
/// Records of ended streams that are kept; further ones count in the totals only.
const MAX_ENDED: usize = 4_096;
/// What a receiver without a bottleneck says it can take, where the server asks for REMB.
const REMB_UNLIMITED_BPS: u64 = 50_000_000;

/// A peer.
pub struct Peer {
    id: u32,
    transport: Transport,
    clock: NtpClock,
    random: Random,
    link: Option<Link>,
    rate_bps: Option<u64>,
    extension_list: Vec<ExtensionId>,
    extensions: ExtensionMap,
    transport_sequence: u16,
    ssrc: Ssrc,
    cname: String,
    incoming: Vec<Incoming>,
    /// Ascending by SSRC: which stream, and whether it is its RTX SSRC.
    sources: Vec<(Ssrc, usize, bool)>,
    /// Tracks of a transport that is not connected yet have not begun.
    planned: Vec<SendConfig>,
    outgoing: Vec<Outgoing>,
    twcc: Recorder,
    sends_remb: bool,
    next_report: Instant,
    /// No stream has anything to ask for before.
    next_poll: Option<Instant>,
    /// Records of streams that have ended.
    ended: Vec<StreamRecord>,
    rtcp: Vec<u8>,
    missing: Vec<u16>,
}

impl Peer {
    pub fn new(
        now: Instant,
        id: u32,
        transport: Transport,
        clock: NtpClock,
        mut random: Random,
    ) -> Self {
        // Peers that began together must not report together.
        let phase = Duration::from_secs_f64(random.fraction());
        Self {
            id,
            transport,
            clock,
            ssrc: Ssrc(random.next_u32()),
            cname: format!("swarm-{id}"),
            random,
            link: None,
            rate_bps: None,
            extension_list: Vec::new(),
            extensions: ExtensionMap::new(&[]),
            transport_sequence: 0,
            incoming: Vec::new(),
            sources: Vec::new(),
            planned: Vec::new(),
            outgoing: Vec::new(),
            twcc: Recorder::default(),
            sends_remb: false,
            next_report: now + phase,
            next_poll: None,
            ended: Vec::new(),
            rtcp: Vec::new(),
            missing: Vec::new(),
        }
    }

    pub fn id(&self) -> u32 {
        self.id
    }

    pub fn transport(&mut self) -> &mut Transport {
        &mut self.transport
    }

    pub fn state(&self) -> TransportState {
        self.transport.state()
    }

    pub fn receiving(&self) -> usize {
        self.incoming.len()
    }

    /// Simulates a last mile from now on.
    pub fn set_link(&mut self, config: LinkConfig) {
        self.rate_bps = config.rate_bps;
        let random = Random::new(self.random.next_u64());
        self.link = Some(Link::new(config, random));
    }

    /// Header extensions of the description, which are the same for all its sections.
    pub fn set_extensions(&mut self, extensions: &[ExtensionId], sends_remb: bool) {
        for extension in extensions {
            if !self.extension_list.contains(extension) {
                self.extension_list.push(*extension);
            }
        }
        self.extensions = ExtensionMap::new(&self.extension_list);
        self.sends_remb |= sends_remb;
    }

    /// Begins to receive a stream, instead of one with the same number.
    pub fn receive(&mut self, now: Instant, config: ReceiveConfig) {
        self.stop_receiving(now, config.stream);
        self.incoming.push(Incoming::new(config));
        self.index_sources();
    }

    /// Ends a stream; its record stays.
    pub fn stop_receiving(&mut self, now: Instant, stream: u32) {
        let at = self
            .incoming
            .iter()
            .position(|i| i.config().stream == stream);
        if let Some(at) = at {
            let gone = self.incoming.remove(at);
            if self.ended.len() < MAX_ENDED {
                self.ended.push(gone.record(now, self.id));
            }
            self.index_sources();
        }
    }

    /// Whether somebody looks at a stream.
    pub fn set_watched(&mut self, stream: u32, is_watched: bool) {
        let mut streams = self.incoming.iter_mut();
        if let Some(incoming) = streams.find(|i| i.config().stream == stream) {
            incoming.set_watched(is_watched);
        }
    }

    fn index_sources(&mut self) {
        self.sources.clear();
        for (index, incoming) in self.incoming.iter().enumerate() {
            let config = incoming.config();
            self.sources.push((config.ssrc, index, false));
            let rtx = config.rtx_ssrc.map(|ssrc| (ssrc, index, true));
            self.sources.extend(rtx);
        }
        self.sources.sort_unstable();
    }

    /// Begins to send a track once the transport is connected.
    pub fn send(&mut self, now: Instant, config: SendConfig) {
        self.planned.push(config);
        self.begin_planned(now);
    }

    pub fn stop_sending(&mut self, track: u32) {
        self.planned.retain(|config| config.track != track);
        self.outgoing.retain(|outgoing| outgoing.track() != track);
    }

    pub fn set_encoding_active(&mut self, now: Instant, track: u32, index: usize, active: bool) {
        let mut tracks = self.outgoing.iter_mut();
        if let Some(outgoing) = tracks.find(|outgoing| outgoing.track() == track) {
            outgoing.set_active(now, index, active);
        }
    }

    fn begin_planned(&mut self, now: Instant) {
        if self.state() == TransportState::Connected {
            for config in self.planned.drain(..) {
                let track = Outgoing::new(now, config, &mut self.random);
                self.outgoing.push(track);
            }
        }
    }

    /// Takes what has arrived at `at`.
    pub fn handle(
        &mut self,
        now: Instant,
        at: Instant,
        from: SocketAddr,
        datagram: &mut [u8],
        out: &mut Outbox,
        totals: &mut Totals,
    ) {
        if let Some(link) = &mut self.link {
            match link.enter(at, from, datagram) {
                Passage::Now => {}
                Passage::Later => return,
                Passage::Lost => {
                    totals.counters.simulated_losses += 1;
                    return;
                }
            }
        }
        self.handle_arrived(now, at, from, datagram, out, totals);
    }

    fn handle_arrived(
        &mut self,
        now: Instant,
        at: Instant,
        from: SocketAddr,
        datagram: &mut [u8],
        out: &mut Outbox,
        totals: &mut Totals,
    ) {
        totals.counters.datagrams_received += 1;
        totals.counters.bytes_received += datagram.len() as u64;
        let was_connected = self.state() == TransportState::Connected;
        match self.transport.handle(now, from, datagram, out) {
            Received::Rtp(header, len) => self.handle_rtp(at, &header, &datagram[..len], totals),
            Received::Rtcp(len) => self.handle_rtcp(now, &datagram[..len], out, totals),
            Received::Rejected => totals.counters.rejected += 1,
            Received::Nothing => {}
        }
        if !was_connected {
            self.begin_planned(now);
        }
    }

    fn handle_rtp(&mut self, at: Instant, header: &Header, packet: &[u8], totals: &mut Totals) {
        let extensions = self.extensions.read(packet, header);
        if let Some(sequence) = extensions.transport_cc {
            self.twcc.on_packet(at, sequence);
        }
        let range = header.payload_range(packet.len(), packet);
        let payload = range.ok().and_then(|range| packet.get(range));
        let found = self.source(header.ssrc);
        let (Some(mut payload), Some((index, is_rtx))) = (payload, found) else {
            totals.counters.other_received += 1;
            return;
        };
        let mut sequence = header.sequence;
        if is_rtx {
            let Some((original, rest)) = rtx::unwrap(payload) else {
                totals.counters.other_received += 1;
                return;
            };
            (sequence, payload) = (original, rest);
        }
        let incoming = &mut self.incoming[index];
        if !incoming.on_packet(at, header, sequence, payload, is_rtx) {
            totals.counters.duplicates_received += 1;
            return;
        }
        totals.counters.packets_received += 1;
        totals.counters.repairs_received += u64::from(is_rtx);
        let captured = extensions.abs_capture_time.and_then(|(bytes, _)| {
            let ntp = u64::from_be_bytes(*bytes.first_chunk()?);
            self.clock.since(ntp, at)
        });
        if let Some(latency) = captured {
            incoming.on_latency(latency);
            totals.latency(incoming.config().kind).record(latency);
        }
        if let Some(at) = incoming.poll_timeout() {
            self.next_poll = Some(self.next_poll.map_or(at, |next| next.min(at)));
        }
    }

    fn source(&self, ssrc: Ssrc) -> Option<(usize, bool)> {
        let at = self.sources.binary_search_by_key(&ssrc, |(key, ..)| *key);
        let (_, index, is_rtx) = *self.sources.get(at.ok()?)?;
        Some((index, is_rtx))
    }

    fn handle_rtcp(
        &mut self,
        now: Instant,
        compound: &[u8],
        out: &mut Outbox,
        totals: &mut Totals,
    ) {
        for packet in packets(compound).flatten() {
            match packet {
                Packet::SenderReport(report) => {
                    if let Some((index, false)) = self.source(report.info.ssrc) {
                        let (ntp, rtp) = (report.info.ntp, report.info.rtp);
                        self.incoming[index].on_sender_report(now, ntp, rtp);
                    }
                }
                Packet::Nack(nack) => {
                    for sequence in nack {
                        totals.counters.nacks_received += 1;
                        self.send_again(nack.media, sequence, out, totals);
                    }
                }
                Packet::Pli(pli) => self.want_key_frame(pli.media, totals),
                Packet::Fir(fir) => {
                    for entry in fir {
                        self.want_key_frame(entry.media, totals);
                    }
                }
                // The clips' rate is what it is, whatever the server estimates.
                _ => {}
            }
        }
    }

    fn want_key_frame(&mut self, ssrc: Ssrc, totals: &mut Totals) {
        let mut tracks = self.outgoing.iter_mut();
        let known = tracks.any(|outgoing| outgoing.want_key_frame(ssrc));
        totals.counters.key_frame_requests_received += u64::from(known);
    }

    fn send_again(&mut self, ssrc: Ssrc, sequence: u16, out: &mut Outbox, totals: &mut Totals) {
        let Some(to) = self.transport.remote_address() else {
            return;
        };
        let mut context = PacketContext {
            extensions: &self.extensions,
            clock: self.clock,
            transport_sequence: &mut self.transport_sequence,
        };
        let mut buffer = [0; MAX_PACKET];
        let mut tracks = self.outgoing.iter_mut();
        let plain =
            tracks.find_map(|track| track.send_again(ssrc, sequence, &mut context, &mut buffer));
        if let (Some(plain), Some(session)) = (plain, self.transport.session()) {
            let protected = session.outbound.protect_rtp_numbered(
                &mut buffer,
                plain.header_len,
                plain.len,
                plain.rollover,
            );
            if let Ok(len) = protected {
                out.push(to, &buffer[..len]);
                totals.counters.repairs_sent += 1;
            }
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant, out: &mut Outbox, totals: &mut Totals) {
        while let Some((at, from, mut datagram)) =
            self.link.as_mut().and_then(|link| link.next_due(now))
        {
            self.handle_arrived(now, at, from, &mut datagram, out, totals);
            if let Some(link) = &mut self.link {
                link.recycle(datagram);
            }
        }
        self.transport.handle_timeout(now, out);
        if self.state() != TransportState::Connected {
            return;
        }
        self.send_media(now, out, totals);
        self.rtcp.clear();
        if now >= self.next_report {
            self.next_report = now + REPORT_INTERVAL;
            self.write_reports(now);
        }
        if self.next_poll.is_some_and(|at| now >= at) {
            self.write_requests(now, totals);
        }
        let media = self.sources.first().map_or(Ssrc(0), |(ssrc, ..)| *ssrc);
        while self.twcc.poll(now, self.ssrc, media, &mut self.rtcp) {}
        self.send_rtcp(out);
    }

    fn send_media(&mut self, now: Instant, out: &mut Outbox, totals: &mut Totals) {
        let Some(to) = self.transport.remote_address() else {
            return;
        };
        let mut context = PacketContext {
            extensions: &self.extensions,
            clock: self.clock,
            transport_sequence: &mut self.transport_sequence,
        };
        let Some(session) = self.transport.session() else {
            return;
        };
        let mut buffer = [0; MAX_PACKET];
        for outgoing in &mut self.outgoing {
            while let Some(lateness) =
                outgoing.send_due(now, &mut context, &mut buffer, |packet, plain| {
                    let protected = session.outbound.protect_rtp_numbered(
                        packet,
                        plain.header_len,
                        plain.len,
                        plain.rollover,
                    );
                    if let Ok(len) = protected {
                        out.push(to, &packet[..len]);
                        totals.counters.packets_sent += 1;
                        totals.counters.bytes_sent += len as u64;
                    }
                })
            {
                totals.send_lateness.record(lateness);
            }
        }
    }

    /// Sender reports for what is sent, blocks for what is received (RFC 3550, section 6.4).
    fn write_reports(&mut self, now: Instant) {
        let mut has_sent = false;
        for outgoing in &self.outgoing {
            for info in outgoing.sender_infos(now, self.clock) {
                write::sender_report(&mut self.rtcp, &info, &[]);
                write::sdes_cname(&mut self.rtcp, info.ssrc, &self.cname);
                has_sent = true;
            }
        }
        let streams = self.incoming.iter_mut();
        let blocks: Vec<_> = streams.filter_map(|i| i.report_block(now)).collect();
        for some in blocks.chunks(write::MAX_BLOCKS) {
            write::receiver_report(&mut self.rtcp, self.ssrc, some);
        }
        if blocks.is_empty() && !has_sent {
            write::receiver_report(&mut self.rtcp, self.ssrc, &[]);
        }
        if self.sends_remb && !blocks.is_empty() {
            let rate = self.rate_bps.unwrap_or(REMB_UNLIMITED_BPS);
            let sources: Vec<Ssrc> = blocks.iter().map(|block| block.ssrc).collect();
            write::remb(&mut self.rtcp, self.ssrc, rate, &sources);
        }
    }

    /// What streams miss.
    fn write_requests(&mut self, now: Instant, totals: &mut Totals) {
        for incoming in &mut self.incoming {
            self.missing.clear();
            let media = incoming.config().ssrc;
            if incoming.poll(now, &mut self.missing) {
                write::pli(&mut self.rtcp, self.ssrc, media);
                totals.counters.key_frame_requests_sent += 1;
            }
            write::nack(&mut self.rtcp, self.ssrc, media, &self.missing);
            totals.counters.nacks_sent += self.missing.len() as u64;
        }
        let streams = self.incoming.iter();
        self.next_poll = streams.filter_map(Incoming::poll_timeout).min();
    }

    fn send_rtcp(&mut self, out: &mut Outbox) {
        let (Some(to), Some(session)) = (self.transport.remote_address(), self.transport.session())
        else {
            return;
        };
        let mut buffer = [0; MAX_PACKET];
        for compound in rtcp::split(&self.rtcp, MAX_COMPOUND) {
            let room = compound.len() + RTCP_OVERHEAD;
            let Some(space) = buffer.get_mut(..room) else {
                continue;
            };
            space[..compound.len()].copy_from_slice(compound);
            if let Ok(len) = session.outbound.protect_rtcp(space, compound.len()) {
                out.push(to, &space[..len]);
            }
        }
    }

    /// When [`Self::handle_timeout`] has something to do.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let link = self.link.as_ref().and_then(Link::poll_timeout);
        let transport = self.transport.poll_timeout();
        let mut next = link.into_iter().chain(transport).min();
        if self.state() == TransportState::Connected {
            let media = self.outgoing.iter().filter_map(Outgoing::poll_timeout);
            let feedback = [
                Some(self.next_report),
                self.next_poll,
                self.twcc.poll_timeout(),
            ];
            next = media
                .chain(feedback.into_iter().flatten())
                .chain(next)
                .min();
        }
        next
    }

    pub fn close(&mut self, now: Instant, out: &mut Outbox) {
        self.transport.close(now, out);
    }

    /// What has been measured so far.
    pub fn record(&self, now: Instant) -> TransportRecord {
        let live = self.incoming.iter().map(|i| i.record(now, self.id));
        TransportRecord {
            transport: self.id,
            state: self.transport.state(),
            connected_at: self.transport.connected_at(),
            streams: self.ended.iter().cloned().chain(live).collect(),
        }
    }
}
