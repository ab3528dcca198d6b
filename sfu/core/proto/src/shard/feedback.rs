//! RTCP: what publishers are told, and what subscribers tell.
//!
//! Towards publishers: NACK, transport feedback, receiver reports and key-frame requests, merged
//! into as few datagrams as they fit. From subscribers: loss, round trip, NACK and key-frame
//! requests. Feedback is reduced-size (RFC 5506).

use std::time::{Duration, Instant};

use arrayvec::ArrayVec;
use slab::Slab;

use super::peer::{Peer, Publishing, Sending};
use super::timers::Timer;
use super::tracks::TrackEntry;
use super::{FEEDBACK_INTERVAL, REPORT_INTERVAL, Shard};
use crate::api::{Host, Layer, Ssrc};
use crate::egress::{Batch, MAX_OWN_DATAGRAM, Source, TrafficClass};
use crate::rtcp::{self, Dlrr, Packet, ReportBlock, SenderInfo};
use crate::stats::DropReason;

/// A publisher that has been silent for so long needs no feedback; its next packet asks again.
const SILENT_AFTER: Duration = Duration::from_secs(5);
/// Room for SRTCP's index and tag.
const SRTCP_OVERHEAD: usize = 20;
/// Most NACKed sequence numbers of one datagram that are looked at: as many as history holds.
const MAX_NACKED: usize = 512;

/// When there will be something to tell the publisher, if nothing more comes from it.
fn wanted_feedback_at(
    publishing: &Publishing,
    tracks: &Slab<TrackEntry>,
    now: Instant,
) -> Option<Instant> {
    let published = publishing.tracks.iter();
    let sources = published.filter_map(|key| tracks.get(*key)?.feed.publisher());
    let nacks = sources.filter_map(|source| source.ingest.nacks_at());
    let sends = now.saturating_duration_since(publishing.last_media_at) < SILENT_AFTER;
    let reports = sends.then_some(publishing.reports_at);
    let arrivals = publishing.transport_feedback.poll_timeout();
    nacks.chain(reports).chain(arrivals).min()
}

/// Encrypts a compound into the batch, split where it would exceed a datagram.
pub(super) fn write_compound(
    compound: &[u8],
    sending: &mut Sending<'_>,
    batch: &mut Batch,
    host: &mut dyn Host,
) {
    for part in rtcp::split(compound, MAX_OWN_DATAGRAM - SRTCP_OVERHEAD) {
        if !batch.has_room() {
            host.flush(batch);
        }
        let space = batch.space();
        space[..part.len()].copy_from_slice(part);
        if let Ok(len) = sending.outbound.protect_rtcp(space, part.len()) {
            let path = &sending.path;
            batch.commit(path.socket, path.to, len, TrafficClass::Video, None);
        }
    }
}

/// What is kept over the packets of a compound.
#[derive(Debug)]
struct Compound {
    nacks_left: usize,
    /// What counts only as it is said last.
    estimate_bps: Option<u64>,
    /// Of a receiver, in NTP.
    reference_time: Option<(Ssrc, u64)>,
}

/// How much a packet asks for.
fn units_of(packet: &Packet<'_>) -> u32 {
    let named = match packet {
        Packet::Nack(nack) => nack.take(MAX_NACKED).count(),
        Packet::SenderReport(report) => report.blocks.count(),
        Packet::ReceiverReport(report) => report.blocks.count(),
        Packet::Fir(fir) => fir.count(),
        // Cheaper than what is looked up.
        Packet::TransportFeedback(feedback) => usize::from(feedback.packet_count / 4),
        _ => 0,
    };
    1 + named as u32
}

/// Reports on everything that a publisher sends.
fn write_receiver_reports(
    now: Instant,
    sender: Ssrc,
    published: &[usize],
    tracks: &mut Slab<TrackEntry>,
    out: &mut Vec<u8>,
) {
    // Allocated once a second.
    let mut blocks: Vec<ReportBlock> = Vec::new();
    for key in published {
        if let Some(source) = tracks.get_mut(*key).and_then(|it| it.feed.publisher_mut()) {
            blocks.extend(source.ingest.report_blocks(now));
        }
    }
    for part in blocks.chunks(rtcp::write::MAX_BLOCKS) {
        rtcp::write::receiver_report(out, sender, part);
    }
}

