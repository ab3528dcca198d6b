//! What arrives: sorted by first byte (RFC 7983), checked, decrypted and handed on.
//!
//! STUN is for whoever owns the ufrag in it. Everything else is looked at only if its source
//! address has passed a connectivity check.

use std::net::SocketAddr;
use std::time::Instant;

use super::{FIRST_REPORT_AFTER, Shard};
use crate::api::{Codec, Event, Host, MediaMeta};
use crate::egress::{SocketIndex, Source};
use crate::forward::Kept;
use crate::receive::{Incoming, Packet, Route, rtx};
use crate::rtp::Header;
use crate::stats::DropReason;
use crate::transport::demux::{DatagramKind, classify, is_stun_answer, stun_local_ufrag};

impl Shard {
    pub(super) fn ingest(
        &mut self,
        now: Instant,
        socket: SocketIndex,
        from: SocketAddr,
        datagram: &mut [u8],
        host: &mut dyn Host,
    ) -> Result<(), DropReason> {
        let source = Source::new(socket, from);
        match classify(datagram) {
            DatagramKind::Stun if is_stun_answer(datagram) => {
                let key = self.validated(source)?;
                let transport = &mut self.peers[key].transport;
                if !transport.handle_stun_answer(socket, from, datagram) {
                    return Err(DropReason::UnknownSource);
                }
                self.drive_transport(now, key, host);
                Ok(())
            }
            DatagramKind::Stun => self.stun(now, socket, from, datagram, host),
            DatagramKind::Dtls => {
                let key = self.validated(source)?;
                self.peers[key].transport.handle_dtls(now, source, datagram);
                self.drive_transport(now, key, host);
                Ok(())
            }
            DatagramKind::Rtp => self.rtp(now, source, datagram, host),
            DatagramKind::Rtcp => self.rtcp(now, source, datagram, host),
            DatagramKind::Unknown => Err(DropReason::NotRecognised),
        }
    }

    fn validated(&self, from: Source) -> Result<usize, DropReason> {
        self.addresses
            .get(&from)
            .copied()
            .ok_or(DropReason::UnknownSource)
    }

    fn stun(
        &mut self,
        now: Instant,
        socket: SocketIndex,
        from: SocketAddr,
        datagram: &[u8],
        host: &mut dyn Host,
    ) -> Result<(), DropReason> {
        let key = stun_local_ufrag(datagram)
            .and_then(|ufrag| self.ufrags.get(ufrag).copied())
            .ok_or(DropReason::UnknownSource)?;
        let source = Source::new(socket, from);
        if !self.may_claim(now, key, source, host) {
            return Err(DropReason::AddressTaken);
        }
        let transport = &mut self.peers[key].transport;
        let valid = transport.handle_stun(now, socket, from, datagram);
        if valid {
            self.claim(now, key, source, host);
        }
        self.drive_transport(now, key, host);
        if valid {
            Ok(())
        } else {
            Err(DropReason::UnknownSource)
        }
    }

    fn rtp(
        &mut self,
        now: Instant,
        from: Source,
        datagram: &mut [u8],
        host: &mut dyn Host,
    ) -> Result<(), DropReason> {
        let key = self.validated(from)?;
        let peer = &mut self.peers[key];
        let header = Header::parse(datagram).map_err(|_| DropReason::Malformed)?;
        let len = peer.open(now, |inbound| inbound.unprotect_rtp(datagram, &header))?;
        let publishing = peer.publishing_mut().ok_or(DropReason::Unrouted)?;
        if !publishing.pace.admits(now) {
            return Err(DropReason::TooFast);
        }
        let packet = &datagram[..len];
        let extensions = publishing.extensions.read(packet, &header);
        if let Some(sequence) = extensions.transport_cc {
            publishing.transport_feedback.on_packet(now, sequence);
        }
        publishing.last_media_at = now;
        let route = publishing
            .router
            .route(
                now,
                header.ssrc,
                header.payload_type,
                extensions.mid,
                extensions.rid,
                extensions.repaired_rid,
            )
            .ok_or(DropReason::Unrouted)?;
        let range = header
            .payload_range(len, packet)
            .map_err(|_| DropReason::Malformed)?;
        let arrived = Arrived {
            now,
            header: &header,
            payload: &packet[range],
            descriptor: extensions
                .dependency_descriptor
                .and_then(|range| packet.get(range)),
            capture_time: extensions.abs_capture_time,
            audio_level: extensions.audio_level,
        };
        let feedback_at = publishing.transport_feedback.poll_timeout();
        let result = self.media(key, &route, arrived, host);
        self.schedule_feedback(key, feedback_at);
        result
    }

