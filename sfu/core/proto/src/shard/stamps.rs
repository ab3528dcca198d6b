//! Transport-wide sequence numbers as the packets carry them, and those of packets that may be repeated.

use crate::api::{ExtensionKind, MediaKind, SendCodec, Subscribe};

/// Packets of a stream without retransmission stream whose stamps are remembered: its history.
const VIDEO_STAMPS: usize = 512;
const AUDIO_STAMPS: usize = 64;

/// A transport-wide sequence number as an RTP header extension.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stamp {
    pub(super) id: u8,
    pub(super) sequence: [u8; 2],
}

/// Stamps of the last packets, for streams whose packets are repeated under their own number: the
/// repeated packet must not differ from the first.
#[derive(Debug, Default)]
pub(super) struct Stamps {
    /// By the packet's own sequence number; `None` for one that left without. Empty where there is a
    /// retransmission stream.
    sequences: Box<[Option<[u8; 2]>]>,
    id: u8,
}

impl Stamp {
    /// That of the packet `count` packets later.
    pub(super) fn after(self, count: usize) -> Self {
        let sequence = u16::from_be_bytes(self.sequence).wrapping_add(count as u16);
        Self {
            sequence: sequence.to_be_bytes(),
            ..self
        }
    }
}

impl Stamps {
    /// `repairable` are the codecs, if there is a retransmission stream.
    pub(super) fn new(
        transport_cc_id: Option<u8>,
        kind: MediaKind,
        repairable: Option<&[SendCodec]>,
    ) -> Self {
        let has_payload_type = |codec: &SendCodec| codec.rtx_payload_type.is_some();
        let repaired = repairable.is_some_and(|codecs| codecs.iter().all(has_payload_type));
        match (transport_cc_id, kind) {
            (Some(id), MediaKind::Audio) => Self::with(AUDIO_STAMPS, id),
            (Some(id), MediaKind::Video) if !repaired => Self::with(VIDEO_STAMPS, id),
            _ => Self::default(),
        }
    }

    fn with(packets: usize, id: u8) -> Self {
        Self {
            sequences: vec![None; packets].into_boxed_slice(),
            id,
        }
    }

    pub(super) fn record(&mut self, packet: u64, stamp: Option<Stamp>) {
        let packets = self.sequences.len().max(1);
        if let Some(place) = self.sequences.get_mut(packet as usize % packets) {
            *place = stamp.map(|stamp| stamp.sequence);
        }
    }

    /// The stamp that the packet left with, if it had one.
    pub(super) fn of(&self, packet: u64) -> Option<Stamp> {
        let packets = self.sequences.len().max(1);
        let sequence = (*self.sequences.get(packet as usize % packets)?)?;
        Some(Stamp {
            id: self.id,
            sequence,
        })
    }
}

/// Identifier that the subscriber negotiated for transport-wide sequence numbers.
pub(super) fn transport_cc_id(request: &Subscribe) -> Option<u8> {
    let mut extensions = request.extensions.iter();
    extensions
        .find(|extension| extension.kind == ExtensionKind::TransportCc)
        .map(|extension| extension.id)
}
