//! Many datagrams per system call: recvmmsg into fixed buffers, sendmmsg with UDP GSO out of a
//! shard's batch.
//!
//! Nothing is allocated per packet. Policy when the kernel's send buffer is full: the rest of the
//! batch is dropped and counted, as waiting would delay every other subscriber. A destination that
//! the kernel refuses costs its own datagrams only.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::ops::Range;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Instant;

use kinguicall_proto::egress::{Batch, Datagram, SocketIndex, TrafficClass};

use crate::raw::MessageHeaders;

mod gso;

use gso::GsoLimits;

/// Datagrams taken from one socket per turn.
pub(crate) const RECEIVE_DATAGRAMS: usize = 64;
/// Largest datagram that is looked at: an Ethernet frame and some more.
const RECEIVE_BYTES: usize = 2_048;
/// Most segments the kernel takes in one message (`UDP_MAX_SEGMENTS` of old kernels).
const MAX_SEGMENTS: usize = 64;
/// Below the largest UDP payload of both families.
const MAX_RUN_BYTES: usize = 65_000;
/// Messages of one sendmmsg call.
const SEND_MESSAGES: usize = 128;
/// DSCP marks in the upper six bits of the IP header's byte: audio is sent by expedited forwarding,
/// interactive video as AF41, the rest like anybody's (RFC 8837, table 1, priority "medium").
const EXPEDITED_FORWARDING: u8 = 46 << 2;
const ASSURED_FORWARDING_41: u8 = 34 << 2;

/// Buffers for one recvmmsg call.
pub struct ReceiveBatch {
    bytes: Box<[u8]>,
    headers: MessageHeaders,
    received: usize,
}

impl Default for ReceiveBatch {
    fn default() -> Self {
        Self::new()
    }
}

impl ReceiveBatch {
    pub fn new() -> Self {
        Self {
            bytes: vec![0; RECEIVE_DATAGRAMS * RECEIVE_BYTES].into_boxed_slice(),
            headers: MessageHeaders::new(RECEIVE_DATAGRAMS),
            received: 0,
        }
    }

    /// Takes up to 64 waiting datagrams. Returns how many; 0 when none waits.
    pub fn receive(&mut self, socket: &UdpSocket) -> io::Result<usize> {
        self.received = 0;
        self.received = self
            .headers
            .receive(socket.as_raw_fd(), &mut self.bytes, RECEIVE_BYTES)?;
        Ok(self.received)
    }

    /// Shows what the last call took, in order. Truncated datagrams and those without a usable
    /// source address are left out; returns their number.
    pub fn for_each(&mut self, mut handle: impl FnMut(SocketAddr, &mut [u8])) -> usize {
        let mut unusable = 0;
        let slots = self.bytes.chunks_exact_mut(RECEIVE_BYTES);
        for (index, slot) in slots.enumerate().take(self.received) {
            match self.headers.received(index) {
                Some((from, len)) if len <= slot.len() => handle(from, &mut slot[..len]),
                _ => unusable += 1,
            }
        }
        unusable
    }
}

/// What became of a batch.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct SendCounts {
    pub datagrams: u64,
    pub bytes: u64,
    /// Messages that the datagrams left in: fewer, thanks to GSO.
    pub messages: u64,
    /// Dropped because the kernel's buffer was full.
    pub buffer_full: u64,
    /// Dropped because the kernel refused the destination or the datagram.
    pub refused: u64,
}

impl SendCounts {
    /// Adds another batch's counts.
    pub fn add(&mut self, other: Self) {
        self.datagrams += other.datagrams;
        self.bytes += other.bytes;
        self.messages += other.messages;
        self.buffer_full += other.buffer_full;
        self.refused += other.refused;
    }
}

/// Neighbouring datagrams of a batch that leave as one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    first: usize,
    count: usize,
}

impl Run {
    fn datagrams(self) -> Range<usize> {
        self.first..self.first + self.count
    }
}

/// Buffers for sending a shard's batches.
pub struct SendBatch {
    headers: MessageHeaders,
    runs: Vec<Run>,
    /// Runs of the message headers that are filled.
    filled: Vec<Run>,
    limits: GsoLimits,
    marks: bool,
}

impl SendBatch {
    /// For `sockets` sockets and batches of up to `datagrams` datagrams.
    pub fn new(sockets: usize, datagrams: usize) -> Self {
        Self {
            headers: MessageHeaders::new(SEND_MESSAGES),
            runs: Vec::with_capacity(datagrams),
            filled: Vec::with_capacity(SEND_MESSAGES),
            limits: GsoLimits::new(sockets),
            marks: false,
        }
    }

    /// Marks what is sent for networks that tell audio and video from the rest (DSCP). The mark
    /// goes with each message, so that both can leave by one socket.
    pub fn with_marks(mut self, marks: bool) -> Self {
        self.marks = marks;
        self
    }

    /// Sends every datagram of `batch` by the socket that it names.
    pub fn send(&mut self, now: Instant, sockets: &[UdpSocket], batch: &Batch) -> SendCounts {
        self.limits.expire(now);
        find_runs(batch.datagrams(), &self.limits, &mut self.runs);
        let mut counts = SendCounts::default();
        for (index, socket) in sockets.iter().enumerate() {
            let socket_index = SocketIndex(index as u16);
            self.send_on(now, socket.as_raw_fd(), socket_index, batch, &mut counts);
        }
        counts
    }

