//! A peer connection as the shard keeps it: transport, keys, what it publishes and receives.

use std::collections::BTreeMap;
use std::mem::offset_of;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::bandwidth::Bandwidth;
use super::credit::{Allowance, Credit};
use super::stamps::Stamp;
use super::timers::Due;
use crate::api::{ExtensionId, MediaKind, Subscribe, TrackId, TransportId, TransportState};
use crate::bwe::Estimator;
use crate::data::channels::Channels;
use crate::egress::{SocketIndex, Source};
use crate::forward::RepeatBudget;
use crate::receive::{FeedbackPace, Pace, Router, twcc};
use crate::rtp::ExtensionMap;
use crate::srtp::{Inbound, Outbound, SendStream, SendStreams, SrtpError};
use crate::stats::DropReason;
use crate::transport::Transport;

/// Round trip assumed before any report has told.
const DEFAULT_ROUND_TRIP: Duration = Duration::from_millis(100);

/// Shortest time between two searches for sources that could make room.
const ROOM_INTERVAL: Duration = Duration::from_secs(1);

/// Where a peer's packets go.
#[derive(Debug, Clone)]
pub(super) struct Path {
    pub(super) socket: SocketIndex,
    pub(super) to: SocketAddr,
    pub(super) round_trip: Option<Duration>,
    pub(super) bytes_sent: u64,
    pub(super) repeats: RepeatBudget,
    pub(super) credit: Credit,
}

impl Path {
    /// Whether anything may be sent: not once a path that is not proven has had enough.
    #[inline]
    pub(super) fn is_open(&self) -> bool {
        self.credit.is_left()
    }

    /// A datagram of so many bytes is sent.
    #[inline]
    pub(super) fn pay(&mut self, bytes: usize) {
        self.credit.pay(bytes);
    }

    /// Shortest time between two retransmissions of one packet. Who has waited a round trip for one
    /// in vain asks again, and jitter may bring that sooner.
    pub(super) fn retransmission_spacing(&self) -> Duration {
        let round_trip = self.round_trip.unwrap_or(DEFAULT_ROUND_TRIP);
        (round_trip * 3 / 4).min(Duration::from_millis(100))
    }

    pub(super) fn round_trip_or_default(&self) -> Duration {
        self.round_trip.unwrap_or(DEFAULT_ROUND_TRIP)
    }
}

/// What is needed to send media.
pub(super) struct Sending<'a> {
    pub(super) path: &'a mut Path,
    pub(super) outbound: &'a mut Outbound,
    /// Only where transport feedback has been negotiated.
    pub(super) estimator: Option<&'a mut Estimator>,
    pub(super) stamps_audio: bool,
}

impl Sending<'_> {
    /// The stamp of the next packet, for a stream that carries one under `id`.
    pub(super) fn next_stamp(&self, id: Option<u8>, kind: MediaKind) -> Option<Stamp> {
        if kind == MediaKind::Audio && !self.stamps_audio {
            return None;
        }
        let sequence = self.estimator.as_ref()?.next_sequence().to_be_bytes();
        Some(Stamp { id: id?, sequence })
    }

    /// Packets with the next stamps have left, in datagrams of so many bytes.
    pub(super) fn on_stamped(&mut self, now: Instant, lengths: &[u16]) {
        if let (Some(estimator), false) = (&mut self.estimator, lengths.is_empty()) {
            estimator.on_sent(now, lengths);
        }
    }
}

/// What a peer publishes.
pub(super) struct Publishing {
    pub(super) pace: Pace,
    pub(super) router: Router,
    pub(super) extensions: ExtensionMap,
    pub(super) extension_ids: Vec<ExtensionId>,
    /// Keys of the tracks.
    pub(super) tracks: Vec<usize>,
    pub(super) transport_feedback: twcc::Recorder,
    pub(super) reports_at: Instant,
    /// When the feedback timer ran last.
    pub(super) fed_back_at: Option<Instant>,
    pub(super) last_media_at: Instant,
}

impl Publishing {
    fn new(now: Instant) -> Self {
        Self {
            pace: Pace::default(),
            router: Router::default(),
            extensions: ExtensionMap::new(&[]),
            extension_ids: Vec::new(),
            tracks: Vec::new(),
            transport_feedback: twcc::Recorder::default(),
            reports_at: now,
            fed_back_at: None,
            last_media_at: now,
        }
    }
}

/// One peer connection. What a packet on its way out needs comes first, and most of what it does not
/// need is boxed: all peers are walked for every packet, and have to stay in the processor's caches.
#[repr(C)]
pub(super) struct Peer {
    pub(super) path: Option<Path>,
    outbound: Option<Outbound>,
    pub(super) bandwidth: Bandwidth,
    /// When the next of the reports of all that it is sent is due.
    pub(super) reports_at: Option<Instant>,
    pub(super) id: TransportId,
    pub(super) state: TransportState,
    pub(super) transport: Box<Transport>,
    /// From the moment that DTLS is established, or where the peer has to speak first, that it does.
    pub(super) channels: Option<Box<Channels>>,
    pub(super) opens_channels: bool,
    pub(super) inbound: Option<Box<Inbound>>,
    pub(super) feedback_pace: FeedbackPace,
    /// From its first track on: most peers only receive.
    publishing: Option<Box<Publishing>>,
    /// When silent sources last had to make room for others.
    made_room_at: Option<Instant>,
    /// What has been sent under its keys, or will be once they are there.
    pub(super) streams: SendStreams,
    /// Subscriptions by the SSRC that they are sent under.
    pub(super) sent: BTreeMap<u32, usize>,
    /// Addresses of this peer that have passed a connectivity check.
    pub(super) addresses: Vec<Source>,
    pub(super) ufrags: Vec<String>,
    pub(super) allowance: Allowance,
    pub(super) transport_due: Due,
    pub(super) feedback_due: Due,
}

