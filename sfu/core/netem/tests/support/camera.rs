//! A camera with three simulcast layers of known bitrate and a microphone, and what a viewer makes
//! of them: which frames it can decode, and when.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use kinguicall_netem::{ClientIndex, Received, SentPacket, Track, World};
use kinguicall_proto::api::{MediaKind, SubscriptionId};

/// Of the layers, lowest first.
pub(crate) const LAYERS_BPS: [u32; 3] = [70_000, 375_000, 1_200_000];
pub(crate) const AUDIO_BPS: u32 = 32_000;
const FRAME: Duration = Duration::from_micros(33_333);
const AUDIO_FRAME: Duration = Duration::from_millis(20);
const PACKET_BYTES: usize = 1_000;
const FRAMES_PER_S: u32 = 30;
/// A key frame's size in delta frames.
const KEY_FRAME_FACTOR: usize = 3;
/// Without progress for so long while packets come, a viewer asks for a key frame.
const STALLED: Duration = Duration::from_millis(300);
/// What a jitter buffer adds to the first frame's delay, as it grows to where most packets that are
/// lost and sent again still come in time.
const PLAYOUT_DELAY: Duration = Duration::from_millis(200);
/// Two frames further apart than this are a freeze (as WebRTC's statistics count it).
const FREEZE: Duration = Duration::from_millis(183);

/// One publisher's camera and microphone.
pub(crate) struct Camera {
    pub video: Track,
    pub audio: Track,
    start: Instant,
    next_frame: Instant,
    next_audio: Instant,
    frame: u32,
    sequences: [u64; 3],
    audio_sequence: u64,
    layers_bps: Vec<u32>,
}

impl Camera {
    pub(crate) fn new(world: &mut World, publisher: ClientIndex) -> Self {
        Self::with_layers(world, publisher, &LAYERS_BPS)
    }

    /// At most three layers, lowest first.
    pub(crate) fn with_layers(
        world: &mut World,
        publisher: ClientIndex,
        layers_bps: &[u32],
    ) -> Self {
        let video = world.publish(publisher, MediaKind::Video, layers_bps.len() as u8);
        Self::of(world, publisher, video, layers_bps)
    }

    /// Whose video has been published already.
    pub(crate) fn of(
        world: &mut World,
        publisher: ClientIndex,
        video: Track,
        layers_bps: &[u32],
    ) -> Self {
        Self {
            layers_bps: layers_bps.to_vec(),
            video,
            audio: world.publish(publisher, MediaKind::Audio, 1),
            start: world.now,
            next_frame: world.now,
            next_audio: world.now,
            frame: 0,
            sequences: [1_000, 20_000, 40_000],
            audio_sequence: 500,
        }
    }

    /// Sends what is due.
    pub(crate) fn tick(&mut self, world: &mut World) {
        if world.now >= self.next_frame {
            self.next_frame += FRAME;
            let publisher = self.video.published.client.0;
            let asked = std::mem::take(&mut world.clients[publisher].key_frame_requests) > 0;
            for layer in 0..self.layers_bps.len() {
                self.send_frame(world, layer, asked || self.frame == 0);
            }
            self.frame += 1;
        }
        if world.now >= self.next_audio {
            self.next_audio += AUDIO_FRAME;
            let samples = (world.now - self.start).as_micros() as u64 * 48 / 1_000;
            let bytes = AUDIO_BPS as usize / 8 / 50 - 40;
            world.send(
                &self.audio,
                0,
                &SentPacket {
                    sequence: self.audio_sequence,
                    timestamp: samples as u32,
                    marker: false,
                    payload: &vec![7; bytes],
                    audio_level: Some(-30),
                },
            );
            self.audio_sequence += 1;
        }
    }

    /// Sends a packet of nothing but padding under the SSRC of a layer, behind its last frame.
    pub(crate) fn pad(&mut self, world: &mut World, layer: usize) {
        let packet = SentPacket {
            sequence: self.sequences[layer],
            timestamp: self.frame.wrapping_sub(1).wrapping_mul(3_000),
            marker: false,
            payload: &[],
            audio_level: None,
        };
        world.send(&self.video, layer, &packet);
        self.sequences[layer] += 1;
    }

