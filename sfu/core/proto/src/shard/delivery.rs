//! Data messages that have reached the shard of their readers: given to those that have room, kept
//! back for all while one has none, and told to the sender's shard when all have been given them.

use std::time::Instant;

use super::Shard;
use crate::api::{
    ChannelCloseReason, DataDelivery, Event, Host, PeerMessage, RoutedData, ShardId, TransportId,
};
use crate::data::channels::SendOutcome;
use crate::data::deliveries::Origin;
use crate::stats::DropReason;

impl Shard {
    /// A message that is already attributed and addressed.
    pub(super) fn deliver(&mut self, now: Instant, message: RoutedData, host: &mut dyn Host) {
        if message.delivery == DataDelivery::Lossy {
            return self.deliver_lossy(&message);
        }
        let origin = message.origin;
        if self.deliveries.has_parked(origin) {
            self.deliveries.park(message, None);
        } else if let Err((message, reader)) = self.try_accept(now, message) {
            self.deliveries.park(message, Some(reader));
            self.update_blocking(now, reader);
        }
        while origin.is_none() && self.deliveries.server_is_over() {
            if !self.make_room_for_server(now, host) {
                break;
            }
        }
    }

    fn deliver_lossy(&mut self, message: &RoutedData) {
        let targets = self.take_targets(message);
        for (_, key) in &targets {
            let Some((_, channels)) = self.channels(*key) else {
                continue;
            };
            match channels.send(DataDelivery::Lossy, &message.packet) {
                SendOutcome::Queued => self.note_data(*key),
                SendOutcome::NoChannel => {}
                SendOutcome::BufferFull | SendOutcome::TooLarge => {
                    self.counters.drop(DropReason::Data);
                }
            }
        }
        self.data_targets = targets;
    }

    /// Accepts a message if all its readers have room; otherwise names one that has none.
    fn try_accept(
        &mut self,
        now: Instant,
        message: RoutedData,
    ) -> Result<(), (RoutedData, TransportId)> {
        let limit = self.deliveries.reader_limit();
        let len = message.packet.len();
        let mut targets = self.take_targets(&message);
        targets.retain(|(_, key)| {
            self.channels(*key)
                .is_some_and(|(_, channels)| channels.is_open(DataDelivery::Reliable))
        });
        let full = targets.iter().find(|(_, key)| {
            self.channels(*key)
                .is_some_and(|(_, channels)| !channels.has_room(len, limit))
        });
        if let Some(&(reader, _)) = full {
            self.data_targets = targets;
            return Err((message, reader));
        }
        self.data_rooms.remember(now, &message);
        let packet = message.packet.clone();
        let message = self.deliveries.accept(message, targets.len());
        for (_, key) in &targets {
            self.give(now, *key, message, &packet);
        }
        self.data_targets = targets;
        Ok(())
    }

    /// Gives a reader an accepted message, or lets it wait.
    fn give(&mut self, now: Instant, key: usize, message: usize, packet: &[u8]) {
        let limit = self.deliveries.reader_limit();
        let Some((_, channels)) = self.channels(key) else {
            return self.deliveries.release(message);
        };
        if channels.write_at_once(packet, limit) {
            self.deliveries.release(message);
            self.recount(now, key);
        } else {
            channels.enqueue(now, (message, packet.len()));
        }
        self.note_data(key);
    }

    /// The reliable channel of `id` is open: it gets what its member missed at the beginning.
    pub(super) fn replay_data(&mut self, now: Instant, key: usize, id: TransportId) {
        let mut missed = Vec::new();
        self.data_rooms
            .replay(now, id, |message| missed.push(message.clone()));
        for mut message in missed {
            // Its sender has long been told that it is taken.
            message.origin = None;
            let packet = message.packet.clone();
            let message = self.deliveries.accept(message, 1);
            self.give(now, key, message, &packet);
        }
    }

    /// Gives a reader's stack what it can take of what waits, and lets those continue who waited for
    /// room. To be called after anything that the reader may have acknowledged.
    pub(super) fn serve_reader(&mut self, now: Instant, key: usize) {
        let Some((_, channels)) = self.channels(key) else {
            return;
        };
        for (message, _) in channels.take_abandoned() {
            self.counters.drop(DropReason::Data);
            self.deliveries.release(message);
        }
        self.recount(now, key);
        while let Some((_, channels)) = self.channels(key)
            && let Some((message, _)) = channels.first_waiting()
        {
            let limit = self.deliveries.reader_limit();
            let Some(packet) = self.deliveries.get(message).map(|m| m.packet.clone()) else {
                return;
            };
            let Some((id, channels)) = self.channels(key) else {
                return;
            };
            let written = channels.write_first(now, &packet, limit);
            if !written {
                return self.unblock(now, id);
            }
            self.deliveries.release(message);
            self.recount(now, key);
        }
        if let Some((id, _)) = self.channels(key) {
            self.unblock(now, id);
        }
    }

