//! One media thread's whole state: peer connections, tracks, subscriptions and their timers.
//!
//! A turn is: any number of `handle_*` calls, then `end_turn`. Media is gathered for up to
//! `ShardConfig::gather` before it is fanned out, so that packets of one frame leave towards one
//! subscriber next to each other and the kernel can take them in one call; a frame that is whole
//! leaves at once.

mod addresses;
mod allocation;
mod audio;
mod bandwidth;
mod catch_up;
mod commands;
mod connect;
mod credit;
mod data;
mod delivery;
mod fanout;
mod feed;
mod feedback;
mod flow;
mod handover;
mod ingress;
mod neighbours;
mod peer;
mod repair;
mod reports;
mod shedding;
mod snapshot;
mod stamps;
mod subscriber;
mod timers;
mod tracks;
mod upstream;
mod write;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use slab::Slab;

use self::audio::Microphones;
use self::flow::Change;
use self::peer::Peer;
use self::shedding::Shedding;
use self::subscriber::SubscriptionEntry;
use self::timers::{Due, Timer, Timers};
use self::tracks::TrackEntry;
use crate::allocate::Demand;
use crate::api::{
    Command, Host, MediaMeta, PeerMessage, ShardId, SubscriptionId, TrackId, TransportId,
};
use crate::bwe::PacketResult;
use crate::data::deliveries::Deliveries;
use crate::data::room::DataRooms;
use crate::egress::{Batch, SocketIndex, Source};
use crate::forward::Pending;
use crate::stats::Counters;
use crate::transport::{POLL_BUFFER, TransportSettings};

/// Most datagrams that wait in a shard before they are sent.
const BATCH_DATAGRAMS: usize = 96;
/// Shortest time between two looks at a publisher's losses and arrivals.
const FEEDBACK_INTERVAL: Duration = Duration::from_millis(20);
/// Between two receiver reports.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// The first receiver report comes early: some senders repeat mid and rid until they see one.
const FIRST_REPORT_AFTER: Duration = Duration::from_millis(100);
/// How often simulcast layers are checked for silence.
const LAYER_CHECK_INTERVAL: Duration = Duration::from_millis(250);
/// Window over which audio levels are summed up.
const LEVEL_INTERVAL: Duration = Duration::from_millis(400);

/// What a shard is told at its start.
#[derive(Debug, Clone)]
pub struct ShardConfig {
    pub id: ShardId,
    pub certificate: dimpl::DtlsCertificate,
    /// Index = `SocketIndex`.
    pub local_addresses: Arc<[SocketAddr]>,
    /// All shards of the node, this one included.
    pub shards: u8,
    pub epoch: Instant,
    /// NTP time (32.32 fixed point) at `epoch`.
    pub epoch_ntp: u64,
    /// How long the first packet of a frame may wait for the others.
    pub gather: Duration,
    /// How many microphones of a room are forwarded at a time: the loudest ones. 0: all.
    pub audio_places: usize,
}

/// The media plane of one thread.
pub struct Shard {
    config: ShardConfig,
    transport_settings: Arc<TransportSettings>,
    peers: Slab<Peer>,
    tracks: Slab<TrackEntry>,
    subscriptions: Slab<SubscriptionEntry>,
    /// At their peak since room for them was given back.
    most_peers: usize,
    transport_ids: BTreeMap<TransportId, usize>,
    track_ids: BTreeMap<TrackId, usize>,
    subscription_ids: BTreeMap<SubscriptionId, usize>,
    /// Only addresses that have passed a connectivity check.
    addresses: HashMap<Source, usize>,
    ufrags: HashMap<String, usize>,
    data_rooms: DataRooms,
    /// Peers whose channels have something to send, or may be read again.
    data_dirty: Vec<usize>,
    data_targets: Vec<(TransportId, usize)>,
    deliveries: Deliveries,
    microphones: Microphones,
    shedding: Shedding,
    timers: Timers,
    levels_due: Due,
    batch: Batch,
    counters: Counters,
    /// Tracks with packets that wait, and when they have waited enough.
    dirty_tracks: Vec<usize>,
    /// Those of them whose frame is whole.
    whole_tracks: Vec<usize>,
    flush_at: Option<Instant>,
    pending_scratch: Vec<Pending>,
    /// A packet's dependency descriptor and payload in one piece.
    descriptor_scratch: Vec<u8>,
    rtcp_scratch: Vec<u8>,
    nack_scratch: Vec<u16>,
    feedback_scratch: Vec<PacketResult>,
    demands_scratch: Vec<Demand>,
    shed_scratch: Vec<(usize, Change)>,
    poll_buffer: Box<[u8]>,
}

impl Shard {
    /// Errors when the cryptographic provider cannot do what DTLS-SRTP needs.
    pub fn new(config: ShardConfig) -> Result<Self, dimpl::Error> {
        let transport_settings = TransportSettings::new(config.certificate.clone())?;
        let mut shard = Self {
            transport_settings: Arc::new(transport_settings),
            peers: Slab::new(),
            tracks: Slab::new(),
            subscriptions: Slab::new(),
            most_peers: 0,
            transport_ids: BTreeMap::new(),
            track_ids: BTreeMap::new(),
            subscription_ids: BTreeMap::new(),
            addresses: HashMap::new(),
            ufrags: HashMap::new(),
            data_rooms: DataRooms::new(config.id),
            data_dirty: Vec::new(),
            data_targets: Vec::new(),
            deliveries: Deliveries::default(),
            microphones: Microphones::new(config.audio_places, config.shards > 1),
            shedding: Shedding::default(),
            timers: Timers::default(),
            levels_due: Due::default(),
            batch: Batch::new(BATCH_DATAGRAMS),
            counters: Counters::default(),
            dirty_tracks: Vec::new(),
            whole_tracks: Vec::new(),
            flush_at: None,
            pending_scratch: Vec::new(),
            descriptor_scratch: Vec::with_capacity(2_048),
            rtcp_scratch: Vec::with_capacity(2_048),
            nack_scratch: Vec::with_capacity(256),
            feedback_scratch: Vec::new(),
            demands_scratch: Vec::new(),
            shed_scratch: Vec::new(),
            poll_buffer: vec![0; POLL_BUFFER].into_boxed_slice(),
            config,
        };
        let first = shard.config.epoch + LEVEL_INTERVAL;
        shard
            .timers
            .schedule(&mut shard.levels_due, first, Timer::Levels);
        Ok(shard)
    }

