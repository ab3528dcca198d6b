//! The way down: identifiers, credentials, and which thread a command goes to.
//!
//! Identifiers name their thread, so nothing is looked up to route a command. The registry only
//! knows what is open, to place new transports on the least loaded thread and to never give out an
//! identifier twice while its first object lives.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU32, Ordering};

use kinguicall_proto::api::{
    Command, Event, IceCredentials, NeighbourId, OpenTransport, PathSecret, Publish, ShardId, Ssrc,
    Subscribe, SubscriptionId, TrackId, TransportId, TransportState,
};

use kinguicall_proto::transport::demux::ufrag_prefix;

use crate::engine::Engine;
use crate::events::EngineEvent;

/// 48 and 144 bits: RFC 8445, section 5.3 asks for 24 and 128 at least.
const UFRAG_CHARS: usize = 8;
const PASSWORD_CHARS: usize = 24;
const ICE_CHARS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const SERIAL_MASK: u32 = 0x00ff_ffff;

/// Why a command was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    #[error("the engine has stopped")]
    Stopped,
    #[error("the media thread does not keep up with its commands")]
    QueueFull,
    #[error("the identifier {0} is not one of this engine's")]
    UnknownId(u32),
    #[error("the system has no random numbers")]
    NoRandom,
    #[error("all identifiers are in use")]
    OutOfIds,
}

/// What the local description of a transport must announce.
#[derive(Debug, Clone)]
pub struct LocalDescription {
    pub id: TransportId,
    pub ice: IceCredentials,
    /// Values of `a=candidate`.
    pub candidates: Vec<String>,
}

/// Serial numbers of one kind of object on one shard.
#[derive(Debug, Default)]
struct Serials {
    next: u32,
    live: BTreeSet<u32>,
}

impl Serials {
    /// Counts up, so that a stale identifier does not name a new object soon.
    fn allocate(&mut self) -> Result<u32, CommandError> {
        if self.live.len() > SERIAL_MASK as usize {
            return Err(CommandError::OutOfIds);
        }
        loop {
            let serial = self.next;
            self.next = (self.next + 1) & SERIAL_MASK;
            if self.live.insert(serial) {
                return Ok(serial);
            }
        }
    }

    fn free(&mut self, id: u32) {
        self.live.remove(&(id & SERIAL_MASK));
    }
}

#[derive(Debug, Default)]
struct ShardIds {
    transports: Serials,
    tracks: Serials,
    subscriptions: Serials,
}

/// What a transport takes with it when it closes.
#[derive(Debug, Default)]
struct Owned {
    tracks: BTreeSet<TrackId>,
    subscriptions: BTreeSet<SubscriptionId>,
}

/// What is open in the engine.
#[derive(Debug)]
pub(crate) struct Registry {
    shards: Vec<ShardIds>,
    transports: BTreeMap<TransportId, Owned>,
    track_owners: BTreeMap<TrackId, TransportId>,
    subscription_owners: BTreeMap<SubscriptionId, TransportId>,
}

impl Registry {
    pub(crate) fn new(shards: usize) -> Self {
        let mut ids = Vec::new();
        ids.resize_with(shards, ShardIds::default);
        Self {
            shards: ids,
            transports: BTreeMap::new(),
            track_owners: BTreeMap::new(),
            subscription_owners: BTreeMap::new(),
        }
    }

    fn ids(&mut self, shard: ShardId, id: u32) -> Result<&mut ShardIds, CommandError> {
        self.shards
            .get_mut(usize::from(shard.0))
            .ok_or(CommandError::UnknownId(id))
    }

    fn least_loaded(&self) -> ShardId {
        let loads = self.shards.iter().enumerate();
        let least = loads.min_by_key(|(_, ids)| ids.transports.live.len());
        ShardId(least.map_or(0, |(index, _)| index as u8))
    }

    fn add_transport(&mut self, shard: ShardId) -> Result<TransportId, CommandError> {
        let serial = self.ids(shard, u32::from(shard.0))?.transports.allocate()?;
        let id = TransportId::new(shard, serial);
        self.transports.insert(id, Owned::default());
        Ok(id)
    }

    fn add_track(&mut self, owner: TransportId) -> Result<TrackId, CommandError> {
        let shard = owner.shard();
        let id = TrackId::new(shard, self.ids(shard, owner.0)?.tracks.allocate()?);
        if let Some(owned) = self.transports.get_mut(&owner) {
            owned.tracks.insert(id);
            self.track_owners.insert(id, owner);
        } else {
            // The owner has closed meanwhile, so the shard will ignore this track.
            self.ids(shard, owner.0)?.tracks.free(id.0);
        }
        Ok(id)
    }