    fn media(
        &mut self,
        key: usize,
        route: &Route,
        arrived: Arrived<'_>,
        host: &mut dyn Host,
    ) -> Result<(), DropReason> {
        let Arrived { now, header, .. } = arrived;
        let track_key = *self
            .track_ids
            .get(&route.track)
            .ok_or(DropReason::Unrouted)?;
        let track = &mut self.tracks[track_key];
        let source = track.feed.publisher_mut().ok_or(DropReason::Unrouted)?;
        if route.rtx && arrived.payload.is_empty() {
            // Padding that probes the network.
            return Ok(());
        }
        let (sequence, payload) = if route.rtx {
            rtx::unwrap(arrived.payload).ok_or(DropReason::Malformed)?
        } else {
            (header.sequence, arrived.payload)
        };
        if !source.admits(now, payload.len()) {
            return Err(DropReason::TooFast);
        }
        let incoming = arrived.incoming(route, sequence, payload);
        let taken = source.ingest.on_packet(now, route.layer, &incoming)?;
        let asks_at = source.ingest.layer_nacks_at(route.layer);
        let publishing = self.peers[key].publishing_mut();
        let reports_at = publishing.map(|it| {
            if taken.begins {
                it.reports_at = now + FIRST_REPORT_AFTER;
            }
            it.reports_at
        });
        let wanted = asks_at.into_iter().chain(reports_at).min();
        self.schedule_feedback(key, wanted);
        if taken.restarted {
            self.source_restarted(now, track_key, route.layer, host);
        }
        match taken.packet {
            Some(packet) => self.forward_new(key, track_key, route, &arrived, packet, host),
            None => Ok(()),
        }
    }

    /// A packet that has come for the first time and that somebody may want.
    fn forward_new(
        &mut self,
        key: usize,
        track_key: usize,
        route: &Route,
        arrived: &Arrived<'_>,
        packet: Packet<'_>,
        host: &mut dyn Host,
    ) -> Result<(), DropReason> {
        let Packet {
            mut meta,
            payload,
            descriptor,
        } = packet;
        let now = arrived.now;
        let source = self.tracks[track_key].feed.publisher_mut();
        let source = source.ok_or(DropReason::Unrouted)?;
        if let (Some(level), false) = (arrived.audio_level, route.rtx) {
            source.observe_level(level.level_dbov, meta.timestamp);
        }
        let level = arrived.audio_level.map(|it| it.level_dbov);
        let since_epoch = now.saturating_duration_since(self.config.epoch);
        let standing = self.microphones.hear(source, level, since_epoch);
        meta.stretch = standing.stretch;
        if source.starts(route.layer) {
            host.event(Event::LayerStarted {
                track: route.track,
                layer: route.layer,
                payload_type: meta.payload_type,
            });
        }
        self.schedule_microphones(now);
        if standing.begins {
            self.begin_stretch(now, track_key, &meta);
        }
        if meta.codec == Codec::Red {
            self.recover_frames(key, route, &meta, payload, standing.forwarded, host);
        }
        match descriptor {
            Some(descriptor) => self.take_in_described(track_key, meta, descriptor, payload, host),
            None => self.take_in(track_key, &meta, payload, standing.forwarded, host),
        }
        Ok(())
    }

    /// Takes in a video packet with its dependency descriptor, in one piece.
    fn take_in_described(
        &mut self,
        track_key: usize,
        mut meta: MediaMeta,
        descriptor: &[u8],
        payload: &[u8],
        host: &mut dyn Host,
    ) {
        meta.descriptor_len = descriptor.len() as u8;
        let mut joined = std::mem::take(&mut self.descriptor_scratch);
        joined.clear();
        joined.extend_from_slice(descriptor);
        joined.extend_from_slice(payload);
        self.take_in(track_key, &meta, &joined, true, host);
        self.descriptor_scratch = joined;
    }

    /// A decrypted packet, from here or from another shard: keeps it until the next fan-out.
    /// `payload` begins with the dependency descriptor, where there is one.
    pub(super) fn accept(
        &mut self,
        now: Instant,
        track_key: usize,
        meta: &MediaMeta,
        payload: &[u8],
        host: &mut dyn Host,
    ) {
        let entry = &mut self.tracks[track_key];
        let layers_changed = entry.observe(now, meta, payload.len());
        let track = &mut entry.inner;
        let was_dirty = track.has_pending();
        let Kept::Waiting { full } = track.insert(meta, payload) else {
            self.counters.drop(DropReason::Duplicate);
            return;
        };
        if meta.switch_point && meta.codec.is_video() {
            track.key_frames.arrived(meta.layer);
        }
        if !was_dirty {
            self.dirty_tracks.push(track_key);
        }
        if (meta.marker || !meta.codec.is_video()) && self.whole_tracks.last() != Some(&track_key) {
            self.whole_tracks.push(track_key);
        }
        if layers_changed {
            self.settle_all(now, track_key, host);
            self.tell_supply(now, track_key, host);
        }
        if self.flush_at.is_none() {
            self.flush_at = Some(now + self.config.gather);
        }
        if full {
            self.fan_out(now, host);
        }
    }
}

/// A decrypted RTP packet of a publisher.
struct Arrived<'a> {
    now: Instant,
    header: &'a Header,
    payload: &'a [u8],
    /// Value of the dependency descriptor.
    descriptor: Option<&'a [u8]>,
    capture_time: Option<([u8; 16], u8)>,
    audio_level: Option<crate::rtp::AudioLevelExt>,
}

impl<'a> Arrived<'a> {
    /// `sequence` and `payload` are those of the packet that a retransmission repeats.
    fn incoming(&self, route: &Route, sequence: u16, payload: &'a [u8]) -> Incoming<'a> {
        Incoming {
            ssrc: self.header.ssrc,
            sequence,
            timestamp: self.header.timestamp,
            marker: self.header.marker,
            codec: route.codec,
            payload,
            has_padding: self.header.has_padding,
            is_repeat: route.rtx,
            descriptor: self.descriptor,
            abs_capture_time: self.capture_time,
        }
    }
}
