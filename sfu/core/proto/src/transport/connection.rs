//! ICE over TCP (RFC 6544) without its sockets: what the first bytes of a connection announce,
//! messages framed by RFC 4571, and what may wait for a slow reader.

use std::ops::Range;

use arrayvec::ArrayVec;

use super::demux::{shard_of_ufrag, stun_local_ufrag};
use crate::api::ShardId;
use crate::egress::TrafficClass;

/// The length in front of each message.
pub const FRAME_HEADER: usize = 2;
/// Longest message that is taken: as long as any datagram.
pub const MAX_MESSAGE: usize = 2_046;
/// A connectivity check has a few hundred bytes.
const MAX_CHECK: usize = 1_024;
/// Frame header, and STUN's up to the end of its magic cookie.
const CHECK_BEGINNING: usize = FRAME_HEADER + 8;
const STUN_BINDING_REQUEST: [u8; 2] = [0x00, 0x01];
const STUN_MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const TLS_HANDSHAKE: u8 = 22;

/// What a new connection is, judged by its first bytes. Nothing is authenticated by that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstBytes {
    /// Cannot be told before so many bytes are there.
    Need(usize),
    /// A connectivity check for a transport of this shard.
    Check(ShardId),
    /// HTTP, by the letters of its method, or TLS, by its ClientHello.
    Web,
    Unknown,
}

/// Tells ICE from HTTP and TLS: a check begins with a length below 1,024, so by a byte of 0 to 3,
/// a ClientHello with 22 and a request with a capital letter.
pub fn judge_first_bytes(bytes: &[u8]) -> FirstBytes {
    let Some(&first) = bytes.first() else {
        return FirstBytes::Need(1);
    };
    if first == TLS_HANDSHAKE || first.is_ascii_uppercase() {
        return FirstBytes::Web;
    }
    if usize::from(first) > MAX_CHECK >> 8 {
        return FirstBytes::Unknown;
    }
    let Some(beginning) = bytes.first_chunk::<CHECK_BEGINNING>() else {
        return FirstBytes::Need(CHECK_BEGINNING);
    };
    let length = usize::from(u16::from_be_bytes([beginning[0], beginning[1]]));
    let (kind, cookie) = (&beginning[2..4], &beginning[6..10]);
    if kind != STUN_BINDING_REQUEST || cookie != STUN_MAGIC_COOKIE || length > MAX_CHECK {
        return FirstBytes::Unknown;
    }
    let Some(message) = bytes.get(FRAME_HEADER..FRAME_HEADER + length) else {
        return FirstBytes::Need(FRAME_HEADER + length);
    };
    let shard = stun_local_ufrag(message).and_then(shard_of_ufrag);
    shard.map_or(FirstBytes::Unknown, FirstBytes::Check)
}

/// What a stream of frames begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// Where the first message lies; the next frame follows it.
    Message(Range<usize>),
    Incomplete,
    /// Longer than anything that is sent to a node: the stream is of no more use.
    TooLong,
}

/// Finds the first message of `bytes`.
pub fn first_frame(bytes: &[u8]) -> Frame {
    let Some(header) = bytes.first_chunk::<FRAME_HEADER>() else {
        return Frame::Incomplete;
    };
    let end = FRAME_HEADER + usize::from(u16::from_be_bytes(*header));
    if end > FRAME_HEADER + MAX_MESSAGE {
        Frame::TooLong
    } else if end > bytes.len() {
        Frame::Incomplete
    } else {
        Frame::Message(FRAME_HEADER..end)
    }
}

/// Bytes that may wait for a reader when a packet is added: video gives way first, then audio.
/// 192 kB are a second and a half at 1 Mbit/s, and hold a large key frame.
const MAX_WAITING_VIDEO: usize = 192 * 1_024;
const MAX_WAITING_AUDIO: usize = 224 * 1_024;
const MAX_WAITING: usize = 256 * 1_024;
/// Memory that an empty queue may keep.
const KEPT_CAPACITY: usize = 16 * 1_024;
/// Frames whose rest is not sent either: one for each stream that a reader may be behind with.
const MAX_ABANDONED: usize = 8;
/// Where RTP has timestamp and SSRC, which together name a frame.
const FRAME_NAME: Range<usize> = 4..12;

/// What became of a message for a slow reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queued {
    Waits,
    /// Media that does not fit, or the rest of a frame of which a packet did not.
    Dropped,
    /// Checks, handshakes or data do not fit: the connection is of no more use.
    Full,
}

/// Framed messages that a connection has not taken yet. Its size is bounded; see [`Queued`].
#[derive(Debug, Default)]
pub struct SendQueue {
    bytes: Vec<u8>,
    sent: usize,
    abandoned: ArrayVec<[u8; 8], MAX_ABANDONED>,
}

impl SendQueue {
    /// Adds a message of at most 65,535 bytes with its length in front.
    pub fn push(&mut self, class: TrafficClass, message: &[u8]) -> Queued {
        let frame = match class {
            TrafficClass::Video => message.get(FRAME_NAME).and_then(|it| it.try_into().ok()),
            TrafficClass::Audio | TrafficClass::Control => None,
        };
        if frame.is_some_and(|frame| self.abandoned.contains(&frame)) {
            return Queued::Dropped;
        }
        let (limit, otherwise) = match class {
            TrafficClass::Video => (MAX_WAITING_VIDEO, Queued::Dropped),
            TrafficClass::Audio => (MAX_WAITING_AUDIO, Queued::Dropped),
            TrafficClass::Control => (MAX_WAITING, Queued::Full),
        };
        let length = u16::try_from(message.len());
        let Some(length) = length
            .ok()
            .filter(|length| self.waiting().len() + FRAME_HEADER + usize::from(*length) <= limit)
        else {
            if let Some(frame) = frame {
                if self.abandoned.is_full() {
                    self.abandoned.remove(0);
                }
                self.abandoned.push(frame);
            }
            return otherwise;
        };
        self.bytes.extend_from_slice(&length.to_be_bytes());
        self.bytes.extend_from_slice(message);
        Queued::Waits
    }

    /// What is to be written next.
    pub fn waiting(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    /// The first `count` bytes of `waiting` have been written.
    pub fn written(&mut self, count: usize) {
        self.sent = (self.sent + count).min(self.bytes.len());
        if self.sent == self.bytes.len() {
            self.bytes.clear();
            self.bytes.shrink_to(KEPT_CAPACITY);
            self.sent = 0;
        } else if self.sent >= self.bytes.len() / 2 {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
    }
}

#[cfg(test)]
mod tests;
