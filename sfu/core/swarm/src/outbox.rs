//! Datagrams on their way out, in one buffer that is kept.

use std::net::SocketAddr;

/// What a peer wants sent. Its owner sends and clears it after every call.
#[derive(Debug, Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    /// Destination and end of each datagram.
    datagrams: Vec<(SocketAddr, usize)>,
}

impl Outbox {
    pub fn push(&mut self, to: SocketAddr, datagram: &[u8]) {
        self.bytes.extend_from_slice(datagram);
        self.datagrams.push((to, self.bytes.len()));
    }

    pub fn is_empty(&self) -> bool {
        self.datagrams.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = (SocketAddr, &[u8])> {
        let mut start = 0;
        self.datagrams.iter().map(move |&(to, end)| {
            let datagram = &self.bytes[start..end];
            start = end;
            (to, datagram)
        })
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
        self.datagrams.clear();
    }
}
