//! Transport-wide sequence numbers as the packets carry them, and those of packets that may be repeated.

use crate::api::{ExtensionKind, MediaKind, SendCodec, Subscribe};

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
    /// By the packet's own sequence number: as many as the stream's history has.
    kept: Box<[Kept]>,
    /// `None` where there is a retransmission stream.
    id: Option<u8>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Kept {
    /// Low bits of the packet's number, to recognise an overwritten place.
    packet: u16,
    /// `None` for a packet that left without.
    sequence: Option<[u8; 2]>,
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
        let id = transport_cc_id.filter(|_| kind == MediaKind::Audio || !repaired);
        Self {
            kept: Box::default(),
            id,
        }
    }

    /// A packet has left, whose stream's history has so many places: a power of two.
    pub(super) fn record(&mut self, packet: u64, stamp: Option<Stamp>, places: usize) {
        if self.id.is_none() {
            return;
        }
        if self.kept.len() != places {
            self.resize(places);
        }
        let index = self.index(packet);
        if let Some(place) = self.kept.get_mut(index) {
            *place = Kept {
                packet: packet as u16,
                sequence: stamp.map(|stamp| stamp.sequence),
            };
        }
    }

    /// The stamp that the packet left with, if it had one.
    pub(super) fn of(&self, packet: u64) -> Option<Stamp> {
        let kept = self.kept.get(self.index(packet))?;
        Some(Stamp {
            id: self.id?,
            sequence: kept.sequence.filter(|_| kept.packet == packet as u16)?,
        })
    }

    /// Everything is at the place where it is looked for from now on.
    fn resize(&mut self, places: usize) {
        let kept = vec![Kept::default(); places].into_boxed_slice();
        for old in std::mem::replace(&mut self.kept, kept) {
            let index = self.index(u64::from(old.packet));
            if let (Some(place), Some(_)) = (self.kept.get_mut(index), old.sequence) {
                *place = old;
            }
        }
    }

    fn index(&self, packet: u64) -> usize {
        packet as usize & self.kept.len().saturating_sub(1)
    }
}

/// Identifier that the subscriber negotiated for transport-wide sequence numbers.
pub(super) fn transport_cc_id(request: &Subscribe) -> Option<u8> {
    let mut extensions = request.extensions.iter();
    extensions
        .find(|extension| extension.kind == ExtensionKind::TransportCc)
        .map(|extension| extension.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_repeated_with_its_own_stamp_or_none_while_history_grows() {
        let mut stamps = Stamps::new(Some(3), MediaKind::Video, None);
        let stamp = |n: u64| Stamp {
            id: 3,
            sequence: (n as u16).wrapping_mul(7).to_be_bytes(),
        };
        let first = 65_500u64;
        for n in first..first + 200 {
            let places = if n < first + 30 { 16 } else { 128 };
            stamps.record(n, (n % 5 != 0).then(|| stamp(n)), places);
            for back in 0..places as u64 {
                let Some(earlier) = n.checked_sub(back).filter(|it| *it >= first) else {
                    continue;
                };
                let found = stamps.of(earlier).map(|it| it.sequence);
                let left_with = (earlier % 5 != 0).then(|| stamp(earlier).sequence);
                // What 16 places did not hold any more when they became 128, history does not either.
                let is_held = earlier + 16 >= (first + 30).min(n + 1);
                assert_eq!(found, left_with.filter(|_| is_held), "{earlier} after {n}");
            }
        }
        let repaired = Stamps::new(None, MediaKind::Video, None);
        assert!(repaired.of(0).is_none());
    }
}
