//! The thread that accepts TCP connections and finds out whose they are.
//!
//! Policy at the bounds: a connection too many, from one network or in total, takes the place of
//! the oldest that has not said yet what it is. Honest ones have done so within a round trip.

use std::io;
use std::net::{IpAddr, TcpListener};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use kinguicall_proto::transport::connection::{FirstBytes, MAX_MESSAGE, judge_first_bytes};

use super::{Accepted, PROOF_TIMEOUT, options};
use crate::thread::Shared;
use crate::wake::EventFd;

/// Connections that have not said yet what they are.
const MAX_PENDING: usize = 512;
/// Of those from one address, or from one /64 of IPv6. A whole school may share an address.
const MAX_PENDING_OF_NETWORK: usize = 64;
/// Connections accepted from one listener per turn.
const ACCEPTS_PER_TURN: usize = 64;
/// Pause after the kernel could not give a descriptor, as it would say so again at once.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);
/// Between two lines in the log about that: it can go on for hours.
const EXHAUSTED_LOG_INTERVAL: Duration = Duration::from_secs(60);

/// What may come in by a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    Ice,
    /// ICE, and HTTP with or without TLS, which is for policy.
    IceAndWeb,
}

struct Pending {
    accepted: Accepted,
    route: Route,
}

/// What the first bytes of a connection have decided.
enum Decision {
    Wait,
    Close,
    HandOver(FirstBytes),
}

/// The accepting thread's state. Moved into the thread.
pub(crate) struct Acceptor {
    listeners: Vec<(TcpListener, Route)>,
    /// Oldest first.
    pending: Vec<Pending>,
    /// The engine's wake-up, the listeners, the pending connections.
    poll: Vec<libc::pollfd>,
    paused_until: Option<Instant>,
    exhausted_logged_at: Option<Instant>,
    stop: Arc<EventFd>,
    shared: Arc<Shared>,
}

impl Acceptor {
    /// `stop` becomes readable when the thread has to end.
    pub(crate) fn new(
        listeners: Vec<(TcpListener, Route)>,
        stop: Arc<EventFd>,
        shared: Arc<Shared>,
    ) -> Self {
        Self {
            listeners,
            pending: Vec::with_capacity(MAX_PENDING),
            poll: Vec::new(),
            paused_until: None,
            exhausted_logged_at: None,
            stop,
            shared,
        }
    }

    /// Accepts until the engine stops.
    pub(crate) fn run(mut self) {
        while !self.shared.stop.load(Ordering::SeqCst) {
            self.wait();
            let now = Instant::now();
            self.look_at_pending(now);
            self.accept(now);
            self.pending.retain(|one| one.accepted.deadline > now);
        }
    }

    fn wait(&mut self) {
        let now = Instant::now();
        if self.paused_until.is_some_and(|until| until <= now) {
            self.paused_until = None;
        }
        let listeners = self.listeners.iter().map(|(it, _)| it.as_raw_fd());
        let pending = self.pending.iter().map(|it| it.accepted.stream.as_raw_fd());
        self.poll.clear();
        self.poll
            .extend([self.stop.as_raw_fd()].into_iter().map(readable));
        // A negative descriptor is skipped.
        let paused = self.paused_until.is_some();
        self.poll
            .extend(listeners.map(|fd| readable(if paused { -1 } else { fd })));
        self.poll.extend(pending.map(readable));
        let next = self.pending.first().map(|it| it.accepted.deadline);
        let timeout = next.into_iter().chain(self.paused_until).min();
        let timeout = timeout.map_or(-1, |at| {
            let millis = at.saturating_duration_since(now).as_millis();
            libc::c_int::try_from(millis).unwrap_or(libc::c_int::MAX - 1) + 1
        });
        // SAFETY: `poll` holds as many entries as said, whose descriptors are open or negative.
        let ready = unsafe {
            libc::poll(
                self.poll.as_mut_ptr(),
                self.poll.len() as libc::nfds_t,
                timeout,
            )
        };
        if ready <= 0 {
            self.poll.iter_mut().for_each(|entry| entry.revents = 0);
        }
    }

    fn look_at_pending(&mut self, now: Instant) {
        let first = 1 + self.listeners.len();
        let ready: Vec<bool> = self.poll[first..]
            .iter()
            .map(|it| it.revents != 0)
            .collect();
        let mut index = 0;
        for is_ready in ready {
            let decision = match self.pending.get(index) {
                Some(one) if is_ready && one.accepted.deadline > now => decide(one),
                _ => Decision::Wait,
            };
            match decision {
                Decision::Wait => index += 1,
                Decision::Close => drop(self.pending.remove(index)),
                Decision::HandOver(what) => {
                    let one = self.pending.remove(index);
                    self.hand_over(one, what);
                }
            }
        }
    }

