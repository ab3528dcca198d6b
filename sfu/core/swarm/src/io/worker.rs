//! One thread of a swarm: waits for its peers' sockets, timers and commands.
//!
//! Timers are a heap with one live entry a peer: an entry that is not the peer's latest is passed
//! over when it comes up. Sending is one call a datagram, as a client has few at a time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver as Commands;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use kinguicall_net::thread_cpu;
use slab::Slab;

use super::command::Command;
use super::socket::{PeerSocket, Poller, Receiver};
use crate::clock::NtpClock;
use crate::outbox::Outbox;
use crate::peer::Peer;
use crate::random::Random;
use crate::stats::{Totals, TransportRecord};
use crate::transport::{Identity, Transport, TransportState};

const STATS_PERIOD: Duration = Duration::from_millis(100);
/// Batches taken from one socket before others have their turn.
const MAX_BATCHES: usize = 4;
const MAX_COMMANDS_PER_TURN: usize = 64;
/// Records of closed transports that are kept; further ones count in the totals only.
const MAX_CLOSED: usize = 100_000;
/// The number of the waker in the epoll set; slab keys are smaller.
pub(super) const WAKER: u64 = u64::MAX;

/// What a thread shares with the swarm's owner.
pub(super) struct Shared {
    pub stop: AtomicBool,
    pub totals: Mutex<Totals>,
}

struct Entry {
    peer: Peer,
    socket: PeerSocket,
    /// The heap entry that counts.
    armed: Option<Instant>,
}

pub(super) struct Worker {
    shared: Arc<Shared>,
    commands: Commands<Command>,
    waker: Arc<kinguicall_net::EventFd>,
    poller: Poller,
    peers: Slab<Entry>,
    keys: BTreeMap<u32, usize>,
    timers: BinaryHeap<Reverse<(Instant, usize)>>,
    closed: Vec<TransportRecord>,
    outbox: Outbox,
    totals: Totals,
    clock: NtpClock,
    identity: Arc<Identity>,
    random: Random,
    stats_at: Instant,
}

impl Worker {
    pub(super) fn new(
        shared: Arc<Shared>,
        commands: Commands<Command>,
        waker: Arc<kinguicall_net::EventFd>,
        clock: NtpClock,
        identity: Arc<Identity>,
        seed: u64,
    ) -> std::io::Result<Self> {
        let poller = Poller::new()?;
        poller.add(waker.as_raw_fd(), WAKER)?;
        Ok(Self {
            shared,
            commands,
            waker,
            poller,
            peers: Slab::new(),
            keys: BTreeMap::new(),
            timers: BinaryHeap::new(),
            closed: Vec::new(),
            outbox: Outbox::default(),
            totals: Totals::default(),
            clock,
            identity,
            random: Random::new(seed),
            stats_at: Instant::now(),
        })
    }

    /// Runs until it is told to stop.
    pub(super) fn run(mut self) {
        let mut receiver = Receiver::new();
        while !self.shared.stop.load(Ordering::SeqCst) {
            let now = Instant::now();
            let next = self.timers.peek().map(|Reverse((at, _))| *at);
            let next = next.map_or(self.stats_at + STATS_PERIOD, |at| {
                at.min(self.stats_at + STATS_PERIOD)
            });
            if let Err(error) = self.poller.wait(next.saturating_duration_since(now)) {
                log::error!("a thread of the swarm cannot wait: {error}");
                return;
            }
            self.take_datagrams(&mut receiver);
            self.take_commands();
            let now = Instant::now();
            self.run_timers(now);
            if now >= self.stats_at + STATS_PERIOD {
                self.publish(now);
            }
        }
        let now = Instant::now();
        for key in self.keys.clone().into_values() {
            self.close(now, key);
        }
    }

    fn take_datagrams(&mut self, receiver: &mut Receiver) {
        let now = Instant::now();
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let wall = wall.unwrap_or_default();
        for index in 0.. {
            let Some(number) = self.poller.ready(index) else {
                return;
            };
            if number == WAKER {
                self.waker.clear();
                continue;
            }
            let key = number as usize;
            let Some(entry) = self.peers.get_mut(key) else {
                continue;
            };
            for _ in 0..MAX_BATCHES {
                let more = receiver.receive(&entry.socket);
                receiver.for_each(|arrived| {
                    let age = arrived.wall.and_then(|at| wall.checked_sub(at));
                    let at = age.and_then(|age| now.checked_sub(age)).unwrap_or(now);
                    entry.peer.handle(
                        now,
                        at,
                        arrived.from,
                        arrived.bytes,
                        &mut self.outbox,
                        &mut self.totals,
                    );
                });
                if !more {
                    break;
                }
            }
            self.settle(key);
        }
    }

    /// Sends what a peer has put into the outbox and sets its timer.
    fn settle(&mut self, key: usize) {
        let Some(entry) = self.peers.get_mut(key) else {
            self.outbox.clear();
            return;
        };
        for (to, datagram) in self.outbox.iter() {
            if entry.socket.send_to(datagram, to).is_err() {
                self.totals.counters.send_errors += 1;
            }
        }
        self.outbox.clear();
        let next = entry.peer.poll_timeout();
        if let Some(next) = next
            && entry.armed.is_none_or(|armed| next < armed)
        {
            entry.armed = Some(next);
            self.timers.push(Reverse((next, key)));
        }
    }

