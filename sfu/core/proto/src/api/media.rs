//! What SDP settled about a section, reduced to what a packet needs.

/// Kind of a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaKind {
    Audio,
    Video,
}

/// Codecs whose payload the media plane has to understand, and the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    Opus,
    /// Opus with redundancy (RFC 2198).
    Red,
    Vp8,
    H264,
    Vp9,
    Av1,
    /// Forwarded without looking inside; every packet counts as a switching point.
    Opaque,
}

impl Codec {
    /// Needs a key frame before a decoder can start.
    pub fn is_video(self) -> bool {
        matches!(self, Self::Vp8 | Self::H264 | Self::Vp9 | Self::Av1)
    }
}

/// One payload type that the publisher may send in a section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceiveCodec {
    pub payload_type: u8,
    pub codec: Codec,
    pub clock_rate_hz: u32,
    /// Payload type of its retransmissions (RFC 4588), if negotiated.
    pub rtx_payload_type: Option<u8>,
}

/// Header extensions that the media plane reads or forwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ExtensionKind {
    Mid,
    Rid,
    RepairedRid,
    AudioLevel,
    TransportCc,
    AbsSendTime,
    AbsCaptureTime,
    DependencyDescriptor,
    VideoOrientation,
    PlayoutDelay,
}

impl ExtensionKind {
    /// The URI of `a=extmap` (RFC 8285), or `None` for one that is not known here.
    pub fn from_uri(uri: &str) -> Option<Self> {
        Some(match uri {
            "urn:ietf:params:rtp-hdrext:sdes:mid" => Self::Mid,
            "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id" => Self::Rid,
            "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id" => Self::RepairedRid,
            "urn:ietf:params:rtp-hdrext:ssrc-audio-level" => Self::AudioLevel,
            "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01" => {
                Self::TransportCc
            }
            "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time" => Self::AbsSendTime,
            "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time" => Self::AbsCaptureTime,
            "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension" => {
                Self::DependencyDescriptor
            }
            "urn:3gpp:video-orientation" => Self::VideoOrientation,
            "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay" => Self::PlayoutDelay,
            _ => return None,
        })
    }
}

/// A negotiated extension: its identifier on the wire, 1 to 255.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExtensionId {
    pub id: u8,
    pub kind: ExtensionKind,
}

/// Which side of the DTLS handshake this node takes (RFC 5763, section 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DtlsRole {
    /// `a=setup:active`: sends the ClientHello.
    Client,
    /// `a=setup:passive`.
    Server,
}
