//! What is special about audio on its way in: frames of lost packets are taken from the redundancy
//! of later ones (RFC 2198).
//!
//! A recovered frame becomes a packet of its own in the lost one's place, once for everybody. So a
//! subscriber without redundancy gets it too, and nobody asks the publisher for the lost packet. If
//! that comes late it is a duplicate: no number is ever used for two different packets.

use super::Shard;
use crate::api::{Codec, Host, MediaMeta};
use crate::receive::Route;
use crate::rtp::payload::red;

impl Shard {
    /// Accepts the frames that `payload`, redundant audio of peer `key`, has of packets which have
    /// not arrived. To be called before the packet itself is accepted.
    pub(super) fn recover_frames(
        &mut self,
        key: usize,
        route: &Route,
        track_key: usize,
        meta: &MediaMeta,
        payload: &[u8],
        host: &mut dyn Host,
    ) {
        let track = &self.tracks[track_key].inner;
        let reach = red::MAX_REDUNDANT as u64 + 1;
        let Some(previous) = track.packet_before(meta.layer, meta.sequence, reach) else {
            return;
        };
        let previous = (previous.meta.sequence, previous.meta.timestamp);
        if previous.0 + 1 == meta.sequence {
            return;
        }
        let Some(parsed) = red::Payload::parse(payload) else {
            return;
        };
        for frame in parsed.recover(previous, (meta.sequence, meta.timestamp)) {
            let publishing = &mut self.peers[key].publishing;
            let codec = publishing.router.section(route.section).and_then(|it| {
                let mut codecs = it.codecs.iter();
                codecs.find(|codec| codec.payload_type == frame.block.payload_type)
            });
            let Some(codec) = codec.filter(|codec| codec.codec == Codec::Opus) else {
                continue;
            };
            let recovered = MediaMeta {
                payload_type: codec.payload_type,
                codec: codec.codec,
                marker: false,
                sequence: frame.sequence,
                timestamp: frame.timestamp,
                abs_capture_time_len: 0,
                ..*meta
            };
            let received = publishing.streams.get_mut(&(track_key, meta.layer.0));
            if let Some(received) = received
                && let Some(nack) = received.nack.as_mut()
            {
                nack.on_packet(meta.received_at, frame.sequence - received.base);
            }
            self.accept(
                meta.received_at,
                track_key,
                &recovered,
                frame.block.payload,
                host,
            );
        }
    }
}
