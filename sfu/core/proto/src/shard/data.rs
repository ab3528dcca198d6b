//! Data channels: SCTP of each peer, and the rooms that its messages are routed in.
//!
//! A message is attributed and addressed once, on the sender's shard, and handed to every shard,
//! which delivers it to the members that it hosts (`delivery`). A sender whose readers are behind is
//! not read from: its receive window closes. Receivers are noted and driven at the end of the turn,
//! so that a burst of messages costs each of them one round of SCTP.

use std::time::Instant;

use super::Shard;
use super::peer::Peer;
use crate::api::{
    ChannelCloseReason, DataDelivery, DataMember, DtlsRole, Event, Host, PeerMessage, RoomId,
    RoutedData, ShardId, TransportId,
};
use crate::data::channels::{ChannelEvent, ChannelKind, Channels};
use crate::data::packet::{self, PacketError};
use crate::data::room::Dropped;
use crate::data::sender::Gate;
use crate::stats::DropReason;

/// Packets that DTLS is given before they are sent: its queue is short.
const PACKETS_AT_ONCE: usize = 32;

impl Shard {
    /// Data channels can be opened: DTLS is established, and if it is the peer that begins SCTP, it has
    /// said something. Many a client that only listens never does.
    pub(super) fn start_channels(&mut self, key: usize, role: DtlsRole) {
        let peer = &mut self.peers[key];
        let channels = || Box::new(Channels::new(role, peer.opens_channels));
        peer.channels.get_or_insert_with(channels);
    }

    /// Feeds decrypted SCTP packets to a peer's channels, acts on what they bring and hands what
    /// they send to the transport, as much as that takes at once. Returns whether there was anything
    /// to send: then there may be more.
    pub(super) fn pump_channels(
        &mut self,
        now: Instant,
        key: usize,
        packets: &[Vec<u8>],
        host: &mut dyn Host,
    ) -> bool {
        if !packets.is_empty() {
            self.start_channels(key, DtlsRole::Server);
        }
        let Some((_, channels)) = self.channels(key) else {
            return false;
        };
        for packet in packets {
            channels.handle(now, packet);
        }
        while let Some((id, event)) = self.next_channel_event(now, key, host) {
            self.channel_event(now, key, id, event, host);
        }
        self.serve_reader(now, key);
        let Some(peer) = self.peers.get_mut(key) else {
            return false;
        };
        let Some(channels) = &mut peer.channels else {
            return false;
        };
        for sent in 0..PACKETS_AT_ONCE {
            let Some(packet) = channels.poll_transmit(now) else {
                return sent > 0;
            };
            if !peer.transport.send_application_data(now, &packet) {
                return false;
            }
        }
        true
    }

    /// The gate is looked at before each event: what the last one brought may have closed it.
    fn next_channel_event(
        &mut self,
        now: Instant,
        key: usize,
        host: &mut dyn Host,
    ) -> Option<(TransportId, ChannelEvent)> {
        self.tell_senders(host);
        let (id, channels) = self.channels(key)?;
        channels.hold(now);
        Some((id, channels.poll_event()?))
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
                if kind != ChannelKind::Raw {
                    host.event(Event::DataChannelOpen(id, label));
                }
                if kind == ChannelKind::Reliable {
                    self.replay_data(now, key, id);
                }
            }
            ChannelEvent::Message {
                id: channel,
                kind,
                bytes,
                ..
            } => self.message(now, key, id, channel, kind, &bytes, host),
            ChannelEvent::Stalled => self.give_up_reader(now, key, host),
            ChannelEvent::Closed { .. } => {}
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn message(
        &mut self,
        now: Instant,
        key: usize,
        id: TransportId,
        channel: u16,
        kind: ChannelKind,
        bytes: &[u8],
        host: &mut dyn Host,
    ) {
        let delivery = match kind {
            ChannelKind::Reliable | ChannelKind::Raw => DataDelivery::Reliable,
            ChannelKind::Lossy => DataDelivery::Lossy,
            ChannelKind::DataTrack => return self.counters.drop(DropReason::Data),
        };
        let routed = match kind {
            ChannelKind::Raw => self
                .data_rooms
                .route(id, delivery, &packet::wrap_raw(bytes)),
            _ => self.data_rooms.route(id, delivery, bytes),
        };
        match routed {
            Ok(message) => self.distribute_from(now, key, message, host),
            Err(reason) => {
                self.counters.drop(DropReason::Data);
                if let (Dropped::Packet(PacketError::TooLarge), Some((_, channels))) =
                    (reason, self.channels(key))
                {
                    channels.refuse(channel);
                    let reason = ChannelCloseReason::MessageTooLong;
                    host.event(Event::DataChannelClosed(id, reason));
                }
            }
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
            Ok(message) => self.distribute(now, message, host),
            Err(_) => self.counters.drop(DropReason::Data),
        }
    }

    /// A participant's message: at its pace, and counted until its readers have it.
    fn distribute_from(
        &mut self,
        now: Instant,
        key: usize,
        message: RoutedData,
        host: &mut dyn Host,
    ) {
        let readers = self.data_rooms.readers(&message);
        let shards = self.config.shards;
        let Some((_, channels)) = self.channels(key) else {
            return;
        };
        let len = message.packet.len();
        if message.delivery == DataDelivery::Lossy {
            if matches!(channels.sender.gate(now), Gate::Paced(_)) {
                return self.counters.drop(DropReason::Data);
            }
        } else {
            channels.sender.expect_taken(len, shards);
        }
        channels.sender.on_sent(now, len, readers);
        self.distribute(now, message, host);
    }

    /// Hands on to every other shard and delivers here.
    fn distribute(&mut self, now: Instant, message: RoutedData, host: &mut dyn Host) {
        for shard in (0..self.config.shards).map(ShardId) {
            if shard != self.config.id {
                host.peer(shard.into(), PeerMessage::Data(message.clone()));
            }
        }
        self.deliver(now, message, host);
    }

    /// Sends what the messages of this turn have put into peers' channels, and what senders may say
    /// after that.
    pub(super) fn drive_data(&mut self, now: Instant, host: &mut dyn Host) {
        self.tell_senders(host);
        while let Some(key) = self.data_dirty.pop() {
            if let Some((_, channels)) = self.channels(key) {
                channels.unnote();
                self.drive_transport(now, key, host);
            }
            self.tell_senders(host);
        }
    }

    /// A peer has something to send, or may say more.
    pub(super) fn note_data(&mut self, key: usize) {
        if self
            .channels(key)
            .is_some_and(|(_, channels)| channels.note())
        {
            self.data_dirty.push(key);
        }
    }

    pub(super) fn channels(&mut self, key: usize) -> Option<(TransportId, &mut Channels)> {
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
