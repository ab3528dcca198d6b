//! One track towards one subscriber: which packets, under which numbers.
//!
//! States of the layer choice: nothing flows (`current` is `None`) → a switch point of `target`
//! arrives → it flows; a new target waits for its own switch point while the old layer goes on.
//! Pausing stops at once and keeps all numbers, so that resuming continues where it stopped.

mod frames;
mod repeat;
mod timestamps;

use std::mem::offset_of;
use std::time::{Duration, Instant};

use self::frames::{FrameShift, described};
use super::clock::LayerClock;
use super::history::{History, Sent};
use super::scalable::ScalableLayers;
use super::sequence::SequenceMap;
use super::temporal::TemporalLayers;
use super::vp8_numbers::{Vp8Numbers, Vp8Shift};
use crate::api::{
    Codec, ExtensionKind, Layer, MAX_LAYERS, MediaKind, MediaMeta, SendCodec, Ssrc, Subscribe,
    SubscriptionSettings,
};
use crate::prefetch::prefetch;
use crate::rtp::payload::vp8;
use crate::srtp::{PacketIndex, SendStream};

/// Packets that can be asked for again: about two seconds of video, and of speech.
const VIDEO_HISTORY: usize = 512;
const AUDIO_HISTORY: usize = 64;

/// How long redundant audio is passed on after the last report of loss.
const REDUNDANCY_AFTER_LOSS: Duration = Duration::from_secs(30);

/// A packet as it is to leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outgoing {
    /// With the rollovers that the subscriber's SRTP context needs.
    pub sequence: u64,
    pub timestamp: u32,
    pub payload_type: u8,
    pub vp8: Option<Vp8Numbers>,
    /// To be written into the dependency descriptor.
    pub frame_number: u16,
    pub marker: bool,
    /// The source is redundant audio (RFC 2198) and the subscriber takes its primary block only.
    pub unwrap_red: bool,
}

/// What to do with a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Skip,
    Send(Outgoing),
}

/// A subscriber's side of a track.
///
/// What every packet needs comes first and lies together (hence the C order): with thousands of
/// subscribers little of them is in the processor's caches, and each further line is waited for.
#[derive(Debug)]
#[repr(C)]
pub struct Subscription {
    codecs: Box<[SendCodec]>,
    numbers: SequenceMap,
    history: History,
    last_sent_at: Option<Instant>,
    timestamp_shift: [Option<u32>; MAX_LAYERS],
    pub packets_sent: u32,
    pub octets_sent: u32,
    last_timestamp: u32,
    /// `MediaMeta::stretch` of the last packet.
    stretch: u16,
    /// Identifier under which the subscriber negotiated absolute capture time.
    pub abs_capture_time_id: Option<u8>,
    /// Identifier under which the subscriber negotiated the dependency descriptor.
    pub descriptor_id: Option<u8>,
    current: Option<Layer>,
    target: Option<Layer>,
    kind: MediaKind,
    /// Redundant audio is passed on as it is: the subscriber has reported loss, or not reported yet.
    redundancy: bool,
    vp8: Vp8Shift,
    frames: FrameShift,
    temporal: TemporalLayers,

    // From here on what few packets need.
    /// From the first packet of a scalable stream on.
    scalable: Option<Box<ScalableLayers>>,
    /// Packets before this one would look different now, or are of no use any more. One number must
    /// never be encrypted with two contents, so they are not repeated.
    repeatable_from: u64,
    settings: SubscriptionSettings,
    /// Of spatial and temporal layers, see `restrict`.
    limits: (u8, u8),
    last_layer: Option<Layer>,
    /// The last report of loss, or the first one of none.
    last_loss: Option<Instant>,
    /// The clock of what was sent of the track before this one.
    clock_before: Option<Box<LayerClock>>,
    rtx: Option<SendStream>,
    pub cname: Box<str>,
}

impl Subscription {
    /// What every packet needs lies within the first so many bytes.
    pub const HOT_BYTES: usize = offset_of!(Self, scalable);

