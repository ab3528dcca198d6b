//! Shards, clients and the time that passes between them, in steps of a millisecond.

mod offered;
mod setup;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kinguicall_proto::api::{
    Command, DataDelivery, Event, Layer, MediaKind, MediaMeta, NeighbourId, PeerMessage, RoomId,
    ShardId, TrackId,
};
use kinguicall_proto::egress::SocketIndex;
use kinguicall_proto::shard::{Shard, ShardConfig};
use str0m::rtp::{ExtensionValues, RtpWrite};
use str0m_netem::NetemConfig;

pub use self::offered::{AV1, OPUS, RED, VP8, VP9};
pub use self::setup::Repairs;

use self::offered::receive_codecs;
use crate::attacker::Attacker;
use crate::client::Client;
use crate::descriptor;
use crate::host::SimHost;
use crate::shared_link::{Addressed, SharedLink};

/// Number of a client in its world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientIndex(pub usize);

/// What a test publishes: its numbers on the publisher's side.
#[derive(Debug, Clone)]
pub struct Published {
    pub client: ClientIndex,
    pub kind: MediaKind,
    /// Media and RTX SSRC per layer, lowest first.
    pub ssrcs: Vec<(u32, Option<u32>)>,
}

/// A published track as a subscriber can refer to it.
#[derive(Debug, Clone)]
pub struct Track {
    pub id: TrackId,
    pub published: Published,
}

/// Steps of simulated time.
const STEP: Duration = Duration::from_millis(1);
/// Everything that takes part.
pub struct World {
    pub now: Instant,
    pub start: Instant,
    pub clients: Vec<Client>,
    pub attackers: Vec<Attacker>,
    pub events: Vec<Event>,
    /// Bytes that the server has sent to addresses where nobody of these lives.
    pub stray_bytes: usize,
    shards: Vec<(Shard, SimHost)>,
    /// Where the next subscriptions on a shard get their tracks from, if not from who receives them.
    pub parents: BTreeMap<ShardId, NeighbourId>,
    /// Messages to neighbours that are no shards.
    pub outside: Vec<PeerMessage>,
    /// How often a shard has said what it wants of a track.
    pub attached: usize,
    /// Payload bytes that have gone to a neighbour, of each layer; an entry for each packet.
    pub crossed: Vec<(NeighbourId, Layer, usize)>,
    shared: Option<SharedLink>,
    fingerprint: Vec<u8>,
    serial: u32,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World")
            .field("clients", &self.clients.len())
            .finish_non_exhaustive()
    }
}

impl World {
    pub fn new(shards: u8) -> Self {
        Self::with_audio_places(shards, 0)
    }

    /// A world in which so many microphones of a room are forwarded.
    pub fn with_audio_places(shards: u8, audio_places: usize) -> Self {
        // The one reading of a clock: simulated time has to start somewhere.
        let now = Instant::now();
        let certificate = dimpl::certificate::generate_self_signed_certificate()
            .expect("the crypto backend can make a certificate");
        let fingerprint = certificate.fingerprint();
        let shards = (0..shards)
            .map(|id| {
                let config = ShardConfig {
                    id: ShardId(id),
                    certificate: certificate.clone(),
                    local_addresses: Arc::from([server_address(ShardId(id))]),
                    shards,
                    epoch: now,
                    epoch_ntp: 0xe000_0000 << 32,
                    gather: Duration::from_millis(1),
                    audio_places,
                };
                let shard = Shard::new(config).expect("the crypto backend works");
                (shard, SimHost::default())
            })
            .collect();
        Self {
            now,
            start: now,
            clients: Vec::new(),
            attackers: Vec::new(),
            events: Vec::new(),
            stray_bytes: 0,
            shards,
            parents: BTreeMap::new(),
            outside: Vec::new(),
            attached: 0,
            crossed: Vec::new(),
            shared: None,
            fingerprint,
            serial: 0,
        }
    }

    /// Sends one RTP packet from a publisher.
    pub fn send(&mut self, track: &Track, layer: usize, packet: &SentPacket<'_>) {
        let [codec, ..] = receive_codecs(track.published.kind)[..] else {
            return;
        };
        self.send_as(track, layer, packet, codec.payload_type);
    }