    fn add_subscription(&mut self, owner: TransportId) -> Result<SubscriptionId, CommandError> {
        let shard = owner.shard();
        let serial = self.ids(shard, owner.0)?.subscriptions.allocate()?;
        let id = SubscriptionId::new(shard, serial);
        if let Some(owned) = self.transports.get_mut(&owner) {
            owned.subscriptions.insert(id);
            self.subscription_owners.insert(id, owner);
        } else {
            self.ids(shard, owner.0)?.subscriptions.free(id.0);
        }
        Ok(id)
    }

    fn remove_track(&mut self, id: TrackId) {
        if let Some(owner) = self.track_owners.remove(&id) {
            if let Some(owned) = self.transports.get_mut(&owner) {
                owned.tracks.remove(&id);
            }
            self.free_track(id);
        }
    }

    fn remove_subscription(&mut self, id: SubscriptionId) {
        if let Some(owner) = self.subscription_owners.remove(&id) {
            if let Some(owned) = self.transports.get_mut(&owner) {
                owned.subscriptions.remove(&id);
            }
            self.free_subscription(id);
        }
    }

    fn remove_transport(&mut self, id: TransportId) {
        let Some(owned) = self.transports.remove(&id) else {
            return;
        };
        for track in owned.tracks {
            self.track_owners.remove(&track);
            self.free_track(track);
        }
        for subscription in owned.subscriptions {
            self.subscription_owners.remove(&subscription);
            self.free_subscription(subscription);
        }
        if let Some(ids) = self.shards.get_mut(usize::from(id.shard().0)) {
            ids.transports.free(id.0);
        }
    }

    fn free_track(&mut self, id: TrackId) {
        if let Some(ids) = self.shards.get_mut(usize::from(id.shard().0)) {
            ids.tracks.free(id.0);
        }
    }

    fn free_subscription(&mut self, id: SubscriptionId) {
        if let Some(ids) = self.shards.get_mut(usize::from(id.shard().0)) {
            ids.subscriptions.free(id.0);
        }
    }
}

/// Where SSRCs come from: a walk from a random beginning that visits all of them before one comes
/// again, as no two streams of a transport may ever have the same.
#[derive(Debug)]
pub(crate) struct Ssrcs(AtomicU32);

impl Ssrcs {
    /// Odd, so that the walk has the full length; far from 1, so that neighbours look different.
    const STEP: u32 = 0x9e37_79b1;

    pub(crate) fn new() -> Result<Self, CommandError> {
        let mut start = [0; 4];
        fill_random(&mut start)?;
        Ok(Self(AtomicU32::new(u32::from_be_bytes(start))))
    }

    fn draw(&self) -> Ssrc {
        loop {
            let ssrc = self.0.fetch_add(Self::STEP, Ordering::Relaxed);
            // Some libraries take 0 for none.
            if ssrc != 0 {
                return Ssrc(ssrc);
            }
        }
    }
}

impl Engine {
    /// Opens a transport on the thread of `near`, or on the least loaded one.
    pub fn open_transport(
        &self,
        near: Option<TransportId>,
        open_data_channels: bool,
    ) -> Result<LocalDescription, CommandError> {
        let id = {
            let mut registry = self.registry();
            let shard = near.map_or_else(|| registry.least_loaded(), TransportId::shard);
            registry.add_transport(shard)?
        };
        let secrets = credentials_of(id.shard()).and_then(|local| Ok((local, path_secret()?)));
        let forget = |_: &CommandError| self.registry().remove_transport(id);
        let (local, path_secret) = secrets.inspect_err(forget)?;
        let sent = self.command(Command::OpenTransport(Box::new(OpenTransport {
            id,
            local: local.clone(),
            path_secret,
            open_data_channels,
            dtls_rng_seed: None,
        })));
        sent.inspect_err(forget)?;
        Ok(self.describe(id, local))
    }

    /// New local credentials for the same transport (RFC 8445, section 2.4).
    pub fn restart_ice(&self, id: TransportId) -> Result<LocalDescription, CommandError> {
        let local = credentials_of(id.shard())?;
        self.command(Command::RestartIce(id, local.clone()))?;
        Ok(self.describe(id, local))
    }

