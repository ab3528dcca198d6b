//! TCP connections of one media thread: frames in, frames out, and who may stay.
//!
//! Policy for a reader that is slow: see `SendQueue`. A connection that has not passed a check in
//! time or within its first messages is closed, and one whose peer has gone as well. Of those that
//! have not passed yet, one too many takes the place of the oldest.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use kinguicall_proto::egress::{Batch, SocketIndex};
use kinguicall_proto::transport::connection::{FRAME_HEADER, MAX_MESSAGE, Queued, SendQueue};
use slab::Slab;

use super::{Accepted, options};
use crate::batch_io::SendCounts;

/// Connections of one thread that have not passed a check.
const MAX_UNPROVEN: usize = 256;
/// Messages that a connection may send before one of them has passed as a check.
const UNPROVEN_MESSAGES: u8 = 8;
/// Connections looked at per turn.
const EVENTS_PER_TURN: usize = 64;
/// How often connections whose peer has gone are looked for.
const SWEEP_PERIOD: Duration = Duration::from_secs(5);
/// Bytes read from one connection per turn.
pub(crate) const READ_BYTES: usize = 64 * 1_024;
/// Unsent bytes that the kernel may hold: what waits beyond that, waits here and by our policy.
const KERNEL_UNSENT_BYTES: i32 = 32 * 1_024;
/// While a batch is queued, what waits is written whenever it has this size.
const WRITE_FROM: usize = 32 * 1_024;
/// DSCP of all that a connection carries: order within it would suffer from several.
const ASSURED_FORWARDING_41: i32 = 34 << 2;

struct Connection {
    stream: TcpStream,
    from: SocketAddr,
    /// Tells it from earlier ones with its number.
    serial: u64,
    /// Messages left to pass a check with; `None` once one has passed.
    unproven: Option<u8>,
    /// The beginning of a message that has not arrived whole.
    partial: Vec<u8>,
    queue: SendQueue,
    /// The kernel takes no more for now.
    is_blocked: bool,
    /// Will be closed at the end of the turn.
    has_failed: bool,
}

struct Unproven {
    number: usize,
    serial: u64,
    deadline: Instant,
}

/// What reading from a connection has brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// So many bytes are in the buffer, the kept beginning of a message included.
    Bytes(usize),
    Nothing,
    Ended,
}

/// The connections of a thread. A thread of an engine without TCP has none of this.
pub(crate) struct Connections {
    epoll: OwnedFd,
    open: Slab<Connection>,
    /// In the order of their deadlines.
    unproven: VecDeque<Unproven>,
    next_serial: u64,
    failed: Vec<usize>,
    touched: Vec<usize>,
    sweep_at: Option<Instant>,
    marks: bool,
    /// Media packets that slow readers did not get.
    pub queue_full: u64,
}