    fn send_frame(&mut self, world: &mut World, layer: usize, key: bool) {
        let mut bytes = (self.layers_bps[layer] / 8 / FRAMES_PER_S) as usize;
        if key {
            bytes *= KEY_FRAME_FACTOR;
        }
        let parts = bytes.div_ceil(PACKET_BYTES);
        for part in 0..parts {
            let payload = self.payload(layer, part, key, (bytes / parts).saturating_sub(40));
            world.send(
                &self.video,
                layer,
                &SentPacket {
                    sequence: self.sequences[layer],
                    timestamp: self.frame.wrapping_mul(3_000),
                    marker: part == parts - 1,
                    payload: &payload,
                    audio_level: None,
                },
            );
            self.sequences[layer] += 1;
        }
    }

    fn payload(&self, layer: usize, part: usize, key: bool, bytes: usize) -> Vec<u8> {
        let start = if part == 0 { 0x10 } else { 0x00 };
        let [high, low] = ((self.frame as u16 & 0x7fff) | 0x8000).to_be_bytes();
        let mut payload = vec![0x80 | start, 0xe0, high, low, self.frame as u8, 0x20];
        payload.extend_from_slice(if key {
            &[0x10, 0, 0, 0x9d, 0x01, 0x2a]
        } else {
            &[0x11, 0, 0, 1, 2, 3]
        });
        payload.push(layer as u8);
        payload.resize(bytes.max(payload.len()), part as u8);
        payload
    }
}

/// A decoded frame.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shown {
    /// When it is put on the screen: a jitter buffer holds what comes early.
    pub at: Instant,
    pub layer: u8,
}

/// A client that watches one camera.
pub(crate) struct Viewer {
    pub client: ClientIndex,
    pub subscription: SubscriptionId,
    video: u32,
    audio: Option<u32>,
    seen: usize,
    /// Packets that wait for others before them.
    waiting: BTreeMap<u64, Received>,
    next: Option<u64>,
    progress_at: Instant,
    /// Timestamp of the first frame, and when it was due.
    playout: Option<(u32, Instant)>,
    pub shown: Vec<Shown>,
    pub heard: Vec<Instant>,
    /// Payload bytes of video, by time of arrival.
    pub bytes: Vec<(Instant, usize)>,
}

impl Viewer {
    pub(crate) fn new(world: &mut World, client: ClientIndex, camera: &Camera) -> Self {
        let (_, audio) = world.subscribe(client, &camera.audio);
        let video = world.subscribe(client, &camera.video);
        Self::of(world, client, video, Some(audio))
    }

    /// Of what has been subscribed to already: the video's subscription and SSRC, and the audio's.
    pub(crate) fn of(
        world: &World,
        client: ClientIndex,
        (subscription, video): (SubscriptionId, u32),
        audio: Option<u32>,
    ) -> Self {
        Self {
            client,
            subscription,
            video,
            audio,
            seen: 0,
            waiting: BTreeMap::new(),
            next: None,
            progress_at: world.now,
            playout: None,
            shown: Vec::new(),
            heard: Vec::new(),
            bytes: Vec::new(),
        }
    }

    /// Takes in what has arrived.
    pub(crate) fn tick(&mut self, world: &mut World) {
        let received = &world.clients[self.client.0].received;
        let fresh: Vec<Received> = received[self.seen..].to_vec();
        self.seen = received.len();
        for packet in fresh {
            self.bytes.push((packet.at, packet.payload.len() + 40));
            if Some(packet.ssrc) == self.audio {
                self.heard.push(packet.at);
            } else if packet.ssrc == self.video && self.next.is_none_or(|n| packet.sequence >= n) {
                self.waiting.insert(packet.sequence, packet);
            }
        }
        while self.decode(world.now) {}
        if !self.waiting.is_empty() && world.now - self.progress_at > STALLED {
            self.progress_at = world.now;
            world.clients[self.client.0].request_key_frame(self.video);
        }
    }

