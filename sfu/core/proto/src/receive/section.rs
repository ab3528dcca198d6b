//! An m-section that a publisher sends in, as the router needs it.

use thiserror::Error;

use crate::api::{MAX_LAYERS, Mid, ReceiveCodec, Rid, Ssrc, TrackId};

/// One m-section that the peer sends in.
#[derive(Debug, Clone)]
pub struct Section {
    pub track: TrackId,
    pub mid: Mid,
    pub codecs: Vec<ReceiveCodec>,
    /// Simulcast layers, lowest first; empty for a single encoding.
    pub rids: Vec<Rid>,
    /// SSRCs that the description declared, with their RTX SSRC: lowest layer first.
    pub ssrcs: Vec<(Ssrc, Option<Ssrc>)>,
}

impl Section {
    /// How many layers it has: at least one.
    pub(super) fn layers(&self) -> usize {
        match self.rids.len() {
            0 => self.ssrcs.len().max(1),
            rids => rids,
        }
    }
}

/// Why a section was not added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SectionError {
    #[error("another section has this MID")]
    MidTaken,
    #[error("the track has a section already")]
    TrackTaken,
    #[error("more than {MAX_LAYERS} layers")]
    TooManyLayers,
}

/// Maps payload types of a section to its codecs.
#[derive(Debug)]
pub(super) struct PayloadTypes([Option<(u8, bool)>; 128]);

impl PayloadTypes {
    pub(super) fn new(codecs: &[ReceiveCodec]) -> Self {
        let mut map = [None; 128];
        for (at, codec) in codecs.iter().take(128).enumerate().rev() {
            let types = [
                (Some(codec.payload_type), false),
                (codec.rtx_payload_type, true),
            ];
            for (payload_type, rtx) in types {
                if let Some(slot) = payload_type.and_then(|value| map.get_mut(usize::from(value))) {
                    *slot = Some((at as u8, rtx));
                }
            }
        }
        Self(map)
    }

    /// Index of the codec, and whether this is its RTX payload type.
    pub(super) fn get(&self, payload_type: u8) -> Option<(usize, bool)> {
        let (codec, rtx) = (*self.0.get(usize::from(payload_type))?)?;
        Some((usize::from(codec), rtx))
    }
}