    /// `media` and `rtx` are the streams of the SSRCs that the request names.
    pub fn new(
        request: &Subscribe,
        media: SendStream,
        rtx: Option<SendStream>,
        now: Instant,
    ) -> Self {
        let history = match request.kind {
            MediaKind::Audio => AUDIO_HISTORY,
            MediaKind::Video => VIDEO_HISTORY,
        };
        let id_of = |kind| {
            request
                .extensions
                .iter()
                .find(|e| e.kind == kind)
                .map(|e| e.id)
        };
        Self {
            rtx,
            cname: request.cname.as_str().into(),
            abs_capture_time_id: id_of(ExtensionKind::AbsCaptureTime),
            descriptor_id: id_of(ExtensionKind::DependencyDescriptor),
            packets_sent: 0,
            octets_sent: 0,
            kind: request.kind,
            codecs: request.codecs.as_slice().into(),
            settings: request.settings,
            limits: (u8::MAX, u8::MAX),
            current: None,
            target: None,
            numbers: SequenceMap::new(media),
            redundancy: true,
            last_loss: None,
            repeatable_from: 0,
            stretch: 0,
            timestamp_shift: [None; MAX_LAYERS],
            last_layer: None,
            clock_before: None,
            last_timestamp: 0,
            last_sent_at: None,
            vp8: Vp8Shift::default(),
            temporal: TemporalLayers::new(request.settings.max_temporal_layer),
            scalable: None,
            frames: FrameShift::default(),
            history: History::new(history, now),
        }
    }

    /// The SSRC of its media.
    pub fn ssrc(&self) -> Ssrc {
        self.numbers.stream().ssrc()
    }

    /// What the packet that has the number `sequence` is encrypted under.
    pub fn index_of(&self, sequence: u64) -> Option<PacketIndex> {
        self.numbers.stream().index_of(sequence)
    }

    /// It has a retransmission stream.
    pub fn is_repairable(&self) -> bool {
        self.rtx.is_some()
    }

    pub fn kind(&self) -> MediaKind {
        self.kind
    }

    pub fn settings(&self) -> SubscriptionSettings {
        self.settings
    }

    pub fn set_settings(&mut self, settings: SubscriptionSettings) {
        self.settings = settings;
        self.apply_limits();
        if settings.paused {
            self.current = None;
            self.target = None;
        }
    }

    /// Sends no higher spatial and temporal layers of its stream than these, whatever the settings
    /// ask for. Simulcast layers are the caller's to choose.
    pub fn restrict(&mut self, spatial: u8, temporal: u8) {
        self.limits = (spatial, temporal);
        self.apply_limits();
    }

    fn apply_limits(&mut self) {
        let (spatial, temporal) = self.highest_layers();
        self.temporal.set_max(temporal);
        if let Some(scalable) = &mut self.scalable {
            scalable.set_max(spatial, temporal);
        }
    }

    /// Spatial and temporal.
    fn highest_layers(&self) -> (u8, u8) {
        let spatial = self.settings.max_layer.min(self.limits.0);
        let temporal = self.settings.max_temporal_layer.min(self.limits.1);
        (spatial, temporal)
    }

    /// Made when the first packet asks for it: most streams have one layer, and a subscriber many
    /// streams.
    fn scalable(&mut self) -> &mut ScalableLayers {
        let (spatial, temporal) = self.highest_layers();
        let begun_at = self.numbers.first_source();
        self.scalable.get_or_insert_with(|| {
            let mut layers = ScalableLayers::new(spatial, temporal);
            layers.start(begun_at);
            Box::new(layers)
        })
    }

    /// `best` is the layer that the settings ask for among those that arrive.
    pub fn retarget(&mut self, best: Option<Layer>) {
        self.target = if self.settings.paused { None } else { best };
    }

    /// The publisher has begun a new stream on `layer`: its numbers have nothing to do with the
    /// ones before, so the next switch point starts afresh.
    pub fn source_restarted(&mut self, layer: Layer) {
        if self.current == Some(layer) {
            self.current = None;
        }
        if let Some(shift) = self.timestamp_shift.get_mut(usize::from(layer.0)) {
            *shift = None;
        }
        self.repeat_no_more();
    }

    /// Goes on with another track: nothing flows until its next switch point, which continues the
    /// numbers. `clocks` are those of the track so far.
    pub fn change_track(
        &mut self,
        codecs: &[SendCodec],
        settings: SubscriptionSettings,
        clocks: &[Option<LayerClock>; MAX_LAYERS],
    ) {
        if let Some(last) = self.last_layer.take() {
            let clock = clocks.get(usize::from(last.0)).copied().flatten();
            self.clock_before = clock.map(|clock| Box::new(clock.shifted(self.shift_of(last))));
        }
        self.timestamp_shift = [None; MAX_LAYERS];
        self.codecs = codecs.into();
        self.current = None;
        self.target = None;
        self.repeat_no_more();
        self.set_settings(settings);
    }

