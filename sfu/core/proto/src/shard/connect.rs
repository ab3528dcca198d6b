//! A peer's way from its first connectivity check to media, and its end.

use std::time::Instant;

use super::Shard;
use super::timers::Timer;
use crate::api::{DtlsRole, Event, Host, TransportState};
use crate::egress::{MAX_DATAGRAM, TrafficClass};
use crate::srtp::{self, Profile};
use crate::transport::{KeyingMaterial, Output, SrtpProfile};

impl Shard {
    /// Does what a transport and its channels want done, until they want nothing more.
    pub(super) fn drive_transport(&mut self, now: Instant, key: usize, host: &mut dyn Host) {
        let mut packets: Vec<Vec<u8>> = Vec::new();
        loop {
            packets.clear();
            if self.poll_transport(now, key, &mut packets, host) {
                self.remove_peer(now, key, host);
                return;
            }
            if !self.pump_channels(now, key, &packets, host) {
                break;
            }
        }
        self.schedule_transport(key);
    }

    /// Drains a transport; returns whether it has closed. SCTP packets go to `packets`.
    fn poll_transport(
        &mut self,
        now: Instant,
        key: usize,
        packets: &mut Vec<Vec<u8>>,
        host: &mut dyn Host,
    ) -> bool {
        let mut closed = false;
        while let Some(peer) = self.peers.get_mut(key) {
            let Some(output) = peer.transport.poll_output(now, &mut self.poll_buffer) else {
                break;
            };
            match output {
                Output::Transmit { socket, to, bytes } => {
                    if !self.batch.has_room() {
                        host.flush(&mut self.batch);
                    }
                    if peer.pays_for(bytes) && bytes.len() <= MAX_DATAGRAM {
                        self.batch.space()[..bytes.len()].copy_from_slice(bytes);
                        let class = TrafficClass::Control;
                        self.batch.commit(socket, to, bytes.len(), class, None);
                    }
                }
                Output::AddressValidated(address) => peer.addresses.push(address),
                Output::AddressExpired(address) => {
                    peer.addresses.retain(|known| *known != address);
                    self.disclaim(key, address, host);
                }
                Output::SelectedPair {
                    socket,
                    to,
                    is_proven,
                } => {
                    let moves = peer.path.is_some();
                    peer.move_to(now, socket, to, is_proven);
                    if moves {
                        self.want_key_frames_of(now, key);
                    }
                }
                Output::PairProven => peer.trust_path(),
                Output::UfragRetired(ufrag) => {
                    peer.ufrags.retain(|known| *known != ufrag);
                    self.ufrags.remove(&ufrag);
                }
                Output::Keys {
                    profile,
                    keying_material,
                    we_are_client,
                } => {
                    self.set_keys(key, profile, &keying_material, we_are_client);
                    if we_are_client {
                        self.start_channels(key, DtlsRole::Client);
                    }
                }
                Output::State(state) => {
                    peer.state = state;
                    host.event(Event::TransportState(peer.id, state));
                    match state {
                        TransportState::Connected => self.start_subscriptions(now, key, host),
                        TransportState::Closed(reason) => {
                            self.counters.closed[reason as usize] += 1;
                            if let Some(explanation) = reason.explanation() {
                                log::info!("a client cannot connect: {explanation}");
                            }
                            closed = true;
                        }
                        _ => {}
                    }
                }
                Output::ApplicationData(data) => packets.push(data.to_vec()),
            }
        }
        closed
    }

    /// The transport timer: ICE, DTLS and SCTP.
    pub(super) fn transport_timer(&mut self, now: Instant, key: usize, host: &mut dyn Host) {
        self.peers[key].transport.handle_timeout(now);
        if let Some(channels) = &mut self.peers[key].channels {
            channels.handle_timeout(now);
        }
        self.drive_transport(now, key, host);
    }

    pub(super) fn schedule_transport(&mut self, key: usize) {
        let Some(peer) = self.peers.get_mut(key) else {
            return;
        };
        let transport = peer.transport.poll_timeout().map(|(at, _reason)| at);
        let sctp = peer.sctp_timeout();
        if let Some(at) = transport.into_iter().chain(sctp).min() {
            self.timers
                .schedule(&mut peer.transport_due, at, Timer::Transport(key));
        }
    }

    fn set_keys(
        &mut self,
        key: usize,
        profile: SrtpProfile,
        keying_material: &KeyingMaterial,
        we_are_client: bool,
    ) {
        let peer = &mut self.peers[key];
        let contexts = Profile::from_dimpl(profile)
            .map(|profile| srtp::contexts(profile, keying_material, we_are_client));
        match contexts {
            Some(Ok((outbound, inbound))) => peer.set_keys(outbound, inbound),
            Some(Err(error)) => log::error!("keys of {:?} are unusable: {error}", peer.id),
            None => log::error!("{:?} agreed on an SRTP profile unknown here", peer.id),
        }
    }
}
