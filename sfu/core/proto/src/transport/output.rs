//! What comes out of a transport.

use std::net::SocketAddr;

use dimpl::{KeyingMaterial, SrtpProfile};

use super::ice::IceEvent;
use crate::api::TransportState;
use crate::egress::{SocketIndex, Source};

/// What a transport wants done, or tells.
#[derive(Debug)]
pub enum Output<'a> {
    Transmit {
        socket: SocketIndex,
        to: SocketAddr,
        bytes: &'a [u8],
    },
    /// Datagrams from this address belong to this transport from now on.
    AddressValidated(Source),
    AddressExpired(Source),
    /// Media leaves by this pair from now on; little of it before the pair is proven.
    SelectedPair {
        socket: SocketIndex,
        to: SocketAddr,
        is_proven: bool,
    },
    /// What leaves by the selected pair arrives at the peer and at nobody else.
    PairProven,
    /// Checks with this local user name fragment need not be brought here any more.
    UfragRetired(String),
    /// Once, before `State(Connected)`: the exported keys (RFC 5764, section 4.2).
    Keys {
        profile: SrtpProfile,
        keying_material: KeyingMaterial,
        we_are_client: bool,
    },
    State(TransportState),
    /// Decrypted bytes from the peer: SCTP packets (RFC 8261).
    ApplicationData(&'a [u8]),
}

impl From<IceEvent> for Output<'_> {
    fn from(event: IceEvent) -> Self {
        match event {
            IceEvent::AddressValidated(address) => Self::AddressValidated(address),
            IceEvent::AddressExpired(address) => Self::AddressExpired(address),
            IceEvent::Selected {
                socket,
                to,
                is_proven,
            } => Self::SelectedPair {
                socket,
                to,
                is_proven,
            },
            IceEvent::SelectedIsProven => Self::PairProven,
            IceEvent::UfragRetired(ufrag) => Self::UfragRetired(ufrag),
        }
    }
}
