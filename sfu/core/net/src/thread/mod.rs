//! One media thread: waits for datagrams, packets and messages of other shards, commands and
//! timers, and drives its shard through one turn for each wake-up.
//!
//! It waits with ppoll: the handful of descriptors a thread has cost less there than keeping an
//! epoll set would, and its timeout has nanoseconds on every kernel. Work per turn is bounded:
//! 64 datagrams a socket, 256 packets a ring, 256 messages.

mod host;
mod streams;

use std::collections::VecDeque;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use kinguicall_proto::egress::SocketIndex;
use kinguicall_proto::shard::Shard;

use self::host::ThreadHost;
use crate::batch_io::{RECEIVE_DATAGRAMS, ReceiveBatch, SendBatch};
use crate::events::Events;
use crate::inbox::{Inbox, Message};
use crate::ring::{Consumer, Producer};
use crate::stats::{IoCounters, Latency, ThreadStats, kernel_drops, thread_cpu};
use crate::steering::{Arrival, Steering};
use crate::tcp::{Connections, READ_BYTES, WebConnections};

const MEDIA_PER_TURN: usize = 256;
const MESSAGES_PER_TURN: usize = 256;
/// Datagrams of a batch, for allocating ahead; a larger batch still goes out.
const BATCH_DATAGRAMS: usize = 512;
/// How old the totals of the statistics may be while there is something to do.
const STATS_PERIOD: Duration = Duration::from_millis(100);
/// And when nothing wakes the thread but this: media does so more often.
const LAST_STATS_PERIOD: Duration = Duration::from_millis(250);
/// And what they say of each track and transport: about as often as receivers report.
const DETAILS_PERIOD: Duration = Duration::from_millis(1_000);

/// What the threads of an engine share.
pub(crate) struct Shared {
    pub stop: AtomicBool,
    pub events: Arc<Events>,
    pub web: WebConnections,
    /// By shard.
    pub inboxes: Vec<Inbox>,
    /// By shard.
    pub stats: Vec<Mutex<ThreadStats>>,
    /// How often TCP connections had to wait, as the system was out of descriptors or memory.
    pub accept_failures: AtomicU64,
}

impl Shared {
    /// Asks every thread to end.
    pub(crate) fn stop_all(&self) {
        self.stop.store(true, Ordering::SeqCst);
        for inbox in &self.inboxes {
            inbox.waker().wake();
        }
    }
}

/// What one thread is made of. Moved into the thread.
pub(crate) struct Seed {
    pub shard: Shard,
    pub sockets: Vec<UdpSocket>,
    /// Towards the other shards, by shard; `None` for itself.
    pub outgoing: Vec<Option<Producer>>,
    /// From the other shards.
    pub incoming: Vec<Consumer>,
    /// Mark audio and video (DSCP).
    pub marks: bool,
    /// In an engine that takes TCP connections.
    pub connections: Option<Connections>,
    /// In an engine whose threads share a port.
    pub steering: Option<Steering>,
    pub shared: Arc<Shared>,
}

/// Runs a shard until the engine stops.
pub(crate) fn run(seed: Seed) {
    Worker::new(seed).run();
}

/// What one turn has found in the sockets, or in the rings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Taken {
    Nothing,
    Some,
    /// As much as one turn takes: there may be more.
    Full,
}

/// Takes a turn's share from each ring.
fn take_rings<M: Copy>(rings: &mut [Consumer<M>], mut handle: impl FnMut(&M, &mut [u8])) -> Taken {
    let mut taken = Taken::Nothing;
    for ring in rings {
        let mut left = MEDIA_PER_TURN;
        while left > 0 && ring.pop(&mut handle) {
            left -= 1;
        }
        taken = taken.max(match left {
            MEDIA_PER_TURN => Taken::Nothing,
            0 => Taken::Full,
            _ => Taken::Some,
        });
    }
    taken
}

struct Worker {
    shard: Shard,
    host: ThreadHost,
    receive: ReceiveBatch,
    incoming: Vec<Consumer>,
    /// Taken from the inbox, not handled yet.
    messages: VecDeque<Message>,
    /// The sockets, the connections if there may be any, and last the inbox.
    poll: Vec<libc::pollfd>,
    /// What one connection has sent.
    read_buffer: Box<[u8]>,
    readable: Vec<usize>,
    stats_at: Instant,
    details_at: Option<Instant>,
    /// Something has happened since `stats_at`.
    stats_stale: bool,
    /// Since when the thread has not emptied its sockets and rings.
    behind_since: Option<Instant>,
    kernel_drops: Vec<u32>,
}

