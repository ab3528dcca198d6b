//! Data channels.
use std::time::Instant;

use super::Shard;
use super::peer::Peer;
use crate::api::{DataDelivery, DataMember, Host, PeerMessage, RoomId};

impl Shard {
    pub(super) fn sctp_packet(&mut self, _: Instant, _: usize, _: &[u8], _: &mut dyn Host) {}
    pub(super) fn sctp_timeout(&mut self, _: Instant, _: usize, _: &mut dyn Host) {}
    pub(super) fn set_data_member(&mut self, _: Instant, _: DataMember, _: &mut dyn Host) {}
    pub(super) fn send_server_data(
        &mut self,
        _: Instant,
        _: RoomId,
        _: DataDelivery,
        _: &[u8],
        _: &mut dyn Host,
    ) {
    }
    pub(super) fn deliver_data(&mut self, _: Instant, _: &PeerMessage, _: &mut dyn Host) {}
}

impl Peer {
    pub(super) fn sctp_timeout(&self) -> Option<Instant> {
        None
    }
}
