//! Picture id and TL0PICIDX towards one subscriber (RFC 7741, section 4.2).
//!
//! Both are shifted by a constant between two switches; the picture id also by the pictures that
//! have been left out, as decoders take a hole for a loss. TL0PICIDX counts frames of the base
//! layer, which are never left out.

use crate::rtp::payload::vp8::{self, PictureId};

/// A packet of a picture so far behind the last one that was left out is late: its picture has
/// been counted.
const LATE_PICTURES: u16 = 64;

/// Frame numbers to be written into a VP8 payload descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Vp8Numbers {
    pub picture_id: u16,
    pub tl0_pic_idx: u8,
}

/// Shift of one subscription.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Vp8Shift {
    picture_id: u16,
    tl0_pic_idx: u8,
    last: Option<Vp8Numbers>,
    left_out: Option<u16>,
}

impl Vp8Shift {
    /// A switch: `first` continues what was sent before.
    pub(super) fn start(&mut self, first: &vp8::Descriptor) {
        self.left_out = None;
        let Some(last) = self.last else { return };
        let picture_id = first.picture_id.map_or(0, |p| p.value);
        let tl0 = first.tl0_pic_idx.map_or(0, |t| t.value);
        self.picture_id = last.picture_id.wrapping_add(1).wrapping_sub(picture_id);
        self.tl0_pic_idx = last.tl0_pic_idx.wrapping_add(1).wrapping_sub(tl0);
    }

    /// Notes a packet that is left out; whether it is the first one of its picture.
    pub(super) fn leave_out(&mut self, descriptor: &vp8::Descriptor) -> bool {
        let Some(PictureId { value, is_long, .. }) = descriptor.picture_id else {
            return false;
        };
        if let Some(last) = self.left_out {
            let behind = last.wrapping_sub(value) & 0x7fff;
            if behind == 0 || (is_long && behind <= LATE_PICTURES) {
                return false;
            }
        }
        self.left_out = Some(value);
        true
    }

    /// The numbers of a packet before which `left_out` pictures were left out since the switch.
    pub(super) fn apply(&mut self, descriptor: &vp8::Descriptor, left_out: u16) -> Vp8Numbers {
        let picture_id = descriptor.picture_id.map_or(0, |p| p.value);
        let tl0_pic_idx = descriptor.tl0_pic_idx.map_or(0, |t| t.value);
        let numbers = Vp8Numbers {
            picture_id: picture_id
                .wrapping_add(self.picture_id)
                .wrapping_sub(left_out)
                & 0x7fff,
            tl0_pic_idx: tl0_pic_idx.wrapping_add(self.tl0_pic_idx),
        };
        let newer = self
            .last
            .is_none_or(|last| numbers.picture_id.wrapping_sub(last.picture_id) & 0x7fff < 0x4000);
        if newer {
            self.last = Some(numbers);
        }
        numbers
    }
}
