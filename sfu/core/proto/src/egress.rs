//! Datagrams on their way out: one contiguous buffer, filled by encrypting straight into it.
//!
//! Neighbouring datagrams of equal size to one destination leave as one kernel call (UDP GSO), so
//! writers put packets for one subscriber next to each other.

use std::net::SocketAddr;
use std::time::Instant;

/// Largest datagram that leaves a node: with the headers of UDP and IPv6 it fills an Ethernet frame.
/// Only what a publisher packed that large, and grows here by its headers, comes near it.
pub const MAX_DATAGRAM: usize = 1_452;
/// Largest payload of a publisher that is taken: leaves room for a header with the extensions that
/// are added here, the tag of SRTP and the number that a retransmission begins with.
pub const MAX_MEDIA_PAYLOAD: usize = MAX_DATAGRAM - 56;
/// Largest datagram that a node makes on its own: fits every path that IPv6 allows (1,280 bytes)
/// with some room for a tunnel.
pub const MAX_OWN_DATAGRAM: usize = 1_200;

/// What a datagram came in by or leaves by: the local UDP socket (one per local address), or one TCP
/// connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SocketIndex(pub u16);

impl SocketIndex {
    /// TCP connections are numbered from here on.
    const FIRST_CONNECTION: u16 = 0x8000;
    /// TCP connections that can be told apart.
    pub const MAX_CONNECTIONS: usize = 0x8000;

    /// The TCP connection of that number, below `MAX_CONNECTIONS`.
    pub fn connection(number: usize) -> Option<Self> {
        let number = u16::try_from(number).ok()?;
        (number < Self::FIRST_CONNECTION).then_some(Self(Self::FIRST_CONNECTION | number))
    }

    /// The number of the TCP connection; `None` for a UDP socket.
    pub fn connection_number(self) -> Option<usize> {
        let number = self.0.checked_sub(Self::FIRST_CONNECTION)?;
        Some(usize::from(number))
    }
}

/// Whom a datagram came from, as far as it tells peers apart: over UDP the address whatever the
/// local socket, over TCP the connection as well, as both may come from one port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Source {
    connection: Option<SocketIndex>,
    address: SocketAddr,
}

impl Source {
    pub fn new(socket: SocketIndex, address: SocketAddr) -> Self {
        let connection = socket.connection_number().map(|_| socket);
        Self {
            connection,
            address,
        }
    }

    /// The address, if it is one over UDP.
    pub fn udp_address(self) -> Option<SocketAddr> {
        self.connection.is_none().then_some(self.address)
    }
}

impl From<SocketAddr> for Source {
    /// Over UDP.
    fn from(address: SocketAddr) -> Self {
        Self {
            connection: None,
            address,
        }
    }
}

/// What a datagram carries, as far as a network may treat it differently (RFC 8837, table 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrafficClass {
    /// Connectivity checks, handshakes and data channels.
    Control,
    Audio,
    /// Video, and the reports about all media.
    Video,
}

/// One datagram of a batch.
#[derive(Debug, Clone, Copy)]
pub struct Datagram {
    pub socket: SocketIndex,
    pub to: SocketAddr,
    pub start: u32,
    pub len: u16,
    /// When the packet that caused it was received; `None` for what the node says on its own.
    pub received_at: Option<Instant>,
    pub class: TrafficClass,
}

/// A bounded batch of datagrams. When it is full its owner must flush it: it never grows.
#[derive(Debug)]
pub struct Batch {
    bytes: Box<[u8]>,
    used: usize,
    datagrams: Vec<Datagram>,
    max_datagrams: usize,
    has_connections: bool,
}

impl Batch {
    /// A batch of at most `datagrams` datagrams, allocated once.
    pub fn new(datagrams: usize) -> Self {
        Self {
            bytes: vec![0; datagrams * 1_280 + MAX_DATAGRAM].into_boxed_slice(),
            used: 0,
            datagrams: Vec::with_capacity(datagrams),
            max_datagrams: datagrams,
            has_connections: false,
        }
    }

    /// Whether another datagram of the largest size fits.
    pub fn has_room(&self) -> bool {
        self.datagrams.len() < self.max_datagrams && self.used + MAX_DATAGRAM <= self.bytes.len()
    }

    /// Whether so many more datagrams would not fit, though they would after a flush.
    pub fn would_split(&self, datagrams: usize) -> bool {
        self.datagrams.len() + datagrams > self.max_datagrams && datagrams <= self.max_datagrams
    }

    pub fn is_empty(&self) -> bool {
        self.datagrams.is_empty()
    }

    /// Space for one datagram. Call only when `has_room`; follow with `commit`.
    pub fn space(&mut self) -> &mut [u8] {
        let end = (self.used + MAX_DATAGRAM).min(self.bytes.len());
        &mut self.bytes[self.used..end]
    }

    /// Takes the first `len` bytes of `space` as a datagram.
    pub fn commit(
        &mut self,
        socket: SocketIndex,
        to: SocketAddr,
        len: usize,
        class: TrafficClass,
        received_at: Option<Instant>,
    ) {
        debug_assert!(len <= MAX_DATAGRAM);
        self.has_connections |= socket.connection_number().is_some();
        self.datagrams.push(Datagram {
            socket,
            to,
            start: self.used as u32,
            len: len as u16,
            received_at,
            class,
        });
        self.used += len;
    }

    /// Whether some of the datagrams leave by TCP connections.
    pub fn has_connections(&self) -> bool {
        self.has_connections
    }

    pub fn datagrams(&self) -> &[Datagram] {
        &self.datagrams
    }

    /// The datagrams' bytes, in order and without gaps.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.used]
    }

    pub fn bytes_of(&self, datagram: &Datagram) -> &[u8] {
        let start = datagram.start as usize;
        &self.bytes[start..start + usize::from(datagram.len)]
    }

    pub fn clear(&mut self) {
        self.used = 0;
        self.has_connections = false;
        self.datagrams.clear();
    }
}
