//! Frame numbers of dependency descriptors, continuous over switches as sequence numbers are.

use crate::api::{Dependencies, MediaMeta};

/// Shift of the frame numbers of dependency descriptors, constant between two switches.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct FrameShift {
    shift: u16,
    last: Option<u16>,
}

impl FrameShift {
    pub(super) fn start(&mut self, first: u16) {
        if let Some(last) = self.last {
            self.shift = last.wrapping_add(1).wrapping_sub(first);
        }
    }

    pub(super) fn apply(&mut self, number: u16) -> u16 {
        let number = number.wrapping_add(self.shift);
        if self.last.is_none_or(|l| number.wrapping_sub(l) < 0x8000) {
            self.last = Some(number);
        }
        number
    }
}

/// The frame number in the packet's dependency descriptor.
pub(super) fn described(meta: &MediaMeta) -> Option<u16> {
    match meta.frame?.dependencies {
        Dependencies::Described(targets) => Some(targets.frame_number),
        Dependencies::Layered { .. } => None,
    }
}
