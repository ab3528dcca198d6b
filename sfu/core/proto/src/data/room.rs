//! Who gets a data message: the members of each room, and the last reliable messages for those
//! whose channels were not open yet.
//!
//! Every shard knows every member. The shard that a message arrives at attributes it and hands it
//! to all shards, itself included; each of them delivers to the members that receive on it, and
//! looks at no others.
//!
//! Who may be a member is policy's to decide: here is no limit, as one that refused a listener
//! would leave it deaf without a word. A member takes some 300 bytes on a shard, next to the tens
//! of thousands of its transport.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use thiserror::Error;

use super::packet::{self, Attribution, PacketError};
use crate::api::{DataDelivery, DataMember, RoomId, RoutedData, ShardId, TransportId};

/// How long a reliable message waits for channels to open, and how much waits in one room.
const REPLAY_AGE: Duration = Duration::from_secs(2);
const REPLAY_BYTES: usize = 100 * 1_024;

/// Why a message goes nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Dropped {
    #[error("its transport belongs to no member")]
    UnknownSender,
    #[error("its sender may not publish data")]
    NotPermitted,
    #[error("its sequence number has been seen")]
    Repeated,
    #[error("none of its destinations is in the room")]
    NoDestination,
    #[error(transparent)]
    Packet(#[from] PacketError),
}

#[derive(Debug)]
struct Member {
    identity: String,
    sends_on: TransportId,
    receives_on: TransportId,
    can_publish: bool,
    hidden: bool,
    last_sequence: u32,
    added_at: Instant,
    /// Its reliable channel has been open.
    has_received: bool,
}

impl Member {
    /// Whether a message is for this member.
    fn is_addressed(&self, sid: &str, message: &RoutedData) -> bool {
        if *message.sender_sid == *sid {
            return false;
        }
        match message.destinations.is_empty() {
            true => !self.hidden,
            false => message.destinations.contains(&self.identity),
        }
    }
}

#[derive(Debug, Default)]
struct Room {
    /// By sid.
    members: BTreeMap<String, Member>,
    /// Sids of the members that receive on this shard.
    here: BTreeSet<String>,
    /// Identity and sid: an identity may be there twice for a moment, when it joins again.
    identities: BTreeSet<(String, String)>,
    recent: VecDeque<(Instant, RoutedData)>,
    recent_bytes: usize,
}

impl Room {
    fn sids_of<'a>(&'a self, identity: &'a str) -> impl Iterator<Item = &'a str> {
        self.identities
            .range((identity.to_owned(), String::new())..)
            .take_while(move |(found, _)| found == identity)
            .map(|(_, sid)| sid.as_str())
    }

    fn remember(&mut self, now: Instant, message: &RoutedData) {
        self.forget(now);
        if message.packet.len() > REPLAY_BYTES {
            return;
        }
        self.recent_bytes += message.packet.len();
        self.recent.push_back((now, message.clone()));
        while self.recent_bytes > REPLAY_BYTES {
            self.forget_first();
        }
    }

    fn forget(&mut self, now: Instant) {
        while self
            .recent
            .front()
            .is_some_and(|(at, _)| now >= *at + REPLAY_AGE)
        {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        if let Some((_, message)) = self.recent.pop_front() {
            self.recent_bytes -= message.packet.len();
        }
    }
}

/// The data plane of one shard.
#[derive(Debug)]
pub struct DataRooms {
    shard: ShardId,
    rooms: BTreeMap<RoomId, Room>,
    senders: BTreeMap<TransportId, (RoomId, String)>,
    receivers: BTreeMap<TransportId, (RoomId, String)>,
}

impl DataRooms {
    pub fn new(shard: ShardId) -> Self {
        Self {
            shard,
            rooms: BTreeMap::new(),
            senders: BTreeMap::new(),
            receivers: BTreeMap::new(),
        }
    }

    /// Adds a member, or replaces the one with the same sid.
    pub fn set_member(&mut self, now: Instant, member: DataMember) {
        let room_id = member.room;
        let old = self.take_member(room_id, &member.sid);
        let room = self.rooms.entry(room_id).or_default();
        let key = (room_id, member.sid.clone());
        if member.sends_on.shard() == self.shard {
            self.senders.insert(member.sends_on, key.clone());
        }
        if member.receives_on.shard() == self.shard {
            self.receivers.insert(member.receives_on, key);
            room.here.insert(member.sid.clone());
        }
        let identity = (member.identity.clone(), member.sid.clone());
        room.identities.insert(identity);
        let same_receiver = old
            .as_ref()
            .is_some_and(|old| old.receives_on == member.receives_on);
        room.members.insert(
            member.sid,
            Member {
                identity: member.identity,
                sends_on: member.sends_on,
                receives_on: member.receives_on,
                can_publish: member.can_publish,
                hidden: member.hidden,
                last_sequence: old.as_ref().map_or(0, |old| old.last_sequence),
                added_at: old.as_ref().map_or(now, |old| old.added_at),
                has_received: same_receiver && old.is_some_and(|old| old.has_received),
            },
        );
    }

    /// Removes a member; the last one takes the room along.
    pub fn remove_member(&mut self, room: RoomId, sid: &str) {
        self.take_member(room, sid);
        if self
            .rooms
            .get(&room)
            .is_some_and(|room| room.members.is_empty())
        {
            self.rooms.remove(&room);
        }
    }