impl Connections {
    pub(crate) fn new(marks: bool) -> io::Result<Self> {
        // SAFETY: no pointers are passed.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self {
            // SAFETY: `fd` is a new descriptor that nobody else owns.
            epoll: unsafe { OwnedFd::from_raw_fd(fd) },
            open: Slab::new(),
            unproven: VecDeque::new(),
            next_serial: 0,
            failed: Vec::new(),
            touched: Vec::new(),
            sweep_at: None,
            marks,
            queue_full: 0,
        })
    }

    /// Readable while a connection wants to be looked at.
    pub(crate) fn as_raw_fd(&self) -> RawFd {
        self.epoll.as_raw_fd()
    }

    /// Takes a connection that has to prove itself.
    pub(crate) fn add(&mut self, now: Instant, accepted: Accepted) {
        let Accepted {
            stream,
            from,
            deadline,
        } = accepted;
        if self.open.len() >= SocketIndex::MAX_CONNECTIONS || deadline <= now {
            return;
        }
        if self.unproven.len() >= MAX_UNPROVEN
            && let Some(oldest) = self.unproven.pop_front()
        {
            self.fail_unproven(&oldest);
        }
        let prepared = stream
            .set_nodelay(true)
            .and_then(|()| {
                let (level, option) = (libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT);
                options::set(&stream, level, option, KERNEL_UNSENT_BYTES)
            })
            .and_then(|()| self.mark(&stream, from));
        if let Err(error) = prepared {
            log::debug!("a connection cannot be used: {error}");
            return;
        }
        let serial = self.next_serial;
        self.next_serial += 1;
        let fd = stream.as_raw_fd();
        let number = self.open.insert(Connection {
            stream,
            from,
            serial,
            unproven: Some(UNPROVEN_MESSAGES),
            partial: Vec::new(),
            queue: SendQueue::default(),
            is_blocked: false,
            has_failed: false,
        });
        self.unproven.push_back(Unproven {
            number,
            serial,
            deadline,
        });
        if self.watch(libc::EPOLL_CTL_ADD, fd, number, false).is_err() {
            self.fail(number);
        }
        self.sweep_at.get_or_insert(now + SWEEP_PERIOD);
    }

    fn mark(&self, stream: &TcpStream, from: SocketAddr) -> io::Result<()> {
        if !self.marks {
            return Ok(());
        }
        let (level, option) = match from {
            SocketAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_TOS),
            SocketAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_TCLASS),
        };
        options::set(stream, level, option, ASSURED_FORWARDING_41)
    }

    fn watch(&self, operation: i32, fd: RawFd, number: usize, blocked: bool) -> io::Result<()> {
        let writable = if blocked { libc::EPOLLOUT } else { 0 };
        let mut event = libc::epoll_event {
            events: (libc::EPOLLIN | libc::EPOLLRDHUP | writable) as u32,
            u64: number as u64,
        };
        // SAFETY: both descriptors are open, and `event` is valid for the call.
        let result =
            unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), operation, fd, &raw mut event) };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    /// Writes to connections that take more again; puts the numbers of those with something to
    /// read into `readable`.
    pub(crate) fn poll(&mut self, readable: &mut Vec<usize>) {
        readable.clear();
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; EVENTS_PER_TURN];
        // SAFETY: `events` has room for as many entries as said.
        let count = unsafe {
            let capacity = EVENTS_PER_TURN as libc::c_int;
            libc::epoll_wait(self.epoll.as_raw_fd(), events.as_mut_ptr(), capacity, 0)
        };
        for event in &events[..usize::try_from(count).unwrap_or(0)] {
            let (flags, number) = (event.events as i32, event.u64 as usize);
            if flags & libc::EPOLLOUT != 0 {
                self.write(number);
            }
            if flags & !libc::EPOLLOUT != 0 {
                readable.push(number);
            }
        }
    }

    /// Reads into `buffer`, behind the kept beginning of a message.
    pub(crate) fn read(&mut self, number: usize, buffer: &mut [u8]) -> Reading {
        let Some(connection) = self.open.get_mut(number) else {
            return Reading::Nothing;
        };
        let kept = connection.partial.len();
        buffer[..kept].copy_from_slice(&connection.partial);
        match connection.stream.read(&mut buffer[kept..]) {
            Ok(0) => Reading::Ended,
            Ok(count) => {
                connection.partial.clear();
                Reading::Bytes(kept + count)
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Reading::Nothing,
                _ => Reading::Ended,
            },
        }
    }

    /// Keeps the beginning of a message, which is shorter than the longest one.
    pub(crate) fn keep(&mut self, number: usize, beginning: &[u8]) {
        debug_assert!(beginning.len() < FRAME_HEADER + MAX_MESSAGE);
        if let Some(connection) = self.open.get_mut(number) {
            connection.partial.extend_from_slice(beginning);
        }
    }

    /// A connection's index for the shard and its peer's address, unless it is about to close.
    pub(crate) fn source(&self, number: usize) -> Option<(SocketIndex, SocketAddr)> {
        let connection = self.open.get(number).filter(|it| !it.has_failed)?;
        Some((SocketIndex::connection(number)?, connection.from))
    }

    /// Counts a message of a connection whose address the shard has validated, or not.
    pub(crate) fn judge(&mut self, number: usize, is_validated: bool) {
        let Some(connection) = self.open.get_mut(number) else {
            return;
        };
        match connection.unproven {
            None => {}
            Some(_) if is_validated => connection.unproven = None,
            Some(left) if left > 1 => connection.unproven = Some(left - 1),
            Some(_) => self.fail(number),
        }
    }

    /// Sends the datagrams of `batch` that leave by connections.
    pub(crate) fn send(&mut self, batch: &Batch, counts: &mut SendCounts) {
        for datagram in batch.datagrams() {
            let Some(number) = datagram.socket.connection_number() else {
                continue;
            };
            let place = self.open.get_mut(number);
            let Some(connection) = place.filter(|it| it.from == datagram.to && !it.has_failed)
            else {
                counts.refused += 1;
                continue;
            };
            match connection
                .queue
                .push(datagram.class, batch.bytes_of(datagram))
            {
                Queued::Waits => {
                    counts.datagrams += 1;
                    counts.bytes += u64::from(datagram.len);
                    let waits = connection.queue.waiting().len();
                    if self.touched.last() != Some(&number) {
                        self.touched.push(number);
                    }
                    if waits >= WRITE_FROM {
                        self.write(number);
                    }
                }
                Queued::Dropped => self.queue_full += 1,
                Queued::Full => self.fail(number),
            }
        }
        let mut touched = std::mem::take(&mut self.touched);
        for number in touched.drain(..) {
            self.write(number);
        }
        self.touched = touched;
    }

    /// Writes what waits, as far as the kernel takes it.
    fn write(&mut self, number: usize) {
        let Some(connection) = self.open.get_mut(number) else {
            return;
        };
        let was_blocked = connection.is_blocked;
        connection.is_blocked = false;
        while !connection.queue.waiting().is_empty() {
            match options::write(&connection.stream, connection.queue.waiting()) {
                Ok(count) => connection.queue.written(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    connection.is_blocked = true;
                    break;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return self.fail(number),
            }
        }
        let (fd, is_blocked) = (connection.stream.as_raw_fd(), connection.is_blocked);
        if is_blocked != was_blocked
            && self
                .watch(libc::EPOLL_CTL_MOD, fd, number, is_blocked)
                .is_err()
        {
            self.fail(number);
        }
    }

    /// Closes a connection at the end of the turn.
    pub(crate) fn fail(&mut self, number: usize) {
        if let Some(connection) = self.open.get_mut(number)
            && !connection.has_failed
        {
            connection.has_failed = true;
            self.failed.push(number);
        }
    }

    /// Closes one of those that have failed; returns what it was to the shard.
    pub(crate) fn close_failed(&mut self) -> Option<(SocketIndex, SocketAddr)> {
        let number = self.failed.pop()?;
        let gone = self.open.try_remove(number)?;
        Some((SocketIndex::connection(number)?, gone.from))
    }

    /// Fails connections that have not proved themselves in time, and now and then those whose
    /// peer has gone.
    pub(crate) fn handle_timeout(
        &mut self,
        now: Instant,
        is_validated: impl Fn(SocketIndex, SocketAddr) -> bool,
    ) {
        while self.unproven.front().is_some_and(|it| it.deadline <= now) {
            if let Some(late) = self.unproven.pop_front() {
                self.fail_unproven(&late);
            }
        }
        if self.sweep_at.is_none_or(|at| at > now) {
            return;
        }
        let abandoned = |(number, one): (usize, &Connection)| {
            let socket = SocketIndex::connection(number)?;
            (one.unproven.is_none() && !is_validated(socket, one.from)).then_some(number)
        };
        let abandoned: Vec<usize> = self.open.iter().filter_map(abandoned).collect();
        for number in abandoned {
            self.fail(number);
        }
        self.sweep_at = (!self.open.is_empty()).then(|| now + SWEEP_PERIOD);
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let proof = self.unproven.front().map(|it| it.deadline);
        proof.into_iter().chain(self.sweep_at).min()
    }

    fn fail_unproven(&mut self, late: &Unproven) {
        let connection = self.open.get(late.number);
        if connection.is_some_and(|it| it.serial == late.serial && it.unproven.is_some()) {
            self.fail(late.number);
        }
    }
}

#[cfg(test)]
mod tests;
