//! Which runs of datagrams the kernel has refused to segment, and until when they are avoided.
//!
//! A route that cannot take segments (a tunnel, a small path) is the affair of those behind it: what
//! goes elsewhere leaves in runs as before. Only where nothing at all has left in a run, and many
//! destinations have refused it, is it taken for the socket's.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use kinguicall_proto::egress::{Datagram, SocketIndex};

/// How long large runs are avoided after the kernel has refused one: routes change, and a forged ICMP
/// message must not slow the node down for ever.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(60);
/// Paths that are remembered; the oldest gives way. They are looked through for each run, as long as
/// there are any.
pub(super) const MAX_PATHS: usize = 16;

/// Of one UDP socket.
#[derive(Debug, Clone, Copy)]
struct SocketLimit {
    /// A run has left since the last refusal was forgotten.
    segments: bool,
    segment_bytes: u16,
    until: Option<Instant>,
}

const UNLIMITED: SocketLimit = SocketLimit {
    segments: false,
    segment_bytes: u16::MAX,
    until: None,
};

#[derive(Debug)]
struct Path {
    socket: SocketIndex,
    destination: IpAddr,
    segment_bytes: u16,
    until: Instant,
}

/// What the runs of one thread may look like.
#[derive(Debug)]
pub(super) struct GsoLimits {
    sockets: Vec<SocketLimit>,
    /// The oldest first; at most `MAX_PATHS`.
    paths: Vec<Path>,
}

impl GsoLimits {
    pub(super) fn new(sockets: usize) -> Self {
        Self {
            sockets: vec![UNLIMITED; sockets],
            paths: Vec::with_capacity(MAX_PATHS),
        }
    }

    /// Forgets what is to be tried again.
    pub(super) fn expire(&mut self, now: Instant) {
        for limit in &mut self.sockets {
            if limit.until.is_some_and(|until| until <= now) {
                *limit = UNLIMITED;
            }
        }
        while self.paths.first().is_some_and(|path| path.until <= now) {
            self.paths.remove(0);
        }
    }

    /// The longest segments that may leave in a run like this datagram.
    pub(super) fn segment_bytes(&self, datagram: &Datagram) -> u16 {
        let socket = self.sockets.get(usize::from(datagram.socket.0));
        let limit = socket.map_or(0, |limit| limit.segment_bytes);
        if self.paths.is_empty() {
            return limit;
        }
        let path = self.paths.iter().find(|path| path.is_of(datagram));
        path.map_or(limit, |path| path.segment_bytes.min(limit))
    }

    pub(super) fn run_has_left(&mut self, socket: SocketIndex) {
        if let Some(limit) = self.sockets.get_mut(usize::from(socket.0)) {
            limit.segments = true;
        }
    }

    /// A run of segments like this one was refused, though they passed one by one.
    pub(super) fn refused(&mut self, now: Instant, datagram: &Datagram) {
        let segment_bytes = datagram.len.saturating_sub(1);
        let until = now + RETRY_AFTER;
        log::debug!("a path refuses runs of {}-byte segments", datagram.len);
        self.paths.retain(|path| !path.is_of(datagram));
        if self.paths.len() >= MAX_PATHS {
            if let Some(limit) = self.sockets.get_mut(usize::from(datagram.socket.0))
                && !limit.segments
            {
                log::info!("the kernel refuses runs of segments, sending them apart");
                limit.segment_bytes = segment_bytes;
                limit.until = Some(until);
                return;
            }
            self.paths.remove(0);
        }
        self.paths.push(Path {
            socket: datagram.socket,
            destination: datagram.to.ip(),
            segment_bytes,
            until,
        });
    }
}

impl Path {
    fn is_of(&self, datagram: &Datagram) -> bool {
        self.socket == datagram.socket && self.destination == datagram.to.ip()
    }
}