    /// Opens a track; `publish.track` is overwritten with the new identifier.
    pub fn publish(&self, mut publish: Publish) -> Result<TrackId, CommandError> {
        publish.track = self.registry().add_track(publish.transport)?;
        let id = publish.track;
        let sent = self.command(Command::Publish(Box::new(publish)));
        sent.inspect_err(|_| self.registry().remove_track(id))?;
        Ok(id)
    }

    /// An SSRC for something to be sent, which a description must announce: another one each time.
    pub fn draw_ssrc(&self) -> Ssrc {
        self.ssrcs.draw()
    }

    /// Opens a subscription; `subscribe.id`, `via` and `first_sequence` are overwritten.
    pub fn subscribe(&self, mut subscribe: Subscribe) -> Result<SubscriptionId, CommandError> {
        let mut random = [0; 2];
        fill_random(&mut random)?;
        subscribe.first_sequence = u16::from_be_bytes(random) & 0x7fff;
        subscribe.id = self.registry().add_subscription(subscribe.transport)?;
        subscribe.via = parent_of(subscribe.track, subscribe.id);
        let id = subscribe.id;
        let sent = self.command(Command::Subscribe(Box::new(subscribe)));
        sent.inspect_err(|_| self.registry().remove_subscription(id))?;
        Ok(id)
    }

    /// Queues a command for the thread, or threads, that it concerns.
    pub fn command(&self, mut command: Command) -> Result<(), CommandError> {
        if !self.is_running() {
            return Err(CommandError::Stopped);
        }
        if let Command::ChangeTrack(change) = &mut command {
            change.via = parent_of(change.track, change.id);
        }
        match &command {
            Command::CloseTransport(id) => self.registry().remove_transport(*id),
            Command::Unpublish(id) => self.registry().remove_track(*id),
            Command::Unsubscribe(id) => self.registry().remove_subscription(*id),
            _ => {}
        }
        let (shard, id) = match &command {
            Command::OpenTransport(open) => (open.id.shard(), open.id.0),
            Command::SetRemote(id, _)
            | Command::RestartIce(id, _)
            | Command::LimitBitrate(id, _)
            | Command::CloseTransport(id) => (id.shard(), id.0),
            Command::Publish(publish) => (publish.track.shard(), publish.track.0),
            Command::Unpublish(id) | Command::RequestKeyFrame(id) => (id.shard(), id.0),
            Command::Subscribe(subscribe) => (subscribe.id.shard(), subscribe.id.0),
            Command::UpdateSubscription(id, _) | Command::Unsubscribe(id) => (id.shard(), id.0),
            Command::ChangeTrack(change) => (change.id.shard(), change.id.0),
            // Every shard holds every member.
            Command::SetDataMember(_) | Command::RemoveDataMember { .. } => {
                return self.command_to_all(&command);
            }
            // The shard that takes it passes it on to the others.
            Command::SendData { .. } => (ShardId(0), 0),
        };
        let inbox = self.shared.inboxes.get(usize::from(shard.0));
        let inbox = inbox.ok_or(CommandError::UnknownId(id))?;
        if inbox.push_command(command) {
            Ok(())
        } else {
            Err(CommandError::QueueFull)
        }
    }

    fn command_to_all(&self, command: &Command) -> Result<(), CommandError> {
        let inboxes = self.shared.inboxes.iter();
        // Every one is asked, also after one has refused.
        let refused = inboxes.filter(|inbox| !inbox.push_command(command.clone()));
        match refused.count() {
            0 => Ok(()),
            _ => Err(CommandError::QueueFull),
        }
    }

    /// Frees the identifiers of transports that have closed by themselves.
    pub(crate) fn forget_closed(&self, events: &[EngineEvent]) {
        for event in events {
            if let EngineEvent::Shard(Event::TransportState(id, TransportState::Closed(_))) = event
            {
                self.registry().remove_transport(*id);
            }
        }
    }

    fn describe(&self, id: TransportId, ice: IceCredentials) -> LocalDescription {
        let candidates = self.candidates.get(usize::from(id.shard().0));
        LocalDescription {
            id,
            ice,
            candidates: candidates.cloned().unwrap_or_default(),
        }
    }