    fn run_timers(&mut self, now: Instant) {
        while let Some(&Reverse((at, key))) = self.timers.peek()
            && at <= now
        {
            self.timers.pop();
            let Some(entry) = self.peers.get_mut(key) else {
                continue;
            };
            if entry.armed != Some(at) {
                continue;
            }
            entry.armed = None;
            let (outbox, totals) = (&mut self.outbox, &mut self.totals);
            entry.peer.handle_timeout(now, outbox, totals);
            self.settle(key);
        }
    }

    fn take_commands(&mut self) {
        for _ in 0..MAX_COMMANDS_PER_TURN {
            let Ok(command) = self.commands.try_recv() else {
                return;
            };
            self.obey(command);
        }
        // There may be more, and the waker has been read.
        self.waker.signal();
    }

    fn obey(&mut self, command: Command) {
        let now = Instant::now();
        match command {
            Command::Open {
                id,
                socket,
                local,
                with_data,
            } => {
                let identity = Arc::clone(&self.identity);
                let tie_breaker = self.random.next_u64();
                let transport = Transport::new(now, identity, local, tie_breaker, with_data);
                let random = Random::new(self.random.next_u64());
                let peer = Peer::new(now, id, transport, self.clock, random);
                self.open(id, socket, peer);
            }
            Command::SetRemote {
                id,
                remote,
                candidates,
                controlling,
            } => self.with(id, |peer| {
                let transport = peer.transport();
                transport.set_remote(now, remote, &candidates, controlling);
            }),
            Command::AddCandidate(id, candidate) => {
                self.with(id, |peer| peer.transport().add_candidate(now, candidate));
            }
            Command::SetExtensions {
                id,
                extensions,
                sends_remb,
            } => self.with(id, |peer| peer.set_extensions(&extensions, sends_remb)),
            Command::SetLink(id, link) => self.with(id, |peer| peer.set_link(link)),
            Command::Receive(id, config) => self.with(id, |peer| peer.receive(now, config)),
            Command::StopReceiving(id, stream) => {
                self.with(id, |peer| peer.stop_receiving(now, stream));
            }
            Command::SetWatched(id, stream, watched) => {
                self.with(id, |peer| peer.set_watched(stream, watched));
            }
            Command::Send(id, config) => self.with(id, |peer| peer.send(now, config)),
            Command::StopSending(id, track) => self.with(id, |peer| peer.stop_sending(track)),
            Command::SetEncodingActive {
                id,
                track,
                encoding,
                is_active,
            } => self.with(id, |peer| {
                peer.set_encoding_active(now, track, encoding, is_active);
            }),
            Command::Close(id) => {
                if let Some(&key) = self.keys.get(&id) {
                    self.close(now, key);
                }
            }
            Command::Report(answer) => {
                let live = self.peers.iter().map(|(_, entry)| entry.peer.record(now));
                let records = self.closed.iter().cloned().chain(live).collect();
                // Who asked may have gone.
                let _ = answer.try_send(records);
            }
        }
    }

    fn open(&mut self, id: u32, socket: PeerSocket, peer: Peer) {
        let fd = socket.as_raw_fd();
        let key = self.peers.insert(Entry {
            peer,
            socket,
            armed: None,
        });
        if let Err(error) = self.poller.add(fd, key as u64) {
            log::error!("a peer of the swarm cannot be waited for: {error}");
        }
        self.keys.insert(id, key);
    }

    fn with(&mut self, id: u32, act: impl FnOnce(&mut Peer)) {
        if let Some(&key) = self.keys.get(&id)
            && let Some(entry) = self.peers.get_mut(key)
        {
            act(&mut entry.peer);
            self.settle(key);
        }
    }

    fn close(&mut self, now: Instant, key: usize) {
        let Some(entry) = self.peers.get_mut(key) else {
            return;
        };
        entry.peer.close(now, &mut self.outbox);
        self.settle(key);
        let entry = self.peers.remove(key);
        self.keys.remove(&entry.peer.id());
        self.totals.kernel_drops += u64::from(entry.socket.kernel_drops());
        if self.closed.len() < MAX_CLOSED {
            self.closed.push(entry.peer.record(now));
        }
    }

    fn publish(&mut self, now: Instant) {
        self.stats_at = now;
        let mut totals = self.totals.clone();
        for (_, entry) in &self.peers {
            let place = match entry.peer.state() {
                TransportState::Waiting => 0,
                TransportState::Checking | TransportState::Handshaking => 1,
                TransportState::Connected => 2,
                TransportState::Failed(_) => 3,
            };
            totals.transports[place] += 1;
            totals.receiving += entry.peer.receiving();
            totals.kernel_drops += u64::from(entry.socket.kernel_drops());
        }
        let (user, system) = thread_cpu();
        totals.cpu = Duration::from_micros(user + system);
        let mut shared = self
            .shared
            .totals
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *shared = totals;
    }
}