impl Worker {
    fn new(seed: Seed) -> Self {
        let id = seed.shard.id();
        let inbox = seed.shared.inboxes[usize::from(id.0)].as_raw_fd();
        let fds = seed.sockets.iter().map(AsRawFd::as_raw_fd);
        let connections = seed.connections.as_ref().map(Connections::as_raw_fd);
        let read_bytes = connections.map_or(0, |_| READ_BYTES);
        let poll = fds
            .chain(connections)
            .chain([inbox])
            .map(|fd| libc::pollfd {
                fd,
                events: libc::POLLIN,
                revents: 0,
            })
            .collect();
        Self {
            shard: seed.shard,
            receive: ReceiveBatch::new(),
            incoming: seed.incoming,
            messages: VecDeque::new(),
            poll,
            read_buffer: vec![0; read_bytes].into_boxed_slice(),
            readable: Vec::new(),
            stats_at: Instant::now(),
            details_at: None,
            stats_stale: true,
            behind_since: None,
            kernel_drops: vec![0; seed.sockets.len()],
            host: ThreadHost {
                id,
                send: SendBatch::new(seed.sockets.len(), BATCH_DATAGRAMS).with_marks(seed.marks),
                sockets: seed.sockets,
                connections: seed.connections,
                steering: seed.steering,
                to_wake: vec![false; seed.outgoing.len()],
                outgoing: seed.outgoing,
                shared: seed.shared,
                counters: IoCounters::default(),
                latency: Latency::default(),
            },
        }
    }

    fn run(&mut self) {
        let sockets = self.host.sockets.len();
        log::debug!(
            "media thread {} runs with {sockets} sockets",
            self.host.id.0
        );
        while !self.host.shared.stop.load(Ordering::SeqCst) {
            self.sleep();
            self.turn();
        }
        self.publish_stats(Instant::now());
    }

    fn inbox(&self) -> &Inbox {
        &self.host.shared.inboxes[usize::from(self.host.id.0)]
    }

    /// Waits until there may be something to do.
    fn sleep(&mut self) {
        self.inbox().waker().announce_sleep();
        let timeout = if self.has_work() {
            Some(Duration::ZERO)
        } else {
            self.next_deadline()
                .map(|at| at.saturating_duration_since(Instant::now()))
        };
        let timeout = timeout.map(|t| libc::timespec {
            tv_sec: t.as_secs() as libc::time_t,
            tv_nsec: t.subsec_nanos() as libc::c_long,
        });
        let timeout = timeout.as_ref().map_or(ptr::null(), ptr::from_ref);
        let fds = self.poll.len() as libc::nfds_t;
        // SAFETY: `poll` holds `fds` entries whose descriptors are open; `timeout` is null or valid.
        let ready = unsafe { libc::ppoll(self.poll.as_mut_ptr(), fds, timeout, ptr::null()) };
        if ready <= 0 {
            // Timed out or interrupted: the kernel need not have reset the results.
            for entry in &mut self.poll {
                entry.revents = 0;
            }
        }
        let signalled = self.poll.last().is_some_and(|entry| entry.revents != 0);
        self.inbox().waker().awake(signalled);
    }

    /// Whether something waits that no descriptor tells of once it has been announced.
    fn has_work(&self) -> bool {
        !self.messages.is_empty()
            || self.host.shared.stop.load(Ordering::SeqCst)
            || !self.inbox().is_empty()
            || self.incoming.iter().any(|ring| !ring.is_empty())
            || self.host.has_been_handed_some()
    }

    fn next_deadline(&self) -> Option<Instant> {
        let stats = self.stats_stale.then(|| self.stats_at + LAST_STATS_PERIOD);
        let connections = self.host.connections.as_ref();
        let connections = connections.and_then(Connections::poll_timeout);
        let deadlines = [self.shard.poll_timeout(), stats, connections];
        deadlines.into_iter().flatten().min()
    }

    fn turn(&mut self) {
        let mut now = Instant::now();
        let busy_before = self.host.counters.sent.datagrams;
        let mut busy = self.take_messages(now);
        let datagrams = self.take_datagrams(&mut now);
        let datagrams = datagrams.max(self.take_handed_over(now));
        let frames = self.take_frames(now);
        let media = self.take_media(now);
        busy |= frames || datagrams.max(media) != Taken::Nothing;
        self.report_lag(now, datagrams.max(media) == Taken::Full);
        if self.shard.poll_timeout().is_some_and(|at| at <= now) {
            self.shard.handle_timeout(now, &mut self.host);
        }
        self.shard.end_turn(now, &mut self.host);
        self.close_connections(now);
        self.host.wake_others();
        self.stats_stale |= busy || busy_before != self.host.counters.sent.datagrams;
        if self.stats_stale && now.saturating_duration_since(self.stats_at) >= STATS_PERIOD {
            self.publish_stats(now);
        }
    }

