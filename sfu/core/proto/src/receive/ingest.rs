//! The packets of one feed on their way in, whoever sends them: a publisher now, another node later.
//!
//! Takes decrypted RTP packets of a track's layers and gives what is to be kept and forwarded, under
//! numbers of its own: they never go back, over restarts of the sender neither, and close up where a
//! packet is of no use to anybody. Tells which packets are missing, when a key frame is cheaper than
//! asking for them, and what to report. Knows no peer, clock or socket.

use std::time::{Duration, Instant};

use super::layer::{Incoming, LayerIngest};
use super::stream::Stream;
use crate::api::{Layer, MAX_LAYERS, MediaKind, MediaMeta, Ssrc, TrackId};
use crate::rtcp::ReportBlock;
use crate::stats::DropReason;

/// Shortest time between two changes of a layer's SSRC. Each makes every subscriber start anew, so a
/// sender that alternates between two is held to one of them.
const MIN_RESTART_INTERVAL: Duration = Duration::from_millis(500);

/// What a packet has turned out to be.
#[derive(Debug)]
pub struct Taken<'a> {
    /// `None` for one that nobody is to get.
    pub packet: Option<Packet<'a>>,
    /// The sender has begun a new stream on this layer.
    pub restarted: bool,
    /// The stream has just begun, or begun anew: reports about it are due soon.
    pub begins: bool,
}

/// A packet to be kept and forwarded.
#[derive(Debug)]
pub struct Packet<'a> {
    /// Whose `stretch` and `descriptor_len` are the caller's to fill in.
    pub meta: MediaMeta,
    pub payload: &'a [u8],
    /// Its dependency descriptor, if that is understood: it has to be renumbered on the way out.
    pub descriptor: Option<&'a [u8]>,
}

/// Reception of one track.
#[derive(Debug)]
pub struct Ingest {
    track: TrackId,
    kind: MediaKind,
    /// The sender answers generic NACK.
    nack: bool,
    /// Made with the first packet of each.
    layers: [Option<Box<LayerIngest>>; MAX_LAYERS],
    restarted_at: [Option<Instant>; MAX_LAYERS],
}

impl Ingest {
    pub fn new(track: TrackId, kind: MediaKind, nack: bool) -> Self {
        Self {
            track,
            kind,
            nack,
            layers: [None, None, None],
            restarted_at: [None; MAX_LAYERS],
        }
    }