    /// A datagram has arrived on a local socket.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        socket: SocketIndex,
        from: SocketAddr,
        datagram: &mut [u8],
        host: &mut dyn Host,
    ) {
        self.counters.packets_received += 1;
        self.counters.bytes_received += datagram.len() as u64;
        if let Err(reason) = self.ingest(now, socket, from, datagram, host) {
            self.counters.drop(reason);
        }
    }

    /// Whether a check from there has passed and not expired.
    pub fn is_validated(&self, socket: SocketIndex, from: SocketAddr) -> bool {
        self.addresses.contains_key(&Source::new(socket, from))
    }

    /// A TCP connection has ended.
    pub fn handle_disconnect(
        &mut self,
        now: Instant,
        socket: SocketIndex,
        from: SocketAddr,
        host: &mut dyn Host,
    ) {
        let source = Source::new(socket, from);
        if let Some(key) = self.addresses.get(&source).copied() {
            self.peers[key].transport.forget(source);
            self.drive_transport(now, key, host);
        }
    }

    pub fn handle_command(&mut self, now: Instant, command: Command, host: &mut dyn Host) {
        self.command(now, command, host);
    }

    /// A decrypted packet from the shard that receives its track, as `Host::media` gave it.
    pub fn handle_media(
        &mut self,
        now: Instant,
        meta: &MediaMeta,
        payload: &[u8],
        host: &mut dyn Host,
    ) {
        if let Some(key) = self.track_ids.get(&meta.track).copied() {
            self.accept(now, key, meta, payload, host);
        }
    }

    pub fn handle_peer(&mut self, now: Instant, message: PeerMessage, host: &mut dyn Host) {
        match message {
            PeerMessage::Data(message) => self.deliver(now, message, host),
            PeerMessage::DataTaken { sender, from, len } => self.data_taken(sender, from, len),
            PeerMessage::AddressTaken { source, for_good } => {
                self.lose(now, source, for_good, host);
            }
            PeerMessage::MicrophoneRanks {
                room,
                from,
                loudness,
            } => {
                let since_epoch = now.saturating_duration_since(self.config.epoch);
                let others = &mut self.microphones;
                others.set_others(room, from, &loudness, since_epoch);
                self.schedule_microphones(now);
            }
            other => self.track_message(now, &other, host),
        }
    }

    /// Runs every timer that is due.
    pub fn handle_timeout(&mut self, now: Instant, host: &mut dyn Host) {
        while let Some((at, timer)) = self.timers.pop(now) {
            self.run_timer(now, at, timer, host);
        }
    }

    /// Fans out what is whole or has been gathered long enough, and sends the batch.
    pub fn end_turn(&mut self, now: Instant, host: &mut dyn Host) {
        self.drive_data(now, host);
        if self.flush_at.is_some_and(|at| at <= now) {
            self.fan_out(now, host);
        } else if !self.whole_tracks.is_empty() {
            self.fan_out_whole(now, host);
        }
        if !self.batch.is_empty() {
            host.flush(&mut self.batch);
        }
    }

    /// When `handle_timeout` or `end_turn` wants to be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next().into_iter().chain(self.flush_at).min()
    }

    pub fn id(&self) -> ShardId {
        self.config.id
    }

    fn run_timer(&mut self, now: Instant, at: Instant, timer: Timer, host: &mut dyn Host) {
        match timer {
            Timer::Transport(key) => {
                if self
                    .peers
                    .get_mut(key)
                    .is_some_and(|p| p.transport_due.take(at))
                {
                    self.transport_timer(now, key, host);
                }
            }
            Timer::Feedback(key) => {
                if self
                    .peers
                    .get_mut(key)
                    .is_some_and(|p| p.feedback_due.take(at))
                {
                    self.feedback(now, key, host);
                }
            }
            Timer::Track(key) => {
                if self.tracks.get_mut(key).is_some_and(|t| t.due.take(at)) {
                    self.track_timer(now, key, host);
                }
            }
            Timer::Bandwidth(key) => {
                if self
                    .peers
                    .get_mut(key)
                    .is_some_and(|p| p.bandwidth.due.take(at))
                {
                    self.bandwidth_timer(now, key, host);
                }
            }
            Timer::Levels => {
                if self.levels_due.take(at) {
                    let next = now + LEVEL_INTERVAL;
                    self.timers
                        .schedule(&mut self.levels_due, next, Timer::Levels);
                    self.report_levels(host);
                    // Changes by tracks that have ended wait for this.
                    self.schedule_microphones(now);
                }
            }
            Timer::Microphones => {
                if self.microphones.due.take(at) {
                    self.tell_microphones(now, host);
                }
            }
        }
    }
}