    /// Sends one RTP packet under another of the payload types that the publisher negotiated.
    pub fn send_as(
        &mut self,
        track: &Track,
        layer: usize,
        packet: &SentPacket<'_>,
        payload_type: u8,
    ) {
        self.send_described(track, layer, packet, payload_type, &[]);
    }

    /// Sends one RTP packet with a dependency descriptor, unless that is empty.
    pub fn send_described(
        &mut self,
        track: &Track,
        layer: usize,
        packet: &SentPacket<'_>,
        payload_type: u8,
        dependency_descriptor: &[u8],
    ) {
        let wallclock = self.now;
        let peer = &mut self.clients[track.published.client.0];
        let mut direct = peer.rtc.direct_api();
        let ssrc = track.published.ssrcs[layer].0.into();
        let stream = direct.stream_tx(&ssrc).expect("declared by publish");
        let write = RtpWrite::new(
            payload_type.into(),
            packet.sequence.into(),
            packet.timestamp,
            wallclock,
            packet.payload,
        )
        .marker(packet.marker)
        .nackable(true);
        let mut extensions = ExtensionValues {
            audio_level: packet.audio_level,
            voice_activity: packet.audio_level.map(|_| true),
            ..ExtensionValues::default()
        };
        descriptor::put(&mut extensions, dependency_descriptor);
        stream.write_rtp(write.ext_vals(extensions));
    }

    /// Sends a message on one of a client's channels; `false` if it is not open or takes no more.
    pub fn write_data(&mut self, client: ClientIndex, label: &str, message: &[u8]) -> bool {
        let client = &mut self.clients[client.0];
        let Some((id, _)) = client.channels.iter().find(|(_, known)| known == label) else {
            return false;
        };
        let id = *id;
        let channel = client.rtc.channel(id);
        let written = channel.map(|mut channel| channel.write(true, message));
        matches!(written, Some(Ok(true)))
    }

    /// A message of the server's own.
    pub fn send_data(
        &mut self,
        shard: ShardId,
        room: RoomId,
        delivery: DataDelivery,
        packet: &[u8],
    ) {
        let packet = packet.to_vec();
        self.command(
            shard,
            Command::SendData {
                room,
                delivery,
                packet,
            },
        );
    }

    /// Gives an order to a shard.
    pub fn command(&mut self, shard: ShardId, command: Command) {
        let (shard, host) = &mut self.shards[usize::from(shard.0)];
        shard.handle_command(self.now, command, host);
        shard.end_turn(self.now, host);
        self.exchange();
    }

    /// A message of a neighbour to a shard.
    pub fn message(&mut self, shard: ShardId, message: PeerMessage) {
        let (shard, host) = &mut self.shards[usize::from(shard.0)];
        shard.handle_peer(self.now, message, host);
        self.exchange();
    }

    /// A packet of a neighbour to a shard.
    pub fn feed(&mut self, shard: ShardId, meta: &MediaMeta, payload: &[u8]) {
        let (shard, host) = &mut self.shards[usize::from(shard.0)];
        shard.handle_media(self.now, meta, payload, host);
        self.exchange();
    }

    /// A datagram from nobody in particular.
    pub fn inject(&mut self, shard: ShardId, from: SocketAddr, mut datagram: Vec<u8>) {
        let (shard, host) = &mut self.shards[usize::from(shard.0)];
        shard.handle_datagram(self.now, SocketIndex(0), from, &mut datagram, host);
        shard.end_turn(self.now, host);
    }

    /// The thread of a shard has not been able to empty its sockets for so long.
    pub fn fall_behind(&mut self, shard: ShardId, behind: Duration) {
        let (shard, host) = &mut self.shards[usize::from(shard.0)];
        shard.handle_lag(self.now, behind, host);
    }

    /// From here on these clients have one downlink in common.
    pub fn share_downlink(&mut self, clients: &[ClientIndex], config: NetemConfig) {
        let members = clients.iter().map(|client| client.0).collect();
        self.shared = Some(SharedLink::new(members, config));
    }

