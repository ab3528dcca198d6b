//! Data channels: SCTP of each peer, and the rooms that its messages are routed in.
//!
//! A message is attributed and addressed once, on the sender's shard, and delivered by each shard
//! to the members that it hosts. Receivers are marked and driven at the end of the turn, so that a
//! burst of messages costs each of them one round of SCTP.

use std::time::Instant;

use super::Shard;
use super::peer::Peer;
use crate::api::{
    DataDelivery, DataMember, DtlsRole, Event, Host, PeerMessage, RoomId, ShardId, TransportId,
};
use crate::data::channels::{ChannelEvent, ChannelKind, Channels, SendOutcome};
use crate::data::packet;
use crate::data::room::RoutedData;
use crate::stats::DropReason;

impl Shard {
    /// DTLS is established: data channels can be opened.
    pub(super) fn start_channels(&mut self, key: usize, we_are_client: bool) {
        let role = if we_are_client {
            DtlsRole::Client
        } else {
            DtlsRole::Server
        };
        let peer = &mut self.peers[key];
        peer.channels = Some(Box::new(Channels::new(role, peer.opens_channels)));
    }

    /// Feeds decrypted SCTP packets to a peer's channels, acts on what they bring and hands what
    /// they send to the transport. Returns whether there was anything to send.
    pub(super) fn pump_channels(
        &mut self,
        now: Instant,
        key: usize,
        packets: &[Vec<u8>],
        host: &mut dyn Host,
    ) -> bool {
        let mut events = Vec::new();
        let Some((id, channels)) = self.channels(key) else {
            return false;
        };
        for packet in packets {
            channels.handle(now, packet);
        }
        while let Some(event) = channels.poll_event() {
            events.push(event);
        }
        for event in events {
            self.channel_event(now, key, id, event, host);
        }
        let Some(peer) = self.peers.get_mut(key) else {
            return false;
        };
        let Some(channels) = &mut peer.channels else {
            return false;
        };
        let mut sent = false;
        while let Some(packet) = channels.poll_transmit(now) {
            sent |= peer.transport.send_application_data(now, &packet);
        }
        sent
    }

    fn channel_event(
        &mut self,
        now: Instant,
        key: usize,
        id: TransportId,
        event: ChannelEvent,
        host: &mut dyn Host,
    ) {
        match event {
            ChannelEvent::Opened { kind, label, .. } => {
                host.event(Event::DataChannelOpen(id, label));
                let channels = self.peers.get_mut(key).and_then(|p| p.channels.as_mut());
                if let (ChannelKind::Reliable, Some(channels)) = (kind, channels) {
                    self.data_rooms.replay(now, id, |packet| {
                        // A reader this far behind at its very start is dropped like any other.
                        channels.send(DataDelivery::Reliable, packet);
                    });
                }
            }
            ChannelEvent::Message { kind, bytes, .. } => {
                let delivery = match kind {
                    ChannelKind::Reliable => DataDelivery::Reliable,
                    ChannelKind::Lossy => DataDelivery::Lossy,
                    ChannelKind::Raw => DataDelivery::Reliable,
                    _ => return self.counters.drop(DropReason::Data),
                };
                let bytes = match kind {
                    ChannelKind::Raw => packet::wrap_raw(&bytes),
                    _ => bytes,
                };
                match self.data_rooms.route(id, delivery, &bytes) {
                    Ok(message) => self.distribute(now, &message, host),
                    Err(_) => self.counters.drop(DropReason::Data),
                }
            }
            ChannelEvent::Closed { .. } => {}
        }
    }

    pub(super) fn set_data_member(&mut self, now: Instant, member: DataMember) {
        self.data_rooms.set_member(now, member);
    }

    /// A message of the server's own: only the shard that was asked distributes it.
    pub(super) fn send_server_data(
        &mut self,
        now: Instant,
        room: RoomId,
        delivery: DataDelivery,
        packet: &[u8],
        host: &mut dyn Host,
    ) {
        match self.data_rooms.route_from_server(room, delivery, packet) {
            Ok(message) => self.distribute(now, &message, host),
            Err(_) => self.counters.drop(DropReason::Data),
        }
    }

    /// Delivers here and hands on to every other shard.
    fn distribute(&mut self, now: Instant, message: &RoutedData, host: &mut dyn Host) {
        self.deliver(now, message);
        for shard in (0..self.config.shards).map(ShardId) {
            if shard != self.config.id {
                host.peer(shard, PeerMessage::Data(message.clone()));
            }
        }
    }

    /// A message that is already attributed and addressed.
    pub(super) fn deliver(&mut self, now: Instant, message: &RoutedData) {
        let mut targets = std::mem::take(&mut self.data_targets);
        self.data_rooms.deliver(now, message, &mut targets);
        for transport in &targets {
            let Some(key) = self.transport_ids.get(transport).copied() else {
                continue;
            };
            let Some((_, channels)) = self.channels(key) else {
                continue;
            };
            match channels.send(message.delivery, &message.packet) {
                SendOutcome::Queued => self.data_dirty.push(key),
                SendOutcome::NoChannel => {}
                SendOutcome::BufferFull | SendOutcome::TooLarge => {
                    self.counters.drop(DropReason::Data);
                }
            }
        }
        self.data_targets = targets;
    }

    /// Sends what the messages of this turn have put into peers' channels.
    pub(super) fn drive_data(&mut self, now: Instant, host: &mut dyn Host) {
        while let Some(key) = self.data_dirty.pop() {
            self.drive_transport(now, key, host);
        }
    }

    fn channels(&mut self, key: usize) -> Option<(TransportId, &mut Channels)> {
        let peer = self.peers.get_mut(key)?;
        Some((peer.id, peer.channels.as_mut()?))
    }
}

impl Peer {
    pub(super) fn sctp_timeout(&self) -> Option<Instant> {
        let (at, _reason) = self.channels.as_ref()?.poll_timeout()?;
        Some(at)
    }
}