impl Shard {
    /// Everything that a publisher is told on the feedback timer, which runs when there is something.
    pub(super) fn feedback(&mut self, now: Instant, key: usize, host: &mut dyn Host) {
        let Some(peer) = self.peers.get_mut(key) else {
            return;
        };
        let sender = Ssrc(peer.feedback_ssrc());
        let round_trip = peer
            .path
            .as_ref()
            .map_or(Duration::from_millis(100), |path| {
                path.round_trip_or_default()
            });
        let Some(publishing) = peer.publishing_mut() else {
            return;
        };
        let mut out = std::mem::take(&mut self.rtcp_scratch);
        out.clear();
        // More layers than that at once: their subscribers ask for themselves.
        let mut key_frames: ArrayVec<(usize, Layer), 8> = ArrayVec::new();
        let mut any_ssrc = Ssrc(0);
        for key in &publishing.tracks {
            let Some(source) = self
                .tracks
                .get_mut(*key)
                .and_then(|it| it.feed.publisher_mut())
            else {
                continue;
            };
            let ask = |media, lost: &[u16]| rtcp::write::nack(&mut out, sender, media, lost);
            let scratch = &mut self.nack_scratch;
            let hopeless = source.ingest.poll_nacks(now, round_trip, scratch, ask);
            for (layer, _) in (0..).zip(hopeless).filter(|(_, hopeless)| *hopeless) {
                let _ = key_frames.try_push((*key, Layer(layer)));
            }
            let mut streams = source.ingest.streams();
            any_ssrc = streams.next().map_or(any_ssrc, |(_, it)| it.ssrc());
        }
        let recorder = &mut publishing.transport_feedback;
        while recorder.poll(now, sender, any_ssrc, &mut out) {}
        if publishing.reports_at <= now && any_ssrc != Ssrc(0) {
            publishing.reports_at = now + REPORT_INTERVAL;
            write_receiver_reports(now, sender, &publishing.tracks, &mut self.tracks, &mut out);
        }
        publishing.fed_back_at = Some(now);
        let wanted = wanted_feedback_at(publishing, &self.tracks, now);
        self.schedule_feedback(key, wanted);
        self.send_rtcp(key, &out, host);
        self.rtcp_scratch = out;
        for (track_key, layer) in key_frames {
            self.want_key_frame(now, track_key, layer);
        }
    }

    /// Tells the publisher at `wanted`, or somewhat later: not more often than the interval allows.
    pub(super) fn schedule_feedback(&mut self, key: usize, wanted: Option<Instant>) {
        let (Some(peer), Some(wanted)) = (self.peers.get_mut(key), wanted) else {
            return;
        };
        let allowed = peer.publishing().and_then(|it| it.fed_back_at);
        let at = allowed.map_or(wanted, |at| wanted.max(at + FEEDBACK_INTERVAL));
        self.timers
            .schedule(&mut peer.feedback_due, at, Timer::Feedback(key));
    }

    /// Encrypts a compound and queues it, split where it would exceed a datagram.
    pub(super) fn send_rtcp(&mut self, key: usize, compound: &[u8], host: &mut dyn Host) {
        if let Some(mut sending) = self.peers.get_mut(key).and_then(Peer::sending) {
            write_compound(compound, &mut sending, &mut self.batch, host);
        }
    }

    pub(super) fn rtcp(
        &mut self,
        now: Instant,
        from: Source,
        datagram: &mut [u8],
        host: &mut dyn Host,
    ) -> Result<(), DropReason> {
        let key = *self.addresses.get(&from).ok_or(DropReason::UnknownSource)?;
        let peer = &mut self.peers[key];
        if let Some(estimator) = &peer.bandwidth.estimator {
            // Most of what subscribers send is transport feedback.
            estimator.prefetch_for_feedback();
        }
        let len = peer.open(now, |inbound| inbound.unprotect_rtcp(datagram))?;
        if !peer.feedback_pace.admits(now) {
            return Err(DropReason::TooFast);
        }
        let mut compound = Compound {
            nacks_left: MAX_NACKED,
            estimate_bps: None,
            reference_time: None,
        };
        for packet in rtcp::packets(&datagram[..len]) {
            match packet {
                Ok(packet) => {
                    self.peers[key].feedback_pace.spend(units_of(&packet));
                    self.rtcp_packet(now, key, &packet, &mut compound, host);
                }
                Err(_) => self.counters.drop(DropReason::Malformed),
            }
        }
        if let Some(bitrate_bps) = compound.estimate_bps {
            self.receiver_estimate(now, key, bitrate_bps, host);
        }
        if let Some((receiver, ntp)) = compound.reference_time {
            self.answer_reference_time(key, receiver, ntp, host);
        }
        Ok(())
    }

