//! What a subscription sends again (RFC 4585, RFC 4588), and the padding that goes the same way.

use std::time::{Duration, Instant};

use super::{Outgoing, Subscription, described, unwraps_red};
use crate::api::{Codec, MediaMeta};
use crate::forward::history::Sent;
use crate::forward::vp8_numbers::Vp8Numbers;
use crate::srtp::PacketIndex;

impl Subscription {
    /// What has been sent as `out`, if it may be sent again now.
    pub fn answer_nack(
        &mut self,
        out: u16,
        now: Instant,
        spacing: Duration,
    ) -> Option<(u64, Sent)> {
        let sent = self.history.answer(out, now, spacing)?;
        let sequence = widen(self.numbers.highest()?, out);
        (sequence >= self.repeatable_from).then_some((sequence, sent))
    }

    /// Whether a repeat of the packet that left as `out` seems to have been lost, too.
    pub fn is_asked_again(&self, out: u16) -> bool {
        self.history.is_asked_again(out)
    }

    /// How the packet `meta`, sent before as `sequence`, has to look when it is repeated.
    pub fn repeat(&self, meta: &MediaMeta, sequence: u64, sent: &Sent) -> Option<Outgoing> {
        let codec = self.codec_of(meta)?;
        Some(Outgoing {
            sequence,
            timestamp: meta.timestamp.wrapping_add(self.shift_of(sent.layer)),
            payload_type: codec.payload_type,
            vp8: (codec.codec == Codec::Vp8).then_some(Vp8Numbers {
                picture_id: sent.picture_id,
                tl0_pic_idx: sent.tl0_pic_idx,
            }),
            frame_number: described(meta).map_or(0, |_| sent.picture_id),
            marker: sent.marker,
            unwrap_red: unwraps_red(meta, codec),
        })
    }

    /// Payload type and next number of the retransmission stream, where negotiated.
    pub fn next_rtx(&mut self, source_payload_type: u8) -> Option<(u8, PacketIndex)> {
        let payload_type = self.codec_for(source_payload_type)?.rtx_payload_type?;
        Some((payload_type, self.rtx.as_mut()?.take()))
    }

    /// Payload type, number and timestamp of a padding packet on the retransmission stream, where
    /// negotiated.
    pub fn next_padding(&mut self) -> Option<(u8, PacketIndex, u32)> {
        let codec = self.codecs.iter().find(|c| c.rtx_payload_type.is_some())?;
        let (payload_type, index) = self.next_rtx(codec.from_payload_type)?;
        Some((payload_type, index, self.last_timestamp))
    }

    /// There is a retransmission stream, which padding may be sent on.
    pub fn can_pad(&self) -> bool {
        self.is_repairable() && self.codecs.iter().any(|c| c.rtx_payload_type.is_some())
    }
}

/// The extended number nearest to `near` whose low half is `low`.
fn widen(near: u64, low: u16) -> u64 {
    let candidate = (near & !0xffff) | u64::from(low);
    if candidate > near + 0x8000 && candidate >= 0x1_0000 {
        candidate - 0x1_0000
    } else if candidate + 0x8000 < near {
        candidate + 0x1_0000
    } else {
        candidate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widening_takes_the_nearest_number() {
        assert_eq!(widen(0x1_0005, 0xfff0), 0xfff0);
        assert_eq!(widen(0xfff0, 0x0005), 0x1_0005);
        assert_eq!(widen(0x2_8000, 0x8001), 0x2_8001);
        assert_eq!(widen(5, 0xfff0), 0xfff0);
    }
}