    /// What a shard's surroundings have seen of it.
    pub fn host(&self, shard: ShardId) -> &SimHost {
        &self.shards[usize::from(shard.0)].1
    }

    pub fn shard(&self, shard: ShardId) -> &Shard {
        &self.shards[usize::from(shard.0)].0
    }

    /// Everything that the shards keep is given back; nothing can run after that.
    pub fn end_shards(&mut self) {
        self.shards.clear();
    }

    /// Lets `duration` pass.
    pub fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.now < end {
            self.step();
        }
    }

    /// Runs until `done`, at most `limit`; tells whether it was reached.
    pub fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&World) -> bool) -> bool {
        let end = self.now + limit;
        while self.now < end {
            if done(self) {
                return true;
            }
            self.step();
        }
        done(self)
    }

    pub fn run_until_connected(&mut self) {
        let connected = self.run_until(Duration::from_secs(20), |world| {
            world.clients.iter().all(|client| client.connected)
        });
        assert!(connected, "some client has not connected");
    }

    fn step(&mut self) {
        self.now += STEP;
        for passed in self.shared.iter_mut().flat_map(|it| it.advance(self.now)) {
            self.clients[passed.to].arrive(self.now, passed.datagram);
        }
        for client in &mut self.clients {
            let from = client.seen_as;
            let shard = usize::from(client.transport.shard().0);
            for mut datagram in client.advance(self.now) {
                let (shard, host) = &mut self.shards[shard];
                shard.handle_datagram(self.now, SocketIndex(0), from, &mut datagram, host);
            }
        }
        for attacker in &mut self.attackers {
            let (shard, host) = &mut self.shards[usize::from(attacker.transport.shard().0)];
            for mut datagram in attacker.advance(self.now) {
                let from = attacker.address;
                shard.handle_datagram(self.now, SocketIndex(0), from, &mut datagram, host);
            }
        }
        for (shard, host) in &mut self.shards {
            shard.handle_timeout(self.now, host);
            shard.end_turn(self.now, host);
        }
        self.exchange();
        self.deliver();
    }

    fn exchange(&mut self) {
        for from in 0..self.shards.len() {
            while let Some((to, message)) = self.shards[from].1.messages.pop_front() {
                self.attached += usize::from(matches!(message, PeerMessage::Attach { .. }));
                let Some((shard, host)) = self.shards.get_mut(usize::from(to.0)) else {
                    self.outside.push(message);
                    continue;
                };
                shard.handle_peer(self.now, message, host);
            }
            while let Some((to, meta, payload)) = self.shards[from].1.media.pop_front() {
                let (shard, host) = &mut self.shards[usize::from(to.0)];
                self.crossed.push((to, meta.layer, payload.len()));
                shard.handle_media(self.now, &meta, &payload, host);
            }
        }
        for (shard, host) in &mut self.shards {
            shard.end_turn(self.now, host);
        }
    }

    fn deliver(&mut self) {
        for (_, host) in &mut self.shards {
            self.events.append(&mut host.events);
            while let Some((to, datagram)) = host.datagrams.pop_front() {
                if let Some(to) = self.clients.iter().position(|c| c.seen_as == to) {
                    let addressed = Addressed { to, datagram };
                    let own = match &mut self.shared {
                        Some(link) => link.take(self.now, addressed),
                        None => Some(addressed),
                    };
                    if let Some(Addressed { to, datagram }) = own {
                        self.clients[to].arrive(self.now, datagram);
                    }
                } else if let Some(attacker) = self.attackers.iter_mut().find(|a| a.address == to) {
                    attacker.arrive(datagram);
                } else {
                    self.stray_bytes += datagram.len();
                }
            }
        }
    }
}

/// One packet as a test sends it.
#[derive(Debug, Clone, Copy)]
pub struct SentPacket<'a> {
    pub sequence: u64,
    pub timestamp: u32,
    pub marker: bool,
    pub payload: &'a [u8],
    /// In dBov, 0 the loudest and -127 silence.
    pub audio_level: Option<i8>,
}

fn server_address(shard: ShardId) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 7_882 + u16::from(shard.0)))
}
