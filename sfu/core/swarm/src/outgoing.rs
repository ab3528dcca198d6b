//! A published track: clips played on schedule as one or several encodings, and what the server
//! asks to be sent again.
//!
//! Every packet carries the time at which it was handed to the kernel in abs-capture-time, an
//! extension that servers forward. A request for a key frame makes the clip begin again, as its
//! first frame is one.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kinguicall_proto::api::{Codec, ExtensionKind, Mid, Rid, Ssrc};
use kinguicall_proto::rtcp::SenderInfo;
use kinguicall_proto::rtp::{ExtensionMap, OutHeader, write_header};

use crate::clip::{Clip, Frame};
use crate::clock::NtpClock;
use crate::packetise;
use crate::random::Random;

/// Packets of an encoding that can be sent again: over a second of video.
const HISTORY: usize = 512;
/// A sender that is later than this goes on from now instead of catching up.
const MAX_LATENESS: Duration = Duration::from_secs(1);
/// Audio level of silence.
const SILENT: u8 = 127;
/// Key frames are apart by at least this, however often they are asked for.
const KEY_FRAME_INTERVAL: Duration = Duration::from_millis(300);

/// One encoding of a track.
#[derive(Debug, Clone)]
pub struct EncodingConfig {
    pub clip: Arc<Clip>,
    /// With several encodings, each has one.
    pub rid: Option<Rid>,
    pub ssrc: Ssrc,
    pub rtx_ssrc: Option<Ssrc>,
}

/// A track as the server's answer agreed to it.
#[derive(Debug, Clone)]
pub struct SendConfig {
    pub track: u32,
    pub mid: Mid,
    pub payload_type: u8,
    pub rtx_payload_type: Option<u8>,
    /// Lowest first.
    pub encodings: Vec<EncodingConfig>,
    /// Where in the clip to begin: talkers must not all speak at once.
    pub offset: Duration,
}

/// A packet that has been sent.
#[derive(Debug, Clone, Copy)]
struct Sent {
    sequence: u32,
    timestamp: u32,
    payload: u32,
    picture_id: u16,
    tl0_pic_idx: u8,
    marker: bool,
    captured_ntp: u64,
}

/// What is the same for all packets of a transport.
pub struct PacketContext<'a> {
    pub extensions: &'a ExtensionMap,
    pub clock: NtpClock,
    /// Running number over all packets (transport-wide congestion control).
    pub transport_sequence: &'a mut u16,
}

/// A plain packet in the front of a buffer.
#[derive(Debug, Clone, Copy)]
pub struct Plain {
    pub header_len: usize,
    pub len: usize,
    pub rollover: u32,
}

struct Encoding {
    config: EncodingConfig,
    is_active: bool,
    /// When the clip's first frame of this round is due, and its RTP time.
    round_at: Instant,
    round_rtp: u32,
    frame: usize,
    sequence: u32,
    rtx_sequence: u32,
    picture_id: u16,
    tl0_pic_idx: u8,
    history: VecDeque<Sent>,
    key_frame_wanted: bool,
    key_frame_at: Option<Instant>,
    packets: u32,
    bytes: u32,
}

/// What the packets of a track have in common.
#[derive(Debug, Clone, Copy)]
struct Format {
    mid: Mid,
    payload_type: u8,
    rtx_payload_type: Option<u8>,
}

/// A published track.
pub struct Outgoing {
    track: u32,
    format: Format,
    encodings: Vec<Encoding>,
}

impl Outgoing {
    pub fn new(now: Instant, config: SendConfig, random: &mut Random) -> Self {
        let encodings = config
            .encodings
            .into_iter()
            .map(|encoding| Encoding::new(now, encoding, config.offset, random))
            .collect();
        Self {
            track: config.track,
            format: Format {
                mid: config.mid,
                payload_type: config.payload_type,
                rtx_payload_type: config.rtx_payload_type,
            },
            encodings,
        }
    }