    /// Sends the runs that leave by one socket.
    fn send_on(
        &mut self,
        now: Instant,
        fd: RawFd,
        socket: SocketIndex,
        batch: &Batch,
        counts: &mut SendCounts,
    ) {
        let mut next = 0;
        while next < self.runs.len() {
            self.filled.clear();
            while next < self.runs.len() && self.filled.len() < SEND_MESSAGES {
                let run = self.runs[next];
                next += 1;
                let first = &batch.datagrams()[run.first];
                if first.socket == socket {
                    let bytes = run_bytes(batch, run);
                    let segment = (run.count > 1).then_some(first.len);
                    let mark = if self.marks { mark(first.class) } else { 0 };
                    self.headers
                        .fill(self.filled.len(), first.to, bytes, segment, mark);
                    self.filled.push(run);
                }
            }
            if !self.send_filled(now, fd, socket, batch, counts) {
                let rest = &self.runs[next..];
                let rest = rest
                    .iter()
                    .filter(|r| batch.datagrams()[r.first].socket == socket);
                counts.buffer_full += rest.map(|r| r.count as u64).sum::<u64>();
                return;
            }
        }
    }

    /// Sends the filled headers. Returns `false` when the kernel's buffer is full.
    fn send_filled(
        &mut self,
        now: Instant,
        fd: RawFd,
        socket: SocketIndex,
        batch: &Batch,
        counts: &mut SendCounts,
    ) -> bool {
        let mut done = 0;
        while done < self.filled.len() {
            // SAFETY: one header per filled run, and their bytes are in `batch`, still borrowed.
            match unsafe { self.headers.send(fd, done..self.filled.len()) } {
                Ok(sent) => {
                    counts.messages += sent as u64;
                    for run in &self.filled[done..done + sent] {
                        if run.count > 1 {
                            self.limits.run_has_left(socket);
                        }
                        counts.datagrams += run.count as u64;
                        counts.bytes += run_bytes(batch, *run).len() as u64;
                    }
                    done += sent;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_buffer_full(&error) => {
                    let rest = self.filled[done..].iter();
                    counts.buffer_full += rest.map(|r| r.count as u64).sum::<u64>();
                    return false;
                }
                Err(error) => {
                    let run = self.filled[done];
                    if run.count > 1 && may_be_gso(&error) {
                        self.send_apart(now, fd, batch, run, counts);
                    } else {
                        counts.refused += run.count as u64;
                    }
                    done += 1;
                }
            }
        }
        true
    }

    /// Sends a refused run datagram by datagram. If they pass, it was the run that the kernel
    /// would not have, and such runs are avoided on this path for a while.
    fn send_apart(
        &mut self,
        now: Instant,
        fd: RawFd,
        batch: &Batch,
        run: Run,
        counts: &mut SendCounts,
    ) {
        let mut passed = 0;
        for datagram in &batch.datagrams()[run.datagrams()] {
            match crate::raw::send_to(fd, datagram.to, batch.bytes_of(datagram)) {
                Ok(()) => {
                    passed += 1;
                    counts.datagrams += 1;
                    counts.messages += 1;
                    counts.bytes += u64::from(datagram.len);
                }
                Err(error) if is_buffer_full(&error) => counts.buffer_full += 1,
                Err(_) => counts.refused += 1,
            }
        }
        if passed == run.count {
            self.limits.refused(now, &batch.datagrams()[run.first]);
        }
    }
}

fn run_bytes(batch: &Batch, run: Run) -> &[u8] {
    let datagrams = &batch.datagrams()[run.datagrams()];
    let start = datagrams.first().map_or(0, |d| d.start as usize);
    let end = datagrams
        .last()
        .map_or(start, |d| d.start as usize + usize::from(d.len));
    &batch.bytes()[start..end]
}

/// Groups neighbours of one class with the same socket and destination whose lengths are equal, bar a shorter
/// last one (udp(7), UDP_SEGMENT).
fn find_runs(datagrams: &[Datagram], limits: &GsoLimits, runs: &mut Vec<Run>) {
    runs.clear();
    let mut open: Option<(Run, usize, bool)> = None;
    for (index, datagram) in datagrams.iter().enumerate() {
        let len = usize::from(datagram.len);
        if let Some((run, bytes, may_grow)) = &mut open {
            let first = &datagrams[run.first];
            let last = &datagrams[index - 1];
            if datagram.to == first.to
                && datagram.socket == first.socket
                && datagram.class == first.class
                && datagram.len > 0
                && datagram.len <= first.len
                && last.len == first.len
                && run.count < MAX_SEGMENTS
                && *bytes + len <= MAX_RUN_BYTES
                && *may_grow
            {
                run.count += 1;
                *bytes += len;
                continue;
            }
            runs.push(*run);
        }
        let run = Run {
            first: index,
            count: 1,
        };
        let may_grow = datagram.len <= limits.segment_bytes(datagram);
        open = Some((run, len, may_grow));
    }
    runs.extend(open.map(|(run, ..)| run));
}

fn mark(class: TrafficClass) -> u8 {
    match class {
        TrafficClass::Control => 0,
        TrafficClass::Audio => EXPEDITED_FORWARDING,
        TrafficClass::Video => ASSURED_FORWARDING_41,
    }
}

fn is_buffer_full(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM)
    )
}

/// Errors with which kernels refuse segmentation: no checksum offload, too large for the route.
fn may_be_gso(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EIO | libc::EINVAL | libc::EMSGSIZE | libc::EOPNOTSUPP | libc::ENOPROTOOPT)
    )
}

#[cfg(test)]
mod tests;
