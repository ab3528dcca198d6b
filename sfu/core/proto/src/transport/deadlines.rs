//! When a transport gives up waiting, and for what.

use std::time::{Duration, Instant};

use super::Transport;
use super::dtls::{self, DtlsSession};
use crate::api::{CloseReason, TransportState};

/// Nobody connects within this time of opening: the transport closes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(60);
/// DTLS is not done this long after it could begin: the transport closes.
const HANDSHAKE_TIMEOUT: Duration = dtls::HANDSHAKE_TIMEOUT;
/// No check for this long: the peer counts as disconnected.
const DISCONNECTED_AFTER: Duration = Duration::from_secs(10);
/// No check for this long: consent has expired (RFC 7675, section 5.1).
const CONSENT_TIMEOUT: Duration = Duration::from_secs(30);

/// What a deadline of the transport brings.
#[derive(Debug, Clone, Copy)]
pub(super) enum Due {
    Disconnect,
    Close(CloseReason),
}

impl Due {
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Disconnect => "ICE silence",
            Self::Close(CloseReason::ConnectTimeout) => "connect timeout",
            Self::Close(CloseReason::HandshakeFailed) => "DTLS handshake timeout",
            Self::Close(_) => "ICE consent",
        }
    }
}

impl Transport {
    /// Deadlines of this transport's own, each with its rank when several are due.
    pub(super) fn deadlines(&self) -> [Option<(Instant, u8, Due)>; 4] {
        let unanswered = self.dtls.is_none();
        let connect = unanswered.then_some((
            self.opened_at + CONNECT_TIMEOUT,
            1,
            Due::Close(CloseReason::ConnectTimeout),
        ));
        let is_established = self.dtls.as_ref().is_some_and(DtlsSession::is_established);
        let handshake = self
            .handshake_began_at
            .filter(|_| !is_established)
            .map(|at| {
                let reason = Due::Close(CloseReason::HandshakeFailed);
                (at + HANDSHAKE_TIMEOUT, 2, reason)
            });
        let checked_at = self.ice.checked_at();
        let consent = checked_at.map(|at| {
            let reason = Due::Close(CloseReason::ConsentExpired);
            (at + CONSENT_TIMEOUT, 3, reason)
        });
        let silence = checked_at
            .filter(|_| self.state != TransportState::Disconnected)
            .map(|at| (at + DISCONNECTED_AFTER, 0, Due::Disconnect));
        [connect, handshake, consent, silence]
    }
}
