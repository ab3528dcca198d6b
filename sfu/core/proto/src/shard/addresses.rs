//! Whose an address is, when the checks of several peers come from it.
//!
//! Whoever has credentials can have a check pass from any address, with a forged source. So an address
//! stays its owner's as long as that one's checks come from there, and who had it first gets it back.

use std::time::Instant;

use super::Shard;
use crate::api::{Host, MediaKind};
use crate::egress::Source;

impl Shard {
    /// Whether a check of peer `key` from there may pass.
    pub(super) fn may_claim(
        &self,
        now: Instant,
        key: usize,
        source: Source,
        host: &dyn Host,
    ) -> bool {
        let since = self.since(key, source);
        match self.addresses.get(&source) {
            Some(owner) if *owner == key => true,
            Some(owner) => {
                let theirs = self.peers.get(*owner);
                let theirs = theirs.and_then(|peer| peer.transport.claim(source));
                theirs.is_none_or(|claim| claim.gives_way(now, since))
            }
            None => host.may_claim(now, source, since),
        }
    }

    /// A check of peer `key` from there has passed.
    pub(super) fn claim(&mut self, now: Instant, key: usize, source: Source, host: &mut dyn Host) {
        let peer = &mut self.peers[key];
        peer.refill_credit(now);
        let Some(claim) = peer.transport.claim(source) else {
            return;
        };
        let before = self.addresses.insert(source, key);
        host.source(source, Some(claim));
        if let Some(loser) = before.filter(|before| *before != key)
            && self
                .since(loser, source)
                .is_some_and(|since| claim.since < since)
        {
            self.forget(now, loser, source, host);
        }
    }

    /// A peer has no more use for an address.
    pub(super) fn disclaim(&mut self, key: usize, source: Source, host: &mut dyn Host) {
        if self.addresses.get(&source) == Some(&key) {
            self.addresses.remove(&source);
            host.source(source, None);
        }
    }

    /// An address has become that of another shard's peer.
    pub(super) fn lose(
        &mut self,
        now: Instant,
        source: Source,
        for_good: bool,
        host: &mut dyn Host,
    ) {
        if let Some(loser) = self.addresses.remove(&source)
            && for_good
        {
            self.forget(now, loser, source, host);
        }
    }

    /// The address was never this peer's: nothing more is sent there.
    fn forget(&mut self, now: Instant, key: usize, source: Source, host: &mut dyn Host) {
        if let Some(peer) = self.peers.get_mut(key) {
            peer.transport.forget(source);
            self.drive_transport(now, key, host);
        }
    }

    fn since(&self, key: usize, source: Source) -> Option<Instant> {
        let claim = self.peers.get(key)?.transport.claim(source)?;
        Some(claim.since)
    }

    /// A publisher's way has changed, and what was on the old one is lost: its pictures begin again
    /// at once, instead of when those who watch have waited in vain.
    pub(super) fn want_key_frames_of(&mut self, now: Instant, key: usize) {
        let Some(peer) = self.peers.get(key) else {
            return;
        };
        let published = peer.published().iter();
        let videos = published.filter_map(|track| {
            let entry = self.tracks.get(*track)?;
            (entry.inner.kind == MediaKind::Video).then_some((*track, entry))
        });
        let wanted: Vec<_> = videos
            .flat_map(|(track, entry)| entry.inner.activity.active().map(move |it| (track, it)))
            .collect();
        for (track, layer) in wanted {
            self.want_key_frame(now, track, layer);
        }
    }
}