    pub fn track(&self) -> u32 {
        self.track
    }

    /// Switches an encoding on or off, by its place. One that comes back begins with a key frame.
    pub fn set_active(&mut self, now: Instant, encoding: usize, is_active: bool) {
        if let Some(encoding) = self.encodings.get_mut(encoding)
            && encoding.is_active != is_active
        {
            encoding.is_active = is_active;
            encoding.begin_round(now);
        }
    }

    /// When the next frame is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let active = self.encodings.iter().filter(|encoding| encoding.is_active);
        active.map(Encoding::due_at).min()
    }

    /// Sends the next packets that are due: one frame of one encoding. Returns how late it was;
    /// call until `None`.
    pub fn send_due(
        &mut self,
        now: Instant,
        context: &mut PacketContext<'_>,
        buffer: &mut [u8],
        mut send: impl FnMut(&mut [u8], Plain),
    ) -> Option<Duration> {
        let due = |encoding: &&mut Encoding| encoding.is_active && encoding.due_at() <= now;
        let encoding = self.encodings.iter_mut().find(due)?;
        let lateness = now.saturating_duration_since(encoding.due_at());
        if lateness > MAX_LATENESS {
            encoding.postpone(lateness);
        }
        encoding.answer_key_frame_request();
        let clip = Arc::clone(&encoding.config.clip);
        let frame = &clip.frames()[encoding.frame];
        let count = frame.payloads.len();
        for (at, payload) in frame.payloads.clone().enumerate() {
            let sent = encoding.next_packet(frame, payload, at + 1 == count, now, context);
            let plain = encoding.write(self.format, &sent, frame.level_dbov, context, buffer);
            send(buffer, plain);
        }
        encoding.end_frame();
        Some(lateness)
    }

    /// Sends a packet again (RFC 4588, or as it was where RTX was not agreed on). `None` if it is
    /// not one of this track or too old.
    pub fn send_again(
        &mut self,
        ssrc: Ssrc,
        sequence: u16,
        context: &mut PacketContext<'_>,
        buffer: &mut [u8],
    ) -> Option<Plain> {
        let encoding = self.encodings.iter_mut().find(|e| e.config.ssrc == ssrc)?;
        let sent = encoding.find(sequence)?;
        match (encoding.config.rtx_ssrc, self.format.rtx_payload_type) {
            (Some(ssrc), Some(payload_type)) => {
                let header = OutHeader {
                    payload_type,
                    marker: sent.marker,
                    sequence: encoding.rtx_sequence as u16,
                    timestamp: sent.timestamp,
                    ssrc,
                };
                Some(encoding.write_rtx(&header, self.format, &sent, context, buffer))
            }
            _ => Some(encoding.write(self.format, &sent, SILENT, context, buffer)),
        }
    }

    /// Notes that a key frame of this SSRC is wanted. Returns whether it is one of this track.
    pub fn want_key_frame(&mut self, ssrc: Ssrc) -> bool {
        let wanted = self.encodings.iter_mut().find(|e| e.config.ssrc == ssrc);
        wanted.is_some_and(|encoding| {
            encoding.key_frame_wanted = encoding.config.clip.codec.is_video();
            true
        })
    }

    /// What sender reports say of the encodings that have sent something.
    pub fn sender_infos(&self, now: Instant, clock: NtpClock) -> impl Iterator<Item = SenderInfo> {
        let sending = self
            .encodings
            .iter()
            .filter(|encoding| encoding.packets > 0);
        sending.map(move |encoding| SenderInfo {
            ssrc: encoding.config.ssrc,
            ntp: clock.ntp(now),
            rtp: encoding.rtp_at(now),
            packet_count: encoding.packets,
            octet_count: encoding.bytes,
        })
    }
}

