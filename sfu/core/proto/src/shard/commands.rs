//! Orders from policy. An order about something that has gone is ignored.

use std::time::Instant;

use super::Shard;
use super::feed::{Feed, Publisher};
use super::flow::Change;
use super::peer::Peer;
use super::stamps::{Stamps, transport_cc_id};
use super::subscriber::SubscriptionEntry;
use crate::allocate::Allowance;
use crate::api::{
    Command, ExtensionId, Host, Layer, OpenTransport, Publish, RemoteDescription, Subscribe,
    SubscriptionId, SubscriptionSettings, TransportId,
};
use crate::forward::{MAX_LAYERS, Subscription};
use crate::receive::Section;
use crate::rtp::ExtensionMap;
use crate::transport::Transport;

/// So few peers take no room that would be worth giving back.
const SHRINK_FROM: usize = 16;

impl Shard {
    pub(super) fn command(&mut self, now: Instant, command: Command, host: &mut dyn Host) {
        match command {
            Command::OpenTransport(request) => self.open_transport(now, &request, host),
            Command::SetRemote(id, remote) => self.set_remote(now, id, *remote, host),
            Command::RestartIce(id, local) => {
                if let Some(key) = self.transport_ids.get(&id).copied() {
                    self.peers[key].transport.restart_ice(local);
                    self.update_ufrags(key);
                    self.drive_transport(now, key, host);
                }
            }
            Command::CloseTransport(id) => {
                if let Some(key) = self.transport_ids.get(&id).copied() {
                    self.peers[key].transport.close();
                    self.drive_transport(now, key, host);
                    self.remove_peer(now, key, host);
                }
            }
            Command::Publish(request) => self.publish(now, &request, host),
            Command::Unpublish(track) => {
                if let Some(key) = self.track_ids.get(&track).copied() {
                    self.leave_track(now, key, host);
                    self.remove_track(key, host);
                }
            }
            Command::Subscribe(request) => self.subscribe(now, &request, host),
            Command::UpdateSubscription(id, settings) => {
                self.update_subscription(now, id, settings, host);
            }
            Command::ChangeTrack(request) => self.change_track(now, *request, host),
            Command::Unsubscribe(id) => {
                if let Some(sub) = self.subscription_ids.get(&id).copied() {
                    self.remove_subscription(now, sub, host);
                }
            }
            Command::RequestKeyFrame(track) => {
                if let Some(key) = self.track_ids.get(&track).copied() {
                    for layer in 0..MAX_LAYERS {
                        self.want_key_frame(now, key, Layer(layer as u8));
                    }
                }
            }
            Command::LimitBitrate(id, bitrate_bps) => {
                if let Some(key) = self.transport_ids.get(&id).copied() {
                    self.limit_bitrate(now, key, bitrate_bps, host);
                }
            }
            Command::SetDataMember(member) => self.set_data_member(now, *member),
            Command::RemoveDataMember { room, sid } => self.data_rooms.remove_member(room, &sid),
            Command::SendData {
                room,
                delivery,
                packet,
            } => self.send_server_data(now, room, delivery, &packet, host),
        }
    }

    fn open_transport(&mut self, now: Instant, request: &OpenTransport, host: &mut dyn Host) {
        if self.transport_ids.contains_key(&request.id) {
            return;
        }
        let transport = Transport::new(now, request.clone(), &self.transport_settings);
        let peer = Peer::new(request.id, transport, request.open_data_channels, now);
        let key = self.peers.insert(peer);
        self.transport_ids.insert(request.id, key);
        self.update_ufrags(key);
        self.drive_transport(now, key, host);
    }

    fn set_remote(
        &mut self,
        now: Instant,
        id: TransportId,
        remote: RemoteDescription,
        host: &mut dyn Host,
    ) {
        if let Some(key) = self.transport_ids.get(&id).copied() {
            self.peers[key].transport.set_remote(now, remote);
            self.update_ufrags(key);
            self.drive_transport(now, key, host);
        }
    }

    /// The ufrags under which checks for a peer may come: old and new ones during a restart.
    pub(super) fn update_ufrags(&mut self, key: usize) {
        let Some(peer) = self.peers.get_mut(key) else {
            return;
        };
        for ufrag in peer.ufrags.drain(..) {
            self.ufrags.remove(&ufrag);
        }
        for ufrag in peer.transport.local_ufrags() {
            self.ufrags.insert(ufrag.to_owned(), key);
            peer.ufrags.push(ufrag.to_owned());
        }
    }

    /// Ends a peer with everything that hangs on it.
    pub(super) fn remove_peer(&mut self, now: Instant, key: usize, host: &mut dyn Host) {
        self.forget_reader(now, key);
        let Some(peer) = self.peers.get(key) else {
            return;
        };
        let subscriptions: Vec<usize> = peer.sent.values().copied().collect();
        let published = peer.published().to_vec();
        for sub in subscriptions {
            self.remove_subscription(now, sub, host);
        }
        for track in published {
            self.remove_track(track, host);
        }
        let Some(peer) = self.peers.try_remove(key) else {
            return;
        };
        self.transport_ids.remove(&peer.id);
        for ufrag in &peer.ufrags {
            self.ufrags.remove(ufrag);
        }
        for address in &peer.addresses {
            self.disclaim(key, *address, host);
        }
        self.shrink();
    }