    fn rtcp_packet(
        &mut self,
        now: Instant,
        key: usize,
        packet: &Packet<'_>,
        compound: &mut Compound,
        host: &mut dyn Host,
    ) {
        match packet {
            Packet::SenderReport(report) => {
                self.publisher_clock(now, key, &report.info, host);
                for block in report.blocks {
                    self.receiver_report(now, key, &block);
                }
            }
            Packet::ReceiverReport(report) => {
                for block in report.blocks {
                    self.receiver_report(now, key, &block);
                }
            }
            Packet::Nack(nack) => {
                for lost in nack.take(compound.nacks_left) {
                    compound.nacks_left -= 1;
                    self.answer_nack(now, key, nack.media, lost, host);
                }
            }
            Packet::Pli(pli) => self.key_frame_asked(now, key, pli.media),
            Packet::Fir(fir) => {
                for entry in *fir {
                    self.key_frame_asked(now, key, entry.media);
                }
            }
            Packet::ExtendedReport(report) => {
                let reference = report.receiver_reference_time;
                compound.reference_time = reference.map(|ntp| (report.sender, ntp));
            }
            Packet::TransportFeedback(feedback) => {
                self.transport_feedback(now, key, feedback, host);
            }
            Packet::Remb(remb) => compound.estimate_bps = Some(remb.bitrate_bps),
            // The rest says nothing here.
            _ => {}
        }
    }

    /// A receiver that sends nothing wants to know its round trip.
    fn answer_reference_time(&mut self, key: usize, receiver: Ssrc, ntp: u64, host: &mut dyn Host) {
        let mut out = std::mem::take(&mut self.rtcp_scratch);
        out.clear();
        let sender = Ssrc(self.peers[key].feedback_ssrc());
        let answer = Dlrr::answer(receiver, ntp, Duration::ZERO);
        rtcp::write::dlrr(&mut out, sender, &[answer]);
        self.send_rtcp(key, &out, host);
        self.rtcp_scratch = out;
    }

    fn publisher_clock(
        &mut self,
        now: Instant,
        key: usize,
        info: &SenderInfo,
        host: &mut dyn Host,
    ) {
        let (ntp, rtp) = (info.ntp, info.rtp);
        let mut published = self.peers[key].published().iter();
        let tracks = &mut self.tracks;
        let found = published.find_map(|track_key| {
            let source = tracks.get_mut(*track_key)?.feed.publisher_mut()?;
            let layer = source.ingest.on_sender_report(now, info.ssrc, ntp, rtp)?;
            Some((*track_key, layer))
        });
        let Some((track_key, layer)) = found else {
            return;
        };
        self.set_clock(track_key, layer, ntp, rtp, now);
        self.tell_clock(now, track_key, layer, host);
    }

    fn receiver_report(&mut self, now: Instant, key: usize, block: &ReportBlock) {
        let peer = &mut self.peers[key];
        let Some(entry) = peer
            .sent
            .get(&block.ssrc.0)
            .and_then(|sub| self.subscriptions.get_mut(*sub))
        else {
            return;
        };
        entry.fraction_lost = block.fraction_lost;
        entry.inner.on_reception_report(now, block.fraction_lost);
        if let (Some((middle, at)), Some(path)) = (entry.last_report, peer.path.as_mut())
            && block.last_sender_report == middle
            && middle != 0
        {
            let delay = f64::from(block.delay_since_last_sender_report) / 65_536.0;
            let held = Duration::from_secs_f64(delay);
            path.round_trip = now.saturating_duration_since(at).checked_sub(held);
            entry.inner.set_round_trip(path.round_trip_or_default());
        }
    }

    /// A subscriber has asked for a key frame of what it receives under `ssrc`.
    fn key_frame_asked(&mut self, now: Instant, key: usize, ssrc: Ssrc) {
        let Some(entry) = self.peers[key]
            .sent
            .get(&ssrc.0)
            .and_then(|sub| self.subscriptions.get(*sub))
        else {
            return;
        };
        let layer = entry.inner.waits_for().or(entry.inner.current());
        if let Some(layer) = layer {
            self.want_key_frame(now, entry.track_key, layer);
        }
    }
}