    /// The subscriber has reported the share of packets that it has lost, in 1/256. Redundancy
    /// doubles what audio costs: it stays out while nothing is lost.
    pub fn on_reception_report(&mut self, now: Instant, fraction_lost: u8) {
        if fraction_lost > 0 {
            self.last_loss = Some(now);
        }
        let since = *self.last_loss.get_or_insert(now);
        let redundancy = now.saturating_duration_since(since) < REDUNDANCY_AFTER_LOSS;
        if std::mem::replace(&mut self.redundancy, redundancy) != redundancy {
            self.repeat_no_more();
        }
    }

    /// The subscriber's round trip takes so long.
    pub fn set_round_trip(&mut self, round_trip: Duration) {
        self.history.set_round_trip(round_trip);
    }

    /// As many of the last packets as may be repeated, at most.
    pub fn history_places(&self) -> usize {
        self.history.places()
    }

    fn repeat_no_more(&mut self) {
        self.repeatable_from = self.numbers.highest().map_or(0, |highest| highest + 1);
    }

    /// The layer whose key frame this subscriber waits for.
    pub fn waits_for(&self) -> Option<Layer> {
        self.target.filter(|target| self.current != Some(*target))
    }

    /// A layer whose key frame would bring more spatial layers, or others, of its stream.
    pub fn needs_key_frame(&self) -> Option<Layer> {
        let scalable = self.scalable.as_ref()?;
        self.current.filter(|_| scalable.needs_key_frame())
    }

    /// The layer that flows.
    pub fn current(&self) -> Option<Layer> {
        self.current
    }

    /// Brings what the next packet needs beside this structure nearer.
    pub fn prefetch_next(&self) {
        let next = self.numbers.highest().map_or(0, |highest| highest + 1);
        self.history.prefetch(next);
        if let Some(codec) = self.codecs.first() {
            prefetch(codec, size_of::<SendCodec>());
        }
    }

    /// Decides on a packet and assigns its numbers.
    pub fn forward(
        &mut self,
        meta: &MediaMeta,
        vp8: Option<&vp8::Descriptor>,
        clocks: &[Option<LayerClock>; MAX_LAYERS],
    ) -> Verdict {
        let Some(codec) = self.codec_of(meta).copied() else {
            self.leave_out(meta);
            return Verdict::Skip;
        };
        if meta.is_filler
            && !(self.current == Some(meta.layer) && self.numbers.is_behind(meta.sequence))
        {
            self.leave_out(meta);
            return Verdict::Skip;
        }
        if self.waits_for() == Some(meta.layer) && meta.switch_point {
            self.switch_to(meta, vp8, clocks, codec.clock_rate_hz);
        }
        if self.current != Some(meta.layer) {
            return Verdict::Skip;
        }
        let vp8 = vp8.filter(|_| codec.codec == Codec::Vp8);
        let Some(marker) = self.admits(meta, vp8) else {
            return Verdict::Skip;
        };
        if std::mem::replace(&mut self.stretch, meta.stretch) != meta.stretch {
            self.numbers.start(meta.sequence);
        }
        let Some(mapped) = self.numbers.map(meta.sequence) else {
            return Verdict::Skip;
        };
        let sequence = mapped.out;
        let timestamp = meta.timestamp.wrapping_add(self.shift_of(meta.layer));
        let numbers = vp8.map(|d| self.vp8.apply(d, mapped.pictures_left_out));
        if self.numbers.highest() == Some(sequence) {
            self.last_timestamp = timestamp;
            self.last_sent_at = Some(meta.received_at);
        }
        let frame_number = described(meta).map_or(0, |number| self.frames.apply(number));
        self.history.record(
            meta.received_at,
            sequence,
            Sent {
                source_low: meta.sequence as u32,
                picture_id: numbers.map_or(frame_number, |n| n.picture_id),
                tl0_pic_idx: numbers.map_or(0, |n| n.tl0_pic_idx),
                layer: meta.layer,
                marker,
            },
        );
        Verdict::Send(Outgoing {
            sequence,
            timestamp,
            payload_type: codec.payload_type,
            vp8: numbers,
            frame_number,
            marker,
            unwrap_red: unwraps_red(meta, &codec),
        })
    }

