//! A downlink that several clients share, as people behind one access point do: one queue, one
//! rate.

use std::time::Instant;

use str0m_netem::{Input, Netem, NetemConfig, Output};

/// A datagram on the link, for client number `to`.
#[derive(Debug, Clone)]
pub(crate) struct Addressed {
    pub(crate) to: usize,
    pub(crate) datagram: Vec<u8>,
}

impl AsRef<[u8]> for Addressed {
    fn as_ref(&self) -> &[u8] {
        &self.datagram
    }
}

/// The link with its members, by their numbers.
pub(crate) struct SharedLink {
    link: Netem<Addressed>,
    members: Vec<usize>,
}

impl SharedLink {
    pub(crate) fn new(members: Vec<usize>, config: NetemConfig) -> Self {
        let link = Netem::new(config);
        Self { link, members }
    }

    /// Takes a datagram for a member; gives back one for somebody else.
    pub(crate) fn take(&mut self, now: Instant, addressed: Addressed) -> Option<Addressed> {
        if !self.members.contains(&addressed.to) {
            return Some(addressed);
        }
        self.link.handle_input(Input::Packet(now, addressed));
        None
    }

    /// What has passed the link.
    pub(crate) fn advance(&mut self, now: Instant) -> Vec<Addressed> {
        self.link.handle_input(Input::Timeout(now));
        let mut passed = Vec::new();
        while let Some(Output::Packet(addressed)) = self.link.poll_output() {
            passed.push(addressed);
        }
        passed
    }
}
