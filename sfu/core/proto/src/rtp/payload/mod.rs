//! As much of each codec's payload format as forwarding needs: where a receiver can start, and the
//! fields that have to be renumbered when the source of a stream changes.
//!
//! Detection is conservative: a switch point that is missed costs a key frame request, one that is
//! found where none is costs the viewer a broken picture.

pub mod av1;
pub mod h264;
pub mod red;
pub mod vp8;
pub mod vp9;

use crate::api::Codec;

/// Whether a subscriber may start, or switch to this stream, with the packet of this payload.
/// Audio may start anywhere, and so may what is not understood; a video packet without payload is
/// never a beginning.
pub fn is_switch_point(codec: Codec, payload: &[u8]) -> bool {
    match codec {
        Codec::Opus | Codec::Red | Codec::Opaque => true,
        Codec::Vp8 => vp8::Descriptor::parse(payload).is_some_and(|it| it.key_frame),
        Codec::H264 => h264::starts_key_frame(payload),
        Codec::Vp9 => vp9::starts_key_frame(payload),
        Codec::Av1 => av1::starts_key_frame(payload),
    }
}
