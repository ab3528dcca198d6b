//! What clients of a world offer: payload types and identifiers of extensions.

use kinguicall_proto::api::{Codec, ExtensionId, ExtensionKind, MediaKind, ReceiveCodec};

use crate::descriptor::DESCRIPTOR_ID;

/// Payload types of video; RTX has the next higher one.
pub const VP8: u8 = 96;
pub const VP9: u8 = 98;
pub const AV1: u8 = 45;
/// Payload type of Opus.
pub const OPUS: u8 = 111;
/// Payload type of redundant audio.
pub const RED: u8 = 63;

/// What a publisher may send, the default first.
pub(super) fn receive_codecs(kind: MediaKind) -> Vec<ReceiveCodec> {
    match kind {
        MediaKind::Audio => AUDIO_CODECS.to_vec(),
        MediaKind::Video => [(VP8, Codec::Vp8), (VP9, Codec::Vp9), (AV1, Codec::Av1)]
            .map(|(payload_type, codec)| ReceiveCodec {
                payload_type,
                codec,
                clock_rate_hz: 90_000,
                rtx_payload_type: Some(payload_type + 1),
            })
            .to_vec(),
    }
}

pub(super) const AUDIO_CODECS: [ReceiveCodec; 2] = [
    ReceiveCodec {
        payload_type: OPUS,
        codec: Codec::Opus,
        clock_rate_hz: 48_000,
        rtx_payload_type: None,
    },
    ReceiveCodec {
        payload_type: RED,
        codec: Codec::Red,
        clock_rate_hz: 48_000,
        rtx_payload_type: None,
    },
];

pub(super) const DESCRIPTOR: ExtensionId = ExtensionId {
    id: DESCRIPTOR_ID,
    kind: ExtensionKind::DependencyDescriptor,
};

/// The identifiers that str0m uses by default, and the dependency descriptor's.
pub(super) fn extensions() -> Vec<ExtensionId> {
    [
        (1, ExtensionKind::AudioLevel),
        (2, ExtensionKind::AbsSendTime),
        (3, ExtensionKind::TransportCc),
        (4, ExtensionKind::Mid),
        (10, ExtensionKind::Rid),
        (11, ExtensionKind::RepairedRid),
        (DESCRIPTOR_ID, ExtensionKind::DependencyDescriptor),
    ]
    .map(|(id, kind)| ExtensionId { id, kind })
    .to_vec()
}
