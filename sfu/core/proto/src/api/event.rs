//! What a shard tells policy. Events are rare: nothing here happens once per packet.

use super::{Layer, TrackId, TransportId};

/// Life of a peer connection, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransportState {
    /// Waits for the first valid connectivity check.
    New,
    /// A candidate pair works; DTLS is under way.
    Connecting,
    /// Keys are in place: media and data may pass.
    Connected,
    /// No check has arrived for a while; it may come back.
    Disconnected,
    /// Final.
    Closed(CloseReason),
}

/// Why a transport ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// By command.
    Requested,
    /// The peer closed DTLS.
    PeerClosed,
    /// Consent expired (RFC 7675): no valid check for 30 s.
    ConsentExpired,
    /// The certificate was not the one that the description announced.
    FingerprintMismatch,
    /// The peer has no certificate, or none with a key that can be used here: on P-256 or P-384.
    CertificateUnsupported,
    /// No version of DTLS in common, or no cipher suite, group or SRTP profile.
    DtlsUnsupported,
    /// The peer ended the handshake by an alert.
    HandshakeRefused,
    /// DTLS gave up.
    HandshakeFailed,
    /// Nobody came within the time to connect.
    ConnectTimeout,
}

/// Why this side has closed a data channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChannelCloseReason {
    /// The peer did not take what waited for it, and others waited for that.
    Stalled,
    /// The peer sent a message that is longer than can be passed on.
    MessageTooLong,
}

impl CloseReason {
    pub const COUNT: usize = 9;
    /// In their order.
    pub const ALL: [(CloseReason, &'static str); Self::COUNT] = [
        (CloseReason::Requested, "requested"),
        (CloseReason::PeerClosed, "peer_closed"),
        (CloseReason::ConsentExpired, "consent_expired"),
        (CloseReason::FingerprintMismatch, "fingerprint_mismatch"),
        (
            CloseReason::CertificateUnsupported,
            "certificate_unsupported",
        ),
        (CloseReason::DtlsUnsupported, "dtls_unsupported"),
        (CloseReason::HandshakeRefused, "handshake_refused"),
        (CloseReason::HandshakeFailed, "handshake_failed"),
        (CloseReason::ConnectTimeout, "connect_timeout"),
    ];

    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }

    /// What whoever runs the node should be told, where it is the client that has to change.
    pub fn explanation(self) -> Option<&'static str> {
        match self {
            Self::FingerprintMismatch => {
                Some("its certificate is not the one that its description announces")
            }
            Self::CertificateUnsupported => {
                Some("it has no certificate with an ECDSA key on P-256 or P-384; RSA is not taken")
            }
            Self::DtlsUnsupported => Some(
                "its DTLS has no version (1.2), cipher suite, group or SRTP profile that is known here",
            ),
            Self::HandshakeRefused => {
                Some("its DTLS ended the handshake by an alert; an RSA certificate is one cause")
            }
            _ => None,
        }
    }
}

/// Level of one track in one window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AudioLevel {
    pub track: TrackId,
    /// Loudness of the active frames, 0.0 (silence) to 1.0.
    pub level: f32,
    /// Share of the window's frames above the threshold, 0.0 to 1.0.
    pub active_ratio: f32,
}

/// News for policy.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    TransportState(TransportId, TransportState),
    /// The first packet of a layer has arrived.
    LayerStarted {
        track: TrackId,
        layer: Layer,
        payload_type: u8,
    },
    /// Levels of all audio tracks that were heard in the last window, at most one batch per 400 ms.
    AudioLevels(Vec<AudioLevel>),
    /// The first packet left towards this subscriber.
    SubscriptionStarted(super::SubscriptionId),
    /// A subscription has been paused because it does not fit the subscriber's bandwidth, or flows
    /// again.
    StreamState {
        subscription: super::SubscriptionId,
        paused: bool,
    },
    /// A subscription goes on with this track, as [`super::ChangeTrack`] asked.
    TrackChanged {
        subscription: super::SubscriptionId,
        track: TrackId,
    },
    /// A data channel with one of the protocol's own labels has opened.
    DataChannelOpen(TransportId, String),
    /// This side has closed a data channel because of what its peer did or did not do.
    DataChannelClosed(TransportId, ChannelCloseReason),
}