    /// Attributes a message that arrived on a channel of `from`.
    pub fn route(
        &mut self,
        from: TransportId,
        delivery: DataDelivery,
        packet: &[u8],
    ) -> Result<RoutedData, Dropped> {
        let (room_id, sid) = self.senders.get(&from).ok_or(Dropped::UnknownSender)?;
        let room = self.rooms.get_mut(room_id).ok_or(Dropped::UnknownSender)?;
        let member = room.members.get_mut(sid).ok_or(Dropped::UnknownSender)?;
        if !member.can_publish {
            return Err(Dropped::NotPermitted);
        }
        let attribution = match member.hidden {
            true => Attribution {
                sid: "",
                identity: "",
            },
            false => Attribution {
                sid,
                identity: &member.identity,
            },
        };
        let (packet, addressing) = packet::rewrite(packet, Some(attribution), delivery)?;
        if delivery == DataDelivery::Reliable && addressing.sequence != 0 {
            if addressing.sequence <= member.last_sequence {
                return Err(Dropped::Repeated);
            }
            member.last_sequence = addressing.sequence;
        }
        let (room_id, sid) = (*room_id, Arc::from(sid.as_str()));
        let mut message = address(room_id, room, sid, delivery, packet, addressing)?;
        message.origin = Some(from);
        Ok(message)
    }

    /// How many readers a message has on all shards, for its price; one that is in twice counts
    /// once.
    pub fn readers(&self, message: &RoutedData) -> usize {
        match message.destinations.len() {
            0 => self
                .rooms
                .get(&message.room)
                .map_or(0, |room| room.members.len().saturating_sub(1)),
            named => named,
        }
    }

    /// Addresses a message of the server's own.
    pub fn route_from_server(
        &self,
        room_id: RoomId,
        delivery: DataDelivery,
        packet: &[u8],
    ) -> Result<RoutedData, Dropped> {
        let room = self.rooms.get(&room_id).ok_or(Dropped::NoDestination)?;
        let (packet, addressing) = packet::rewrite(packet, None, delivery)?;
        address(room_id, room, Arc::from(""), delivery, packet, addressing)
    }

    /// Names the transports of this shard that a message goes to.
    pub fn targets(&self, message: &RoutedData, mut name: impl FnMut(TransportId)) {
        let Some(room) = self.rooms.get(&message.room) else {
            return;
        };
        if message.destinations.is_empty() {
            let here = room.here.iter();
            let members = here.filter_map(|sid| Some((sid, room.members.get(sid)?)));
            for (sid, member) in members {
                if member.is_addressed(sid, message) {
                    name(member.receives_on);
                }
            }
            return;
        }
        let mut named = BTreeSet::new();
        for identity in message.destinations.iter() {
            for sid in room.sids_of(identity) {
                if let Some(member) = room.members.get(sid)
                    && *message.sender_sid != *sid
                    && room.here.contains(sid)
                    && named.insert(member.receives_on)
                {
                    name(member.receives_on);
                }
            }
        }
    }

    /// Keeps a reliable message a while for those whose channels have not opened yet.
    pub fn remember(&mut self, now: Instant, message: &RoutedData) {
        if let Some(room) = self.rooms.get_mut(&message.room) {
            room.remember(now, message);
        }
    }

    /// The reliable channel of `transport` is open for the first time: calls `send` with what its
    /// member has missed since it was added.
    pub fn replay(
        &mut self,
        now: Instant,
        transport: TransportId,
        mut send: impl FnMut(&RoutedData),
    ) {
        let Some((room_id, sid)) = self.receivers.get(&transport) else {
            return;
        };
        let Some(room) = self.rooms.get_mut(room_id) else {
            return;
        };
        room.forget(now);
        let Some(member) = room.members.get_mut(sid) else {
            return;
        };
        if std::mem::replace(&mut member.has_received, true) {
            return;
        }
        for (at, message) in &room.recent {
            if *at >= member.added_at && member.is_addressed(sid, message) {
                send(message);
            }
        }
    }

    fn take_member(&mut self, room_id: RoomId, sid: &str) -> Option<Member> {
        let room = self.rooms.get_mut(&room_id)?;
        let member = room.members.remove(sid)?;
        room.here.remove(sid);
        room.identities
            .remove(&(member.identity.clone(), sid.to_owned()));
        remove_if_own(&mut self.senders, member.sends_on, room_id, sid);
        remove_if_own(&mut self.receivers, member.receives_on, room_id, sid);
        Some(member)
    }
}

/// Another member may have taken over the transport meanwhile.
fn remove_if_own(
    index: &mut BTreeMap<TransportId, (RoomId, String)>,
    transport: TransportId,
    room: RoomId,
    sid: &str,
) {
    if index
        .get(&transport)
        .is_some_and(|(owner_room, owner)| *owner_room == room && owner == sid)
    {
        index.remove(&transport);
    }
}

/// Turns the sids that a packet names into identities, and leaves out who is not there.
fn address(
    room_id: RoomId,
    room: &Room,
    sender_sid: Arc<str>,
    delivery: DataDelivery,
    packet: Vec<u8>,
    addressing: packet::Addressing,
) -> Result<RoutedData, Dropped> {
    let is_directed = addressing.is_directed();
    let by_sid = addressing.destination_sids.iter();
    let by_sid = by_sid.filter_map(|sid| room.members.get(sid));
    let mut destinations: Vec<String> = by_sid.map(|member| member.identity.clone()).collect();
    let identities = addressing.destination_identities.into_iter();
    destinations.extend(identities.filter(|identity| room.sids_of(identity).next().is_some()));
    if is_directed && destinations.is_empty() {
        return Err(Dropped::NoDestination);
    }
    Ok(RoutedData {
        room: room_id,
        delivery,
        origin: None,
        sender_sid,
        packet: packet.into(),
        destinations: destinations.into(),
    })
}

#[cfg(test)]
mod tests;