    /// After half of the peers have left, their places are given back, as far as none behind them
    /// is in use.
    fn shrink(&mut self) {
        let peers = self.peers.len();
        self.most_peers = self.most_peers.max(peers + 1);
        if peers * 2 > self.most_peers || self.most_peers < SHRINK_FROM {
            return;
        }
        self.most_peers = peers;
        self.peers.shrink_to_fit();
        self.tracks.shrink_to_fit();
        self.subscriptions.shrink_to_fit();
        self.addresses.shrink_to_fit();
        self.ufrags.shrink_to_fit();
        self.timers.shrink();
    }

    fn publish(&mut self, now: Instant, request: &Publish, host: &mut dyn Host) {
        let Some(key) = self.transport_ids.get(&request.transport).copied() else {
            return;
        };
        if let Some(old) = self.track_ids.get(&request.track).copied() {
            self.remove_track(old, host);
        }
        let publishing = self.peers[key].begin_publishing(now);
        let section = Section {
            track: request.track,
            mid: request.mid,
            codecs: request.codecs.clone(),
            rids: request.rids.clone(),
            ssrcs: request.ssrcs.clone(),
        };
        if let Err(error) = publishing.router.add_section(section) {
            log::warn!("track {:?} cannot be published: {error}", request.track);
            return;
        }
        for extension in &request.extensions {
            let known = &mut publishing.extension_ids;
            known.retain(|e: &ExtensionId| e.id != extension.id);
            known.push(*extension);
        }
        publishing.extensions = ExtensionMap::new(&publishing.extension_ids);
        let clock_rate_hz = request.codecs.first().map_or(90_000, |c| c.clock_rate_hz);
        let feed = Feed::Publisher(Box::new(Publisher::new(key, request)));
        let track = self.add_track(request.track, request.kind, feed, clock_rate_hz);
        self.peers[key].begin_publishing(now).tracks.push(track);
    }

    fn subscribe(&mut self, now: Instant, request: &Subscribe, host: &mut dyn Host) {
        let Some(peer) = self.transport_ids.get(&request.transport).copied() else {
            return;
        };
        let clock_rate_hz = request.codecs.first().map_or(90_000, |c| c.clock_rate_hz);
        let Some(track_key) = self.track_or_attach(
            (request.track, request.via),
            request.settings,
            request.kind,
            clock_rate_hz,
            host,
        ) else {
            return;
        };
        let (media, rtx) = match self.peers[peer].open_streams(request) {
            Ok(streams) => streams,
            Err(error) => {
                log::error!("{:?} cannot be sent: {error}", request.id);
                self.release_track(track_key, host);
                return;
            }
        };
        let key = self.subscriptions.vacant_key();
        let shed = self.shedding.of(key, request.kind);
        let sub = self.subscriptions.insert(SubscriptionEntry {
            id: request.id,
            peer,
            track_key,
            next: None,
            started: false,
            inner: Subscription::new(request, media, rtx, now),
            last_report: None,
            report_at: None,
            packets_at_report: 0,
            fraction_lost: 0,
            transport_cc_id: transport_cc_id(request),
            stamps: Stamps::new(
                transport_cc_id(request),
                request.kind,
                request.rtx_ssrc.and(Some(request.codecs.as_slice())),
            ),
            allowance: Allowance::default(),
            shed,
            is_paused: false,
        });
        self.subscription_ids.insert(request.id, sub);
        self.peers[peer].sent.insert(request.ssrc.0, sub);
        self.tracks[track_key].inner.subscriptions.push(sub);
        self.watch_bandwidth(now, peer, sub);
        self.allocate(now, peer, host);
        self.settle(now, sub, Change::AtKeyFrame, host);
    }

    pub(super) fn update_subscription(
        &mut self,
        now: Instant,
        id: SubscriptionId,
        settings: SubscriptionSettings,
        host: &mut dyn Host,
    ) {
        let Some(sub) = self.subscription_ids.get(&id).copied() else {
            return;
        };
        if let Some(entry) = self.subscriptions.get_mut(sub) {
            let peer = entry.peer;
            if let Some(next) = &mut entry.next {
                next.settings = settings;
            }
            // Other layers are meant for the track to come.
            if entry.next.is_none() || settings.paused {
                entry.inner.set_settings(settings);
            }
            self.allocate(now, peer, host);
        }
        self.settle(now, sub, Change::AtKeyFrame, host);
    }

    /// A peer can take media: whatever it waits for must begin with a key frame.
    pub(super) fn start_subscriptions(&mut self, now: Instant, key: usize, host: &mut dyn Host) {
        let subscriptions: Vec<usize> = self.peers[key].sent.values().copied().collect();
        for sub in subscriptions {
            self.settle(now, sub, Change::AtKeyFrame, host);
        }
    }
}