    /// Those who waited for room at `reader` get one message each, in turns, while there is some.
    fn unblock(&mut self, now: Instant, reader: TransportId) {
        while let Some(origin) = self.deliveries.first_blocked(reader) {
            if !self.has_room_for_parked(reader, origin) {
                break;
            }
            self.deliveries.pop_blocked(reader);
            self.accept_parked(now, reader, origin);
        }
        self.update_blocking(now, reader);
    }

    /// A reader that others wait for is watched.
    fn update_blocking(&mut self, now: Instant, reader: TransportId) {
        let blocking = self.deliveries.first_blocked(reader).is_some();
        if let Some(key) = self.transport_ids.get(&reader).copied()
            && let Some((_, channels)) = self.channels(key)
        {
            channels.set_blocking(now, blocking);
        }
    }

    /// Accepts an origin's first parked message; the next one has to wait for `reader` anew.
    fn accept_parked(&mut self, now: Instant, reader: TransportId, origin: Origin) {
        let Some(message) = self.deliveries.parked(origin).cloned() else {
            return;
        };
        match self.try_accept(now, message) {
            Ok(()) => {
                self.deliveries.unpark(origin);
                if self.deliveries.has_parked(origin) {
                    self.deliveries.block(reader, origin);
                }
            }
            Err((_, other)) => {
                self.deliveries.block(other, origin);
                self.update_blocking(now, other);
            }
        }
    }

    fn has_room_for_parked(&mut self, reader: TransportId, origin: Origin) -> bool {
        let limit = self.deliveries.reader_limit();
        let Some(len) = self.deliveries.parked(origin).map(|m| m.packet.len()) else {
            return true;
        };
        let key = self.transport_ids.get(&reader).copied();
        let channels = key.and_then(|key| self.channels(key));
        // Who has gone, or has no channel any more, is not waited for.
        channels.is_none_or(|(_, channels)| {
            !channels.is_open(DataDelivery::Reliable) || channels.has_room(len, limit)
        })
    }

    /// The server's own messages do not wait: who has no room for them is given up.
    fn make_room_for_server(&mut self, now: Instant, host: &mut dyn Host) -> bool {
        let reader = self.deliveries.reader_that_blocks(None);
        let key = reader.and_then(|reader| self.transport_ids.get(&reader).copied());
        if let Some(key) = key {
            self.give_up_reader(now, key, host);
            self.serve_reader(now, key);
        }
        key.is_some()
    }

    /// Closes the reliable channel of a reader that holds others up.
    pub(super) fn give_up_reader(&mut self, now: Instant, key: usize, host: &mut dyn Host) {
        if let Some((id, channels)) = self.channels(key)
            && channels.give_up(now)
        {
            log::debug!("{id:?} takes too little of what waits for it: its channel is closed");
            let reason = ChannelCloseReason::Stalled;
            host.event(Event::DataChannelClosed(id, reason));
            self.note_data(key);
        }
    }

    /// A peer goes: nobody waits for it any more.
    pub(super) fn forget_reader(&mut self, now: Instant, key: usize) {
        let Some((id, channels)) = self.channels(key) else {
            return;
        };
        let (waiting, counted) = channels.abandon();
        for (message, _) in waiting {
            self.deliveries.release(message);
        }
        self.deliveries.recount(counted, 0);
        self.peers[key].channels = None;
        self.unblock(now, id);
    }

    /// Tells senders what has been taken of what they said.
    pub(super) fn tell_senders(&mut self, host: &mut dyn Host) {
        while let Some((sender, len)) = self.deliveries.poll_taken() {
            let from = self.config.id;
            if sender.shard() == from {
                self.data_taken(sender, from, len);
            } else {
                let taken = PeerMessage::DataTaken { sender, from, len };
                host.peer(sender.shard().into(), taken);
            }
        }
    }

    /// The readers of a shard have been given something: its sender may say more.
    pub(super) fn data_taken(&mut self, sender: TransportId, by: ShardId, len: usize) {
        let Some(key) = self.transport_ids.get(&sender).copied() else {
            return;
        };
        if let Some((_, channels)) = self.channels(key) {
            channels.sender.on_taken(by, len);
            if channels.holds_something() {
                self.note_data(key);
            }
        }
    }

    fn recount(&mut self, now: Instant, key: usize) {
        if let Some((_, channels)) = self.channels(key) {
            let (before, after) = channels.recount(now);
            self.deliveries.recount(before, after);
        }
    }

    fn take_targets(&mut self, message: &RoutedData) -> Vec<(TransportId, usize)> {
        let mut targets = std::mem::take(&mut self.data_targets);
        targets.clear();
        self.data_rooms.targets(message, |transport| {
            if let Some(key) = self.transport_ids.get(&transport) {
                targets.push((transport, *key));
            }
        });
        targets
    }
}
