//! Sender reports: what subscribers synchronise sound and picture by, and measure loss with.
//!
//! They leave with media: right behind a frame they share its message to the kernel, and no timer wakes
//! a thread for them. Nobody needs the report of what has stopped. Whatever is due soon goes along with
//! what is due, so that after some reports all of a peer's leave together: several sources in one
//! compound (RFC 8108, section 5.3). A datagram of its own for each stream costs a peer with thirty of
//! them as much as a seventh of its media, and a listener on a thin line more than the report itself.

use std::time::{Duration, Instant};

use slab::Slab;

use super::Shard;
use super::peer::Peer;
use super::subscriber::SubscriptionEntry;
use super::timers::Timer;
use super::tracks::TrackEntry;
use crate::api::{Host, Layer, MAX_LAYERS, MediaKind, PeerMessage, TrackId};
use crate::forward::LayerClock;
use crate::rtcp;

/// Between two reports of video.
const VIDEO_INTERVAL: Duration = Duration::from_secs(1);
/// Of audio: at speech's bitrates, and for somebody who pays for each byte, more often is dear
/// (the smallest interval of RFC 3550, section 6.2).
const AUDIO_INTERVAL: Duration = Duration::from_secs(5);
/// The first report of what begins to flow. Peers take turns, or one publisher's start would be
/// followed by a burst of reports every second.
const TURN: Duration = Duration::from_millis(25);
const TURNS: usize = 16;

impl SubscriptionEntry {
    fn report_interval(&self) -> Duration {
        match self.inner.kind() {
            MediaKind::Audio => AUDIO_INTERVAL,
            MediaKind::Video => VIDEO_INTERVAL,
        }
    }

    /// When the first report is due, if something has begun to flow.
    pub(super) fn begin_reports(&mut self, now: Instant) -> Option<Instant> {
        if self.report_at.is_some() || self.inner.packets_sent == self.packets_at_report {
            return None;
        }
        self.report_at = Some(self.first_report_at(now));
        self.report_at
    }

    fn first_report_at(&self, now: Instant) -> Instant {
        now + TURN * (self.peer % TURNS) as u32
    }

    /// Writes a report with the canonical name, unless nothing has been sent since the last one: a
    /// muted track costs its subscribers nothing.
    fn write_report(&mut self, now: Instant, track: &TrackEntry, out: &mut Vec<u8>) {
        let sent = self.inner.packets_sent;
        let was_silent = std::mem::replace(&mut self.packets_at_report, sent) == sent;
        if was_silent && (sent == 0 || self.last_report.is_some()) {
            self.report_at = None;
            return;
        }
        self.report_at = Some(now + self.report_interval());
        let Some((ntp, rtp_time)) = self.inner.report_time(&track.inner.clocks, now) else {
            return;
        };
        let inner = &self.inner;
        let info = rtcp::SenderInfo {
            ssrc: inner.ssrc(),
            ntp,
            rtp: rtp_time,
            packet_count: inner.packets_sent,
            octet_count: inner.octets_sent,
        };
        rtcp::write::sender_report(out, &info, &[]);
        rtcp::write::sdes_cname(out, inner.ssrc(), &inner.cname);
        self.last_report = Some((rtcp::compact_ntp(ntp), now));
    }
}

/// Writes the reports of all that this peer receives, as far as they are due. Returns when the next
/// ones are.
pub(super) fn write_reports(
    now: Instant,
    peer: &Peer,
    tracks: &Slab<TrackEntry>,
    subscriptions: &mut Slab<SubscriptionEntry>,
    out: &mut Vec<u8>,
) -> Option<Instant> {
    let mut next: Option<Instant> = None;
    for sub in peer.sent.values() {
        let Some(entry) = subscriptions.get_mut(*sub) else {
            continue;
        };
        // Half an interval: of streams with one interval, wherever they stand, some two are
        // always that near each other.
        let soon = now + entry.report_interval() / 2;
        if entry.report_at.is_some_and(|at| at <= soon)
            && let Some(track) = tracks.get(entry.track_key)
        {
            entry.write_report(now, track, out);
        }
        next = next.into_iter().chain(entry.report_at).min();
    }
    next
}

impl Shard {
    /// The publisher's clock has become known: subscribers who have waited for it are told soon.
    pub(super) fn report_first_clock(&mut self, now: Instant, track_key: usize) {
        let Some(track) = self.tracks.get(track_key) else {
            return;
        };
        for sub in &track.inner.subscriptions {
            let Some(entry) = self.subscriptions.get_mut(*sub) else {
                continue;
            };
            if entry.inner.packets_sent == 0 {
                continue;
            }
            let (key, first) = (entry.peer, entry.first_report_at(now));
            let at = entry.report_at.map_or(first, |at| at.min(first));
            entry.report_at = Some(at);
            if let Some(peer) = self.peers.get_mut(key) {
                peer.expect_report(at);
            }
        }
    }

    /// Notes the publisher's clock, and reports it to subscribers who have none yet.
    pub(super) fn set_clock(
        &mut self,
        track_key: usize,
        layer: Layer,
        ntp: u64,
        rtp: u32,
        received_at: Instant,
    ) {
        let Some(entry) = self.tracks.get_mut(track_key) else {
            return;
        };
        let clock_rate_hz = entry.clock_rate_hz;
        let Some(clock) = entry.inner.clocks.get_mut(usize::from(layer.0)) else {
            return;
        };
        let is_first = clock.is_none();
        *clock = Some(LayerClock {
            ntp,
            rtp,
            received_at,
            clock_rate_hz,
        });
        if is_first {
            self.report_first_clock(received_at, track_key);
        }
    }

    /// Tells other shards a layer's clock, now or somewhat later.
    pub(super) fn tell_clock(
        &mut self,
        now: Instant,
        track_key: usize,
        layer: Layer,
        host: &mut dyn Host,
    ) {
        let Some(entry) = self.tracks.get_mut(track_key) else {
            return;
        };
        let index = usize::from(layer.0);
        let told = entry.clocks_told.get_mut(index);
        let clock = entry.inner.clocks.get(index).copied().flatten();
        let (Some(told), Some(clock)) = (told, clock) else {
            return;
        };
        if told.tell(now) {
            for sink in &entry.inner.sinks {
                host.peer(sink.to, clock_message(now, entry.inner.id, layer, &clock));
            }
        } else if let Some(at) = told.due() {
            self.timers
                .schedule(&mut entry.due, at, Timer::Track(track_key));
        }
    }

    /// Tells what has been set since other shards were last told. Returns when there is more.
    pub(super) fn tell_due_clocks(
        &mut self,
        now: Instant,
        track_key: usize,
        host: &mut dyn Host,
    ) -> Option<Instant> {
        let mut next: Option<Instant> = None;
        for layer in (0..).map(Layer).take(MAX_LAYERS) {
            let due = |shard: &Self| {
                let told = shard.tracks.get(track_key)?.clocks_told;
                told[usize::from(layer.0)].due()
            };
            if due(self).is_some_and(|at| at <= now) {
                self.tell_clock(now, track_key, layer, host);
            }
            next = next.into_iter().chain(due(self)).min();
        }
        next
    }
}

pub(super) fn clock_message(
    now: Instant,
    track: TrackId,
    layer: Layer,
    clock: &LayerClock,
) -> PeerMessage {
    PeerMessage::SenderReport {
        track,
        layer,
        ntp: clock.ntp,
        rtp: clock.rtp,
        age: now.saturating_duration_since(clock.received_at),
    }
}
