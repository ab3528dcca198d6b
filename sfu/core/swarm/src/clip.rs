//! A few seconds of encoded media, cut into payloads once and played in a loop by any number of
//! senders.

use std::ops::Range;

use kinguicall_proto::api::{Codec, MediaKind};
use thiserror::Error;

use crate::packetise::{self, MAX_PAYLOAD, Payloads};

/// An encoded frame.
#[derive(Debug, Clone, Copy)]
pub struct SourceFrame<'a> {
    /// From the clip's beginning, in units of the RTP clock.
    pub timestamp: u32,
    /// Of audio: 0 (loudest) to 127 (silence), in -dBov (RFC 6464).
    pub level_dbov: u8,
    pub data: &'a [u8],
}

/// A frame in payloads.
#[derive(Debug, Clone)]
pub struct Frame {
    pub timestamp: u32,
    pub level_dbov: u8,
    /// Indices for [`Clip::payload`].
    pub payloads: Range<usize>,
}

/// Why frames are not a clip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ClipError {
    #[error("a clip needs at least one frame, and a frame some bytes")]
    Empty,
    #[error("timestamps have to grow, and to be less than the duration")]
    Timestamps,
    #[error("frames of this codec cannot be sent")]
    Codec,
    #[error("an Opus frame of more than {MAX_PAYLOAD} bytes")]
    TooLarge,
}

/// A clip. The first frame of a video is a key frame.
#[derive(Debug)]
pub struct Clip {
    pub codec: Codec,
    pub clock_rate_hz: u32,
    pub duration_ticks: u32,
    frames: Vec<Frame>,
    payloads: Payloads,
}

impl Clip {
    pub fn new(
        codec: Codec,
        clock_rate_hz: u32,
        duration_ticks: u32,
        source: &[SourceFrame<'_>],
    ) -> Result<Self, ClipError> {
        let grow = source.is_sorted_by(|one, next| one.timestamp < next.timestamp);
        if !grow || source.last().is_some_and(|f| f.timestamp >= duration_ticks) {
            return Err(ClipError::Timestamps);
        }
        let mut payloads = Payloads::default();
        let mut frames = Vec::with_capacity(source.len());
        for frame in source {
            let first = payloads.ranges.len();
            match codec {
                Codec::Opus if frame.data.len() > MAX_PAYLOAD => return Err(ClipError::TooLarge),
                Codec::Opus => packetise::opus(frame.data, &mut payloads),
                Codec::Vp8 => packetise::vp8(frame.data, &mut payloads),
                Codec::H264 => packetise::h264(frame.data, &mut payloads),
                _ => return Err(ClipError::Codec),
            }
            if frame.data.is_empty() || payloads.ranges.len() == first {
                return Err(ClipError::Empty);
            }
            frames.push(Frame {
                timestamp: frame.timestamp,
                level_dbov: frame.level_dbov.min(127),
                payloads: first..payloads.ranges.len(),
            });
        }
        if frames.is_empty() {
            return Err(ClipError::Empty);
        }
        Ok(Self {
            codec,
            clock_rate_hz,
            duration_ticks,
            frames,
            payloads,
        })
    }

    pub fn kind(&self) -> MediaKind {
        if self.codec.is_video() {
            MediaKind::Video
        } else {
            MediaKind::Audio
        }
    }

    /// At least one.
    pub fn frames(&self) -> &[Frame] {
        &self.frames
    }

    pub fn payload(&self, index: usize) -> &[u8] {
        let range = self.payloads.ranges.get(index).cloned();
        &self.payloads.bytes[range.unwrap_or_default()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(timestamp: u32, data: &[u8]) -> SourceFrame<'_> {
        SourceFrame {
            timestamp,
            level_dbov: 0,
            data,
        }
    }

    #[test]
    fn frames_that_cannot_be_played_are_refused() {
        let clip = |frames: &[SourceFrame<'_>]| {
            Clip::new(Codec::Opus, 48_000, 1_920, frames).map(|clip| clip.frames().len())
        };
        assert_eq!(clip(&[frame(0, b"a"), frame(960, b"b")]), Ok(2));
        assert_eq!(clip(&[]), Err(ClipError::Empty));
        assert_eq!(clip(&[frame(0, b"")]), Err(ClipError::Empty));
        assert_eq!(
            clip(&[frame(960, b"a"), frame(0, b"b")]),
            Err(ClipError::Timestamps)
        );
        assert_eq!(clip(&[frame(1_920, b"a")]), Err(ClipError::Timestamps));
        assert_eq!(
            clip(&[frame(0, &[0; MAX_PAYLOAD + 1])]),
            Err(ClipError::TooLarge)
        );
        let vp9 = Clip::new(Codec::Vp9, 90_000, 9, &[frame(0, b"a")]);
        assert_eq!(vp9.map(|_| ()), Err(ClipError::Codec));
    }
}