/// Writes a header with `values` and the extensions that every packet has, as far as agreed on.
fn write_with(
    buffer: &mut [u8],
    header: &OutHeader,
    values: &[(ExtensionKind, Option<&[u8]>); 3],
    captured_ntp: u64,
    context: &mut PacketContext<'_>,
) -> usize {
    let captured = captured_ntp.to_be_bytes();
    let sequence = context.transport_sequence.to_be_bytes();
    let id = |kind| context.extensions.id(kind).unwrap_or(0);
    let mut extensions: [(u8, &[u8]); 5] = [(0, &[]); 5];
    for (slot, (kind, value)) in extensions.iter_mut().zip(values) {
        *slot = value.map_or((0, &[]), |value| (id(*kind), value));
    }
    extensions[3] = (id(ExtensionKind::TransportCc), &sequence);
    extensions[4] = (id(ExtensionKind::AbsCaptureTime), &captured);
    *context.transport_sequence = context.transport_sequence.wrapping_add(1);
    write_header(buffer, header, &extensions)
}

impl Encoding {
    fn new(now: Instant, config: EncodingConfig, offset: Duration, random: &mut Random) -> Self {
        let clip = &config.clip;
        let ticks = offset.as_nanos() * u128::from(clip.clock_rate_hz) / 1_000_000_000;
        let ticks = (ticks % u128::from(clip.duration_ticks.max(1))) as u32;
        // A video has to begin with its key frame.
        let frame = if clip.codec.is_video() {
            0
        } else {
            clip.frames().partition_point(|f| f.timestamp < ticks) % clip.frames().len()
        };
        let into = duration(clip.frames()[frame].timestamp, clip.clock_rate_hz);
        Self {
            round_at: now.checked_sub(into).unwrap_or(now),
            round_rtp: random.next_u32(),
            frame,
            // Below 2^15, so that both sides agree on rollover counter 0.
            sequence: random.next_u32() >> 17,
            rtx_sequence: random.next_u32() >> 17,
            picture_id: (random.next_u32() >> 17) as u16,
            tl0_pic_idx: random.next_u32() as u8,
            config,
            is_active: true,
            history: VecDeque::with_capacity(HISTORY),
            key_frame_wanted: false,
            key_frame_at: None,
            packets: 0,
            bytes: 0,
        }
    }

    fn due_at(&self) -> Instant {
        let clip = &self.config.clip;
        let timestamp = clip.frames()[self.frame].timestamp;
        self.round_at + duration(timestamp, clip.clock_rate_hz)
    }

    fn rtp_at(&self, now: Instant) -> u32 {
        let since = now.saturating_duration_since(self.round_at);
        let rate = u128::from(self.config.clip.clock_rate_hz);
        let ticks = since.as_nanos() * rate / 1_000_000_000;
        self.round_rtp.wrapping_add(ticks as u32)
    }

    fn postpone(&mut self, by: Duration) {
        self.round_rtp = self.rtp_at(self.round_at + by);
        self.round_at += by;
    }

    /// The clip begins again at `at`.
    fn begin_round(&mut self, at: Instant) {
        self.round_rtp = self.rtp_at(at);
        self.round_at = at;
        self.frame = 0;
    }

    fn answer_key_frame_request(&mut self) {
        let due = self.due_at();
        let recent = self
            .key_frame_at
            .is_some_and(|at| due.saturating_duration_since(at) < KEY_FRAME_INTERVAL);
        if self.key_frame_wanted && !recent {
            self.key_frame_wanted = false;
            self.begin_round(due);
        }
    }

    fn next_packet(
        &mut self,
        frame: &Frame,
        payload: usize,
        marker: bool,
        now: Instant,
        context: &PacketContext<'_>,
    ) -> Sent {
        if self.frame == 0 {
            self.key_frame_at = Some(now);
        }
        let is_video = self.config.clip.codec.is_video();
        let sent = Sent {
            sequence: self.sequence,
            timestamp: self.round_rtp.wrapping_add(frame.timestamp),
            payload: payload as u32,
            picture_id: self.picture_id,
            tl0_pic_idx: self.tl0_pic_idx,
            // Audio marks the beginning of speech only (RFC 7587, section 4.1): not here.
            marker: marker && is_video,
            captured_ntp: context.clock.ntp(now),
        };
        self.sequence += 1;
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(sent);
        sent
    }