    /// Sends no more of the layer that flows: it does not fit the path any longer. What has been
    /// sent is not repeated either, as whatever comes next begins with a key frame.
    pub fn stop(&mut self) {
        self.current = None;
        self.repeat_no_more();
    }

    /// NTP and RTP time for a sender report at `now`, once anything has been sent.
    pub fn report_time(
        &self,
        clocks: &[Option<LayerClock>; MAX_LAYERS],
        now: Instant,
    ) -> Option<(u64, u32)> {
        let layer = self.last_layer.filter(|_| self.packets_sent > 0)?;
        let clock = clocks.get(usize::from(layer.0))?.as_ref()?;
        let (ntp, rtp) = clock.at(now);
        Some((ntp, rtp.wrapping_add(self.shift_of(layer))))
    }

    /// A packet that means nothing to this subscriber: what follows closes up.
    fn leave_out(&mut self, meta: &MediaMeta) {
        if self.current == Some(meta.layer) {
            self.numbers.exclude(meta.sequence, false);
        }
    }

    /// The packet's marker, if it belongs to the layers that the subscriber gets; closes up behind
    /// it if not.
    fn admits(&mut self, meta: &MediaMeta, vp8: Option<&vp8::Descriptor>) -> Option<bool> {
        let (sequence, timestamp) = (meta.sequence, meta.timestamp);
        if meta.is_filler {
            return Some(meta.marker);
        }
        if let Some(descriptor) = vp8 {
            if self.temporal.admits(sequence, timestamp, descriptor) {
                return Some(meta.marker);
            }
            let new_picture = self.vp8.leave_out(descriptor);
            self.numbers.exclude(sequence, new_picture);
            return None;
        }
        if meta.frame.is_none() && !matches!(meta.codec, Codec::Vp9 | Codec::Av1) {
            return Some(meta.marker);
        }
        let admitted = self
            .scalable()
            .admits(sequence, timestamp, meta.frame.as_ref());
        if admitted.is_none() {
            self.numbers.exclude(sequence, false);
        }
        admitted.map(|admitted| meta.marker || admitted.ends_picture)
    }

    fn switch_to(
        &mut self,
        meta: &MediaMeta,
        vp8: Option<&vp8::Descriptor>,
        clocks: &[Option<LayerClock>; MAX_LAYERS],
        clock_rate_hz: u32,
    ) {
        let index = usize::from(meta.layer.0);
        if index >= MAX_LAYERS {
            return;
        }
        if self.last_layer.is_some_and(|last| last.0 > meta.layer.0) {
            // Nobody shows the larger picture any more. On a path that has become narrow, repairing
            // it would hold up the smaller one for seconds.
            self.repeat_no_more();
        }
        self.current = Some(meta.layer);
        self.numbers.start(meta.sequence);
        self.temporal.start(meta.sequence);
        if let Some(scalable) = &mut self.scalable {
            scalable.start(meta.sequence);
        }
        if let Some(number) = described(meta) {
            self.frames.start(number);
        }
        if self.timestamp_shift[index].is_none() {
            let shift = self.aligned_shift(meta, clocks, clock_rate_hz);
            self.timestamp_shift[index] = Some(shift);
        }
        self.last_layer = Some(meta.layer);
        if let Some(descriptor) = vp8 {
            self.vp8.start(descriptor);
        }
    }

    /// What a packet leaves as.
    fn codec_of(&self, meta: &MediaMeta) -> Option<&SendCodec> {
        let negotiated = self.codec_for(meta.payload_type)?;
        if negotiated.codec != Codec::Red || self.redundancy {
            return Some(negotiated);
        }
        let plain = self.codecs.iter().find(|it| it.codec == Codec::Opus);
        plain.or(Some(negotiated))
    }

    fn codec_for(&self, source_payload_type: u8) -> Option<&SendCodec> {
        self.codecs
            .iter()
            .find(|codec| codec.from_payload_type == source_payload_type)
    }
}

fn unwraps_red(meta: &MediaMeta, codec: &SendCodec) -> bool {
    meta.codec == Codec::Red && codec.codec != Codec::Red
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
#[path = "subscription_tests.rs"]
mod tests;