impl Peer {
    pub(super) fn new(
        id: TransportId,
        transport: Transport,
        opens_channels: bool,
        now: Instant,
    ) -> Self {
        Self {
            id,
            state: TransportState::New,
            transport: Box::new(transport),
            channels: None,
            opens_channels,
            inbound: None,
            feedback_pace: FeedbackPace::default(),
            outbound: None,
            path: None,
            bandwidth: Bandwidth::default(),
            publishing: None,
            made_room_at: None,
            streams: SendStreams::default(),
            sent: BTreeMap::new(),
            addresses: Vec::new(),
            ufrags: Vec::new(),
            allowance: Allowance::new(now),
            transport_due: Due::default(),
            feedback_due: Due::default(),
            reports_at: None,
        }
    }

    /// What a packet on its way out needs lies within the first so many bytes.
    pub(super) const HOT_BYTES: usize = offset_of!(Self, id);

    /// What it publishes, if it does.
    pub(super) fn publishing(&self) -> Option<&Publishing> {
        self.publishing.as_deref()
    }

    /// Keys of the tracks that it publishes.
    pub(super) fn published(&self) -> &[usize] {
        self.publishing.as_ref().map_or(&[], |it| &it.tracks)
    }

    pub(super) fn publishing_mut(&mut self) -> Option<&mut Publishing> {
        self.publishing.as_deref_mut()
    }

    /// It is about to publish something.
    pub(super) fn begin_publishing(&mut self, now: Instant) -> &mut Publishing {
        let new = || Box::new(Publishing::new(now));
        self.publishing.get_or_insert_with(new)
    }

    /// Brings what a packet needs of the estimator nearer.
    pub(super) fn prefetch_estimator(&self) {
        if let Some(estimator) = &self.bandwidth.estimator {
            estimator.prefetch_for_packet();
        }
    }

    /// What is needed to send media, once there are keys and an address.
    pub(super) fn sending(&mut self) -> Option<Sending<'_>> {
        Some(Sending {
            path: self.path.as_mut().filter(|path| path.is_open())?,
            outbound: self.outbound.as_mut()?,
            estimator: self.bandwidth.estimator.as_deref_mut(),
            stamps_audio: self.bandwidth.wants_video,
        })
    }

    /// The streams of a new subscription: its media's, and that of its retransmissions.
    pub(super) fn open_streams(
        &mut self,
        request: &Subscribe,
    ) -> Result<(SendStream, Option<SendStream>), SrtpError> {
        let first = request.first_sequence;
        let media = self.streams.open(request.ssrc, first)?;
        let rtx = request.rtx_ssrc.map(|ssrc| self.streams.open(ssrc, first));
        Ok((media, rtx.transpose()?))
    }

    /// Removes the section of a track, and what is known of its SSRCs.
    pub(super) fn forget_section(&mut self, track: TrackId) {
        let publishing = self.publishing.as_mut();
        let removed = publishing.and_then(|it| it.router.remove_section(track));
        if let (Some(ssrcs), Some(inbound)) = (removed, &mut self.inbound) {
            inbound.retire(|ssrc| ssrcs.contains(&ssrc));
        }
    }

    /// Opens a packet by `open`, which is called again if others had to make room for its source.
    pub(super) fn open(
        &mut self,
        now: Instant,
        mut open: impl FnMut(&mut Inbound) -> Result<usize, SrtpError>,
    ) -> Result<usize, DropReason> {
        let inbound = self.inbound.as_mut().ok_or(DropReason::Srtp)?;
        let mut opened = open(inbound);
        if opened == Err(SrtpError::TooManySources) && self.make_room_for_sources(now) {
            let inbound = self.inbound.as_mut().ok_or(DropReason::Srtp)?;
            opened = open(inbound);
        }
        opened.map_err(|_| DropReason::Srtp)
    }

    /// Too many SSRCs have been heard: those that are not in use, or no longer, make room. `false` if
    /// that has been tried lately. Packets that are not authentic can bring this about.
    fn make_room_for_sources(&mut self, now: Instant) -> bool {
        let lately = |at| now.saturating_duration_since(at) < ROOM_INTERVAL;
        if self.made_room_at.is_some_and(lately) {
            return false;
        }
        self.made_room_at = Some(now);
        let publishing = &self.publishing;
        let is_in_use = |ssrc| {
            let router = publishing.as_ref().map(|it| &it.router);
            router.is_some_and(|router| router.is_in_use(now, ssrc))
        };
        if let Some(inbound) = &mut self.inbound {
            inbound.retire(|ssrc| !is_in_use(ssrc));
        }
        true
    }

    /// Something of what it is sent is to be reported at `at`.
    pub(super) fn expect_report(&mut self, at: Instant) {
        self.reports_at = Some(self.reports_at.map_or(at, |earlier| earlier.min(at)));
    }

    pub(super) fn set_keys(&mut self, outbound: Outbound, inbound: Inbound) {
        self.outbound = Some(outbound);
        self.inbound = Some(Box::new(inbound));
    }

    /// An SSRC to sign feedback with: receivers do not look at it.
    pub(super) fn feedback_ssrc(&self) -> u32 {
        self.id.0 | 1
    }
}
