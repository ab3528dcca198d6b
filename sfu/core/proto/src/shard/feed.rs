//! Where a track comes from: a peer of this shard that publishes it, or a neighbour.

use std::time::{Duration, Instant};

use super::audio::MicrophoneKey;
use super::upstream::Upstream;
use crate::api::{Layer, MAX_LAYERS, MediaKind, Publish, RoomId};
use crate::receive::level::LevelWindow;
use crate::receive::{AudioPace, Ingest};

/// Opus frames without a timestamp to compare with are taken to be this long.
const DEFAULT_FRAME_MS: u32 = 20;

/// Shortest time between two messages about one layer's clock: senders report every second or so.
const CLOCK_INTERVAL: Duration = Duration::from_millis(250);

/// Where a track comes from.
#[derive(Debug)]
pub(super) enum Feed {
    Publisher(Box<Publisher>),
    Neighbour(Box<Upstream>),
}

impl Feed {
    pub(super) fn publisher(&self) -> Option<&Publisher> {
        match self {
            Self::Publisher(publisher) => Some(publisher),
            Self::Neighbour(_) => None,
        }
    }

    /// The highest temporal layer that comes from there.
    pub(super) fn highest_temporal(&self) -> u8 {
        match self {
            Self::Publisher(_) => u8::MAX,
            Self::Neighbour(upstream) => upstream.highest_temporal(),
        }
    }

    pub(super) fn upstream_mut(&mut self) -> Option<&mut Upstream> {
        match self {
            Self::Publisher(_) => None,
            Self::Neighbour(upstream) => Some(upstream),
        }
    }

    pub(super) fn publisher_mut(&mut self) -> Option<&mut Publisher> {
        match self {
            Self::Publisher(publisher) => Some(publisher),
            Self::Neighbour(_) => None,
        }
    }
}

/// What a publisher negotiated for a track, and how it is heard.
#[derive(Debug)]
pub(super) struct Publisher {
    /// Key of the publishing peer.
    pub(super) peer: usize,
    pub(super) kind: MediaKind,
    pub(super) ingest: Ingest,
    pub(super) microphone_of: Option<RoomId>,
    /// From the first packet that carries a level.
    pub(super) microphone: Option<MicrophoneKey>,
    clock_rate_hz: u32,
    pub(super) levels: LevelWindow,
    last_level_timestamp: Option<u32>,
    started: [bool; MAX_LAYERS],
    audio_pace: AudioPace,
}

/// What neighbours know of a layer's clock: when they were last told, and whether it has been set
/// since. A sender may report as often as it likes; they are told
/// the latest report, not each.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ClockTold {
    at: Option<Instant>,
    is_pending: bool,
}

impl ClockTold {
    /// Whether they are to be told a new clock now. If not it is due later.
    pub(super) fn tell(&mut self, now: Instant) -> bool {
        self.is_pending = self.at.is_some_and(|at| now < at + CLOCK_INTERVAL);
        if !self.is_pending {
            self.at = Some(now);
        }
        !self.is_pending
    }

    /// When they are to be told what has been set since.
    pub(super) fn due(&self) -> Option<Instant> {
        self.at
            .filter(|_| self.is_pending)
            .map(|at| at + CLOCK_INTERVAL)
    }
}

impl Publisher {
    pub(super) fn new(peer: usize, publish: &Publish) -> Self {
        Self {
            peer,
            kind: publish.kind,
            ingest: Ingest::new(publish.track, publish.kind, publish.nack),
            microphone_of: publish.microphone_of,
            microphone: None,
            clock_rate_hz: publish.codecs.first().map_or(48_000, |c| c.clock_rate_hz),
            levels: LevelWindow::default(),
            last_level_timestamp: None,
            started: [false; MAX_LAYERS],
            audio_pace: AudioPace::default(),
        }
    }

    /// Whether a packet is within what a track of its kind may send. Video is held back later, by
    /// each subscriber's bandwidth.
    pub(super) fn admits(&mut self, now: Instant, payload_bytes: usize) -> bool {
        self.kind == MediaKind::Video || self.audio_pace.admits(now, payload_bytes)
    }

    /// Whether this is the first packet of `layer`.
    pub(super) fn starts(&mut self, layer: Layer) -> bool {
        match self.started.get_mut(usize::from(layer.0)) {
            Some(started) => !std::mem::replace(started, true),
            None => false,
        }
    }

    pub(super) fn observe_level(&mut self, level_dbov: u8, timestamp: u32) {
        let ticks_per_ms = (self.clock_rate_hz / 1_000).max(1);
        let step = self
            .last_level_timestamp
            .replace(timestamp)
            .map_or(0, |last| timestamp.wrapping_sub(last) / ticks_per_ms);
        let frame_ms = if (1..=120).contains(&step) {
            step
        } else {
            DEFAULT_FRAME_MS
        };
        self.levels.observe(level_dbov, frame_ms);
    }
}