    fn take_messages(&mut self, now: Instant) -> bool {
        if self.messages.len() < MESSAGES_PER_TURN {
            let inbox = &self.host.shared.inboxes[usize::from(self.host.id.0)];
            inbox.take(&mut self.messages);
        }
        let count = self.messages.len().min(MESSAGES_PER_TURN);
        for message in self.messages.drain(..count) {
            match message {
                Message::Command(command) => {
                    self.shard.handle_command(now, command, &mut self.host);
                }
                Message::Peer(message) => self.shard.handle_peer(now, message, &mut self.host),
                Message::Connection(accepted) => {
                    if let Some(connections) = &mut self.host.connections {
                        connections.add(now, accepted);
                    }
                }
            }
        }
        count > 0
    }

    /// Tells the shard whether it keeps up. `more` is left in a socket or ring after this turn.
    fn report_lag(&mut self, now: Instant, more: bool) {
        self.behind_since = more.then(|| self.behind_since.unwrap_or(now));
        let behind = self
            .behind_since
            .map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        self.shard.handle_lag(now, behind, &mut self.host);
    }

    fn take_datagrams(&mut self, now: &mut Instant) -> Taken {
        let mut taken = Taken::Nothing;
        for index in 0..self.host.sockets.len() {
            if self.poll[index].revents == 0 {
                continue;
            }
            match self.receive.receive(&self.host.sockets[index]) {
                Ok(0) => continue,
                Ok(RECEIVE_DATAGRAMS..) => taken = Taken::Full,
                Ok(_) => taken = taken.max(Taken::Some),
                // An ICMP error about an earlier datagram: the next call goes on.
                Err(error) => {
                    log::debug!("receiving failed: {error}");
                    continue;
                }
            }
            *now = Instant::now();
            let (shard, host) = (&mut self.shard, &mut self.host);
            let socket = SocketIndex(index as u16);
            let unusable = self.receive.for_each(|from: SocketAddr, datagram| {
                if host.hand_over(shard, Arrival { socket, from }, datagram) {
                    return;
                }
                shard.handle_datagram(*now, socket, from, datagram, host);
            });
            self.host.counters.receive_unusable += unusable as u64;
        }
        taken
    }

    /// Datagrams that came in at other threads.
    fn take_handed_over(&mut self, now: Instant) -> Taken {
        // The rings are moved out, as what is in them may touch everything else of the host.
        let rings = self.host.steering.as_mut().map(|it| &mut it.incoming);
        let Some(mut rings) = rings.map(std::mem::take) else {
            return Taken::Nothing;
        };
        let (shard, host) = (&mut self.shard, &mut self.host);
        let taken = take_rings(&mut rings, |arrival: &Arrival, datagram| {
            shard.handle_datagram(now, arrival.socket, arrival.from, datagram, host);
        });
        if let Some(steering) = &mut self.host.steering {
            steering.incoming = rings;
        }
        taken
    }

    fn take_media(&mut self, now: Instant) -> Taken {
        let (shard, host) = (&mut self.shard, &mut self.host);
        take_rings(&mut self.incoming, |meta, payload| {
            shard.handle_media(now, meta, payload, host);
        })
    }

    fn publish_stats(&mut self, now: Instant) {
        for (socket, seen) in self.host.sockets.iter().zip(&mut self.kernel_drops) {
            if let Ok(drops) = kernel_drops(socket) {
                self.host.counters.receive_buffer_full += u64::from(drops.wrapping_sub(*seen));
                *seen = drops;
            }
        }
        let (cpu_user_us, cpu_system_us) = thread_cpu();
        if let Some(connections) = &self.host.connections {
            self.host.counters.connection_queue_full = connections.queue_full;
        }
        let since = |at: Instant| now.saturating_duration_since(at);
        let details_due = self.details_at.is_none_or(|at| since(at) >= DETAILS_PERIOD);
        let details = details_due.then(|| self.shard.stats());
        let place = &self.host.shared.stats[usize::from(self.host.id.0)];
        let mut stats = place.lock().unwrap_or_else(PoisonError::into_inner);
        match details {
            Some(shard) => {
                stats.shard = shard;
                self.details_at = Some(now);
            }
            None => self.shard.update_totals(&mut stats.shard),
        }
        stats.io = self.host.counters;
        stats.latency = self.host.latency;
        (stats.cpu_user_us, stats.cpu_system_us) = (cpu_user_us, cpu_system_us);
        drop(stats);
        self.stats_at = now;
        // The details have still to follow.
        self.stats_stale = !details_due;
    }
}