    fn hand_over(&self, one: Pending, what: FirstBytes) {
        match what {
            FirstBytes::Check(shard) => {
                if let Some(inbox) = self.shared.inboxes.get(usize::from(shard.0)) {
                    inbox.push_connection(one.accepted);
                }
            }
            FirstBytes::Web if one.route == Route::IceAndWeb => {
                self.shared.web.push(one.accepted.stream);
                self.shared.events.signal();
            }
            FirstBytes::Web | FirstBytes::Need(_) | FirstBytes::Unknown => {}
        }
    }

    fn accept(&mut self, now: Instant) {
        for index in 0..self.listeners.len() {
            if self.poll[1 + index].revents == 0 {
                continue;
            }
            for _ in 0..ACCEPTS_PER_TURN {
                let (listener, route) = &self.listeners[index];
                match listener.accept() {
                    Ok((stream, from)) => {
                        let accepted = Accepted {
                            stream,
                            from,
                            deadline: now + PROOF_TIMEOUT,
                        };
                        if accepted.stream.set_nonblocking(true).is_ok() {
                            let route = *route;
                            self.add(Pending { accepted, route });
                        }
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) if is_exhausted(&error) => {
                        self.pause(now, &error);
                        break;
                    }
                    // The connection has ended before it was accepted.
                    Err(_) => {}
                }
            }
        }
    }

    /// The system has run out of something: others wait in the kernel meanwhile.
    fn pause(&mut self, now: Instant, error: &io::Error) {
        self.paused_until = Some(now + EXHAUSTED_PAUSE);
        let failures = self.shared.accept_failures.fetch_add(1, Ordering::Relaxed) + 1;
        let lately = |at| now.saturating_duration_since(at) < EXHAUSTED_LOG_INTERVAL;
        if !self.exhausted_logged_at.is_some_and(lately) {
            self.exhausted_logged_at = Some(now);
            log::warn!("no TCP connection can be accepted ({failures} times so far): {error}");
        }
    }

    fn add(&mut self, one: Pending) {
        let network = network_of(one.accepted.from.ip());
        let is_neighbour = |it: &&Pending| network_of(it.accepted.from.ip()) == network;
        if self.pending.iter().filter(is_neighbour).count() >= MAX_PENDING_OF_NETWORK {
            if let Some(oldest) = self.pending.iter().position(|it| is_neighbour(&it)) {
                self.pending.remove(oldest);
            }
        } else if self.pending.len() >= MAX_PENDING {
            self.pending.remove(0);
        }
        self.pending.push(one);
    }
}

/// Looks at what has arrived. If that is too little, asks the kernel to tell when there is enough,
/// so that a sender of single bytes does not wake this thread for each.
fn decide(one: &Pending) -> Decision {
    let stream = &one.accepted.stream;
    let mut buffer = [0; MAX_MESSAGE];
    let count = match options::peek(stream, &mut buffer) {
        Ok(0) => return Decision::Close,
        Ok(count) => count,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Decision::Wait,
        Err(_) => return Decision::Close,
    };
    let low_water = |bytes: usize| {
        let bytes = i32::try_from(bytes).unwrap_or(i32::MAX);
        options::set(stream, libc::SOL_SOCKET, libc::SO_RCVLOWAT, bytes)
    };
    match judge_first_bytes(&buffer[..count]) {
        // Woken with less than was asked for: no more will come.
        FirstBytes::Need(wanted) if count >= wanted => Decision::Close,
        FirstBytes::Need(wanted) => match low_water(wanted) {
            Ok(()) if !has_ended(stream) => Decision::Wait,
            _ => Decision::Close,
        },
        FirstBytes::Unknown => Decision::Close,
        what @ (FirstBytes::Check(_) | FirstBytes::Web) => match low_water(1) {
            Ok(()) => Decision::HandOver(what),
            Err(_) => Decision::Close,
        },
    }
}

/// Whether the peer sends no more.
fn has_ended(stream: &std::net::TcpStream) -> bool {
    let mut entry = libc::pollfd {
        fd: stream.as_raw_fd(),
        events: libc::POLLRDHUP,
        revents: 0,
    };
    // SAFETY: one entry, whose descriptor is open.
    unsafe { libc::poll(&raw mut entry, 1, 0) > 0 }
}

fn is_exhausted(error: &io::Error) -> bool {
    let exhausted = [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM];
    error
        .raw_os_error()
        .is_some_and(|code| exhausted.contains(&code))
}

fn readable(fd: libc::c_int) -> libc::pollfd {
    libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    }
}

/// Whom an address is counted as: somebody with IPv6 has a whole /64.
fn network_of(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6) & !u128::from(u64::MAX),
    }
}