    /// Takes a packet of `layer`. Errors say why it goes no further.
    pub fn on_packet<'a>(
        &mut self,
        now: Instant,
        layer: Layer,
        packet: &Incoming<'a>,
    ) -> Result<Taken<'a>, DropReason> {
        let (begins, restarted) = self.begin(now, layer, packet)?;
        let place = (self.track, layer);
        let received = self.layer_mut(layer).ok_or(DropReason::Unrouted)?;
        let number = received.number(now, packet)?;
        Ok(Taken {
            packet: received.describe(now, place, packet, number),
            restarted,
            begins,
        })
    }

    /// Makes a layer's state with its first packet, and anew when the sender changes the SSRC. Tells
    /// whether it has done so, and whether it was the latter.
    fn begin(
        &mut self,
        now: Instant,
        layer: Layer,
        packet: &Incoming<'_>,
    ) -> Result<(bool, bool), DropReason> {
        let index = usize::from(layer.0);
        let place = self.layers.get_mut(index).ok_or(DropReason::Unrouted)?;
        let highest = match place {
            Some(_) if packet.is_repeat => return Ok((false, false)),
            Some(known) if known.stream.ssrc() == packet.ssrc => return Ok((false, false)),
            Some(known) => Some(known.highest()),
            None if packet.is_repeat => return Err(DropReason::Unrouted),
            None => None,
        };
        let codec = packet.codec.ok_or(DropReason::Unrouted)?;
        if highest.is_some() {
            let last = self.restarted_at[index].replace(now);
            let too_soon = |at| now.saturating_duration_since(at) < MIN_RESTART_INTERVAL;
            if last.is_some_and(too_soon) {
                self.restarted_at[index] = last;
                return Err(DropReason::TooFast);
            }
        }
        let nack = self.nack.then_some(self.kind);
        *place = Some(Box::new(LayerIngest::new(packet, codec, nack, highest)));
        Ok((true, highest.is_some()))
    }

    fn layer_mut(&mut self, layer: Layer) -> Option<&mut LayerIngest> {
        self.layers.get_mut(usize::from(layer.0))?.as_deref_mut()
    }

    fn each(&self) -> impl Iterator<Item = (Layer, &LayerIngest)> {
        let layers = (0..).map(Layer).zip(&self.layers);
        layers.filter_map(|(layer, received)| Some((layer, received.as_deref()?)))
    }

    fn each_mut(&mut self) -> impl Iterator<Item = (Layer, &mut LayerIngest)> {
        let layers = (0..).map(Layer).zip(&mut self.layers);
        layers.filter_map(|(layer, received)| Some((layer, received.as_deref_mut()?)))
    }

    /// Streams that have begun, lowest layer first.
    pub fn streams(&self) -> impl Iterator<Item = (Layer, &Stream)> {
        self.each()
            .map(|(layer, received)| (layer, &received.stream))
    }

    /// The SSRC that feeds a layer: the one to name in feedback.
    pub fn ssrc(&self, layer: Layer) -> Option<Ssrc> {
        let received = self.layers.get(usize::from(layer.0))?.as_deref()?;
        Some(received.stream.ssrc())
    }

    /// The packet of that number has been recovered from another one, and need not be asked for.
    pub fn on_recovered(&mut self, now: Instant, layer: Layer, sequence: u64) {
        if let Some(received) = self.layer_mut(layer) {
            received.on_recovered(now, sequence);
        }
    }

    /// When there is something to ask for.
    pub fn nacks_at(&self) -> Option<Instant> {
        self.each()
            .filter_map(|(_, received)| received.nack.as_ref()?.poll_timeout())
            .min()
    }

    /// Of one layer.
    pub fn layer_nacks_at(&self, layer: Layer) -> Option<Instant> {
        let received = self.layers.get(usize::from(layer.0))?.as_deref()?;
        received.nack.as_ref()?.poll_timeout()
    }

    /// Gives `ask` the numbers to ask for now by the SSRC that they are missing from, as the sender
    /// counts them. Returns the layers of which more was lost than can be repaired: they need a key
    /// frame. `scratch` is for the numbers.
    pub fn poll_nacks(
        &mut self,
        now: Instant,
        round_trip: Duration,
        scratch: &mut Vec<u16>,
        mut ask: impl FnMut(Ssrc, &[u16]),
    ) -> [bool; MAX_LAYERS] {
        let mut key_frames = [false; MAX_LAYERS];
        for (layer, received) in self.each_mut() {
            let Some(nack) = received.nack.as_mut() else {
                continue;
            };
            scratch.clear();
            key_frames[usize::from(layer.0)] = nack.poll(now, round_trip, scratch);
            if !scratch.is_empty() {
                ask(received.stream.ssrc(), scratch);
            }
        }
        key_frames
    }

    /// What to report about each stream; starts a new interval for the fraction lost.
    pub fn report_blocks(&mut self, now: Instant) -> impl Iterator<Item = ReportBlock> {
        self.each_mut()
            .filter_map(move |(_, received)| received.stream.report_block(now))
    }

    /// The sender of `ssrc` has told its clock. Returns the layer that it speaks of.
    pub fn on_sender_report(
        &mut self,
        now: Instant,
        ssrc: Ssrc,
        ntp: u64,
        rtp: u32,
    ) -> Option<Layer> {
        let mut layers = self.each_mut();
        let (layer, received) = layers.find(|(_, it)| it.stream.ssrc() == ssrc)?;
        received.stream.on_sender_report(now, ntp, rtp);
        Some(layer)
    }
}