    fn find(&self, sequence: u16) -> Option<Sent> {
        let newest = self.history.back()?.sequence as u16;
        let back = usize::from(newest.wrapping_sub(sequence));
        let at = self.history.len().checked_sub(1 + back)?;
        self.history.get(at).copied()
    }

    fn end_frame(&mut self) {
        self.picture_id = self.picture_id.wrapping_add(1) & 0x7fff;
        self.tl0_pic_idx = self.tl0_pic_idx.wrapping_add(1);
        self.frame += 1;
        let clip = &self.config.clip;
        if self.frame == clip.frames().len() {
            self.frame = 0;
            self.round_at += duration(clip.duration_ticks, clip.clock_rate_hz);
            self.round_rtp = self.round_rtp.wrapping_add(clip.duration_ticks);
        }
    }

    fn write(
        &mut self,
        format: Format,
        sent: &Sent,
        level_dbov: u8,
        context: &mut PacketContext<'_>,
        buffer: &mut [u8],
    ) -> Plain {
        let header = OutHeader {
            payload_type: format.payload_type,
            marker: sent.marker,
            sequence: sent.sequence as u16,
            timestamp: sent.timestamp,
            ssrc: self.config.ssrc,
        };
        let level = [level_dbov | if level_dbov < SILENT { 0x80 } else { 0 }];
        let rid = self.config.rid.as_ref().map(Rid::as_bytes);
        let values = [
            (ExtensionKind::Mid, Some(format.mid.as_bytes())),
            (ExtensionKind::Rid, rid),
            (ExtensionKind::AudioLevel, Some(&level[..])),
        ];
        let header_len = write_with(buffer, &header, &values, sent.captured_ntp, context);
        let payload_len = self.copy_payload(sent, &mut buffer[header_len..]);
        self.packets = self.packets.wrapping_add(1);
        self.bytes = self.bytes.wrapping_add(payload_len as u32);
        Plain {
            header_len,
            len: header_len + payload_len,
            rollover: sent.sequence >> 16,
        }
    }

    fn write_rtx(
        &mut self,
        header: &OutHeader,
        format: Format,
        sent: &Sent,
        context: &mut PacketContext<'_>,
        buffer: &mut [u8],
    ) -> Plain {
        let rid = self.config.rid.as_ref().map(Rid::as_bytes);
        let values = [
            (ExtensionKind::Mid, Some(format.mid.as_bytes())),
            (ExtensionKind::RepairedRid, rid),
            (ExtensionKind::AudioLevel, None),
        ];
        let header_len = write_with(buffer, header, &values, sent.captured_ntp, context);
        let original = (sent.sequence as u16).to_be_bytes();
        buffer[header_len..header_len + 2].copy_from_slice(&original);
        let payload_len = self.copy_payload(sent, &mut buffer[header_len + 2..]);
        let rollover = self.rtx_sequence >> 16;
        self.rtx_sequence += 1;
        Plain {
            header_len,
            len: header_len + 2 + payload_len,
            rollover,
        }
    }

    /// Copies the payload with its numbers and returns its length.
    fn copy_payload(&self, sent: &Sent, out: &mut [u8]) -> usize {
        let payload = self.config.clip.payload(sent.payload as usize);
        out[..payload.len()].copy_from_slice(payload);
        if self.config.clip.codec == Codec::Vp8 {
            packetise::number_vp8(out, sent.picture_id, sent.tl0_pic_idx);
        }
        payload.len()
    }
}

fn duration(ticks: u32, clock_rate_hz: u32) -> Duration {
    Duration::from_nanos(u64::from(ticks) * 1_000_000_000 / u64::from(clock_rate_hz.max(1)))
}

#[cfg(test)]
mod tests;
