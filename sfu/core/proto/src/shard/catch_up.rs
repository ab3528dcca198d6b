//! Key frames whose first packet is repaired late.
//!
//! Who waits for a key frame can start with its first packet only. If that was lost on the way in and
//! comes after the rest, the rest has been fanned out already, and passed those by who wait: they get
//! it from the store, in order and right behind the first packet. Who was not waiting has had it all
//! and gets the late packet alone. Lists are made only where this happens.

use slab::Slab;

use super::subscriber::SubscriptionEntry;
use crate::api::Layer;
use crate::forward::{LateKeyFrames, Pending, Track};

/// Most numbers that are caught up with: half of what the store holds, a second of a good picture.
/// Whoever is further behind is better served by a new key frame.
const MOST_NUMBERS: u64 = 256;

/// Subscriptions of a track, told apart by whether they wait for a key frame that has come late.
#[derive(Debug)]
pub(super) struct CatchUp {
    others: Vec<usize>,
    groups: Vec<Group>,
}

/// Those who wait for the same layer.
#[derive(Debug)]
pub(super) struct Group {
    layer: Layer,
    /// The key frame's first packet.
    first: u64,
    waiting: Vec<usize>,
}

/// `None` where no key frame is late, as nearly always.
pub(super) fn split_off_waiting(
    track: &Track,
    late: &LateKeyFrames,
    subscriptions: &Slab<SubscriptionEntry>,
) -> Option<CatchUp> {
    if late.iter().all(Option::is_none) {
        return None;
    }
    let groups = (0..).zip(late).filter_map(|(layer, first)| {
        Some(Group {
            layer: Layer(layer),
            first: (*first)?,
            waiting: Vec::new(),
        })
    });
    let mut split = CatchUp {
        others: Vec::new(),
        groups: groups.collect(),
    };
    for key in &track.subscriptions {
        let waits_for = subscriptions.get(*key).and_then(|it| it.inner.waits_for());
        let mut groups = split.groups.iter_mut();
        match groups.find(|group| Some(group.layer) == waits_for) {
            Some(group) => group.waiting.push(*key),
            None => split.others.push(*key),
        }
    }
    Some(split)
}

impl CatchUp {
    /// Those who wait for nothing that is late.
    pub(super) fn others(&self) -> &[usize] {
        &self.others
    }

    pub(super) fn groups(&self) -> impl Iterator<Item = &Group> {
        self.groups.iter().filter(|group| !group.waiting.is_empty())
    }
}

impl Group {
    pub(super) fn layer(&self) -> Layer {
        self.layer
    }

    pub(super) fn waiting(&self) -> &[usize] {
        &self.waiting
    }

    /// What they are to be sent: `pending` of the layers that they may still watch, and all of the
    /// late one, unless too much has come after its key frame: then they go on waiting.
    pub(super) fn missed(&self, track: &Track, pending: &[Pending]) -> Vec<Pending> {
        let of_others = pending.iter().filter(|it| it.layer != self.layer);
        let held = track.held_from(self.layer, self.first, MOST_NUMBERS);
        of_others.copied().chain(held).collect()
    }
}