    fn registry(&self) -> std::sync::MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the thread of a subscription gets a track from: within a node from the thread that receives it.
fn parent_of(track: TrackId, subscription: SubscriptionId) -> Option<NeighbourId> {
    let parent = track.shard();
    (parent != subscription.shard()).then(|| parent.into())
}

/// Fresh ICE credentials whose user name fragment tells the shard.
fn credentials_of(shard: ShardId) -> Result<IceCredentials, CommandError> {
    let IceCredentials { ufrag, password } = new_credentials()?;
    let ufrag = ufrag_prefix(shard) + &ufrag;
    Ok(IceCredentials { ufrag, password })
}

/// Fresh ICE credentials from the system's random numbers.
pub fn new_credentials() -> Result<IceCredentials, CommandError> {
    Ok(IceCredentials {
        ufrag: random_ice_chars(UFRAG_CHARS)?,
        password: random_ice_chars(PASSWORD_CHARS)?,
    })
}

fn path_secret() -> Result<PathSecret, CommandError> {
    let mut secret = PathSecret([0; 16]);
    fill_random(&mut secret.0)?;
    Ok(secret)
}

fn random_ice_chars(count: usize) -> Result<String, CommandError> {
    let mut bytes = vec![0; count];
    fill_random(&mut bytes)?;
    let chars = bytes
        .iter()
        .map(|byte| char::from(ICE_CHARS[usize::from(byte & 63)]));
    Ok(chars.collect())
}

fn fill_random(bytes: &mut [u8]) -> Result<(), CommandError> {
    aws_lc_rs::rand::fill(bytes).map_err(|_| CommandError::NoRandom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_long_enough_and_differ() {
        let (one, two) = (new_credentials().unwrap(), new_credentials().unwrap());
        assert_ne!(one, two);
        assert_eq!((one.ufrag.len(), one.password.len()), (8, 24));
        assert!(one.password.bytes().all(|b| ICE_CHARS.contains(&b)));
    }

    #[test]
    fn ssrcs_begin_anywhere_never_repeat_and_are_not_zero() {
        let (one, other) = (Ssrcs::new().unwrap(), Ssrcs::new().unwrap());
        assert_ne!(one.draw(), other.draw());
        let through_zero = Ssrcs(AtomicU32::new(0_u32.wrapping_sub(Ssrcs::STEP)));
        let drawn: BTreeSet<u32> = (0..10_000).map(|_| through_zero.draw().0).collect();
        assert_eq!(drawn.len(), 10_000);
        assert!(!drawn.contains(&0));
    }

    #[test]
    fn transports_spread_over_the_shards_and_leave_room_when_closed() {
        let mut registry = Registry::new(2);
        let mut open = || {
            let shard = registry.least_loaded();
            registry.add_transport(shard).unwrap()
        };
        let ids = [open(), open(), open(), open()];
        assert_eq!(ids.map(|id| id.shard().0), [0, 1, 0, 1]);
        registry.remove_transport(ids[1]);
        assert_eq!(registry.least_loaded(), ShardId(1));
    }

    #[test]
    fn an_identifier_is_not_given_out_again_while_its_object_lives() {
        let mut registry = Registry::new(1);
        let transport = registry.add_transport(ShardId(0)).unwrap();
        let track = registry.add_track(transport).unwrap();
        let gone = registry.add_track(transport).unwrap();
        registry.remove_track(gone);
        registry.shards[0].tracks.next = SERIAL_MASK;
        let next: Vec<u32> = (0..3)
            .map(|_| registry.add_track(transport).unwrap().0)
            .collect();
        assert!(!next.contains(&track.0));
        assert_eq!(next, [SERIAL_MASK, gone.0, gone.0 + 1]);
    }

    #[test]
    fn a_transport_takes_its_tracks_and_subscriptions_with_it() {
        let mut registry = Registry::new(1);
        let transport = registry.add_transport(ShardId(0)).unwrap();
        registry.add_track(transport).unwrap();
        registry.add_subscription(transport).unwrap();
        registry.remove_transport(transport);
        assert!(registry.track_owners.is_empty());
        assert!(registry.subscription_owners.is_empty());
        let ids = &registry.shards[0];
        assert!(ids.transports.live.is_empty() && ids.tracks.live.is_empty());
        // A late command about the closed transport gets an identifier that nothing holds.
        registry.add_track(transport).unwrap();
        assert!(registry.shards[0].tracks.live.is_empty());
    }

    #[test]
    fn an_identifier_of_no_shard_is_refused() {
        let mut registry = Registry::new(1);
        let foreign = TransportId::new(ShardId(9), 1);
        assert_eq!(
            registry.add_track(foreign),
            Err(CommandError::UnknownId(foreign.0))
        );
    }
}