    /// Decodes the next frame, or a later key frame, if it is whole.
    fn decode(&mut self, now: Instant) -> bool {
        let next = self.next;
        let starts = self.waiting.values().filter(|p| is_start(p));
        let decodable = |p: &&Received| next == Some(p.sequence) || is_key(p);
        let first = starts
            .filter(decodable)
            .find_map(|p| self.end_of(p.sequence).map(|end| (p.sequence, end)));
        let Some((first, end)) = first else {
            return false;
        };
        let packet = &self.waiting[&first];
        let layer = packet.payload[12];
        let timestamp = packet.timestamp;
        let start = (timestamp, now + PLAYOUT_DELAY);
        let (first_timestamp, first_due) = *self.playout.get_or_insert(start);
        let ticks = timestamp.wrapping_sub(first_timestamp) as i32;
        let due = first_due + Duration::from_secs_f64(f64::from(ticks.max(0)) / 90_000.0);
        let at = due.max(now);
        self.shown.push(Shown { at, layer });
        self.progress_at = now;
        self.next = Some(end + 1);
        self.waiting = self.waiting.split_off(&(end + 1));
        true
    }

    /// Number of the frame's last packet, if all are there.
    fn end_of(&self, first: u64) -> Option<u64> {
        let run = self.waiting.range(first..).zip(first..);
        let mut run = run.take_while(|((sequence, _), expected)| **sequence == *expected);
        run.find(|((_, packet), _)| packet.marker)
            .map(|((sequence, _), _)| *sequence)
    }

    /// Share of the time from `from` to `to` that the picture stood still.
    pub(crate) fn frozen(&self, from: Instant, to: Instant) -> f64 {
        let inside = self.shown.iter().map(|s| s.at);
        let times: Vec<_> = std::iter::once(from)
            .chain(inside.filter(|at| *at > from && *at < to))
            .chain([to])
            .collect();
        let gaps = times.windows(2).map(|pair| pair[1] - pair[0]);
        let frozen: Duration = gaps.filter(|gap| *gap > FREEZE).sum();
        frozen.as_secs_f64() / (to - from).as_secs_f64()
    }

    /// Longest time without a packet of audio.
    pub(crate) fn longest_silence(&self, from: Instant, to: Instant) -> Duration {
        let inside = self.heard.iter().copied();
        let times: Vec<_> = std::iter::once(from)
            .chain(inside.filter(|at| *at > from && *at < to))
            .chain([to])
            .collect();
        let gaps = times.windows(2).map(|pair| pair[1] - pair[0]);
        gaps.max().unwrap_or_default()
    }

    /// Bits a second that arrived, audio included.
    pub(crate) fn bitrate_bps(&self, from: Instant, to: Instant) -> f64 {
        let inside = self.bytes.iter().filter(|(at, _)| *at >= from && *at < to);
        let bytes: usize = inside.map(|(_, bytes)| bytes).sum();
        bytes as f64 * 8.0 / (to - from).as_secs_f64()
    }

    /// First time from `from` on that a frame of `layer` was shown.
    pub(crate) fn first_of(&self, layer: u8, from: Instant) -> Option<Instant> {
        let mut shown = self.shown.iter();
        shown
            .find(|shown| shown.at >= from && shown.layer == layer)
            .map(|shown| shown.at)
    }

    /// Layers shown between two times, each with its number of frames.
    pub(crate) fn layers(&self, from: Instant, to: Instant) -> [usize; 3] {
        let mut counts = [0; 3];
        for shown in &self.shown {
            if shown.at >= from && shown.at < to {
                counts[usize::from(shown.layer)] += 1;
            }
        }
        counts
    }
}

/// Lets time pass with everybody at work.
pub(crate) fn run(
    world: &mut World,
    camera: &mut Camera,
    viewers: &mut [&mut Viewer],
    time: Duration,
) {
    let end = world.now + time;
    while world.now < end {
        camera.tick(world);
        world.run(Duration::from_millis(1));
        for viewer in viewers.iter_mut() {
            viewer.tick(world);
        }
    }
}

fn is_start(packet: &Received) -> bool {
    packet.payload[0] & 0x10 != 0
}

fn is_key(packet: &Received) -> bool {
    packet.payload[6] & 1 == 0
}
