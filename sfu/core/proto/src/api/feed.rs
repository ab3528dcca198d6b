//! Where a track comes from and who wants what of it, in words that hold for the shards of a node and
//! will for nodes and recorders: a neighbour feeds a track, or wants it.

use super::{Layer, MAX_LAYERS, ShardId};

/// Somebody beside this shard that tracks come from or go to: another shard of the node. A link to
/// another node, or a recorder, will have a number beyond those of shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NeighbourId(pub u16);

impl From<ShardId> for NeighbourId {
    fn from(shard: ShardId) -> Self {
        Self(u16::from(shard.0))
    }
}

impl NeighbourId {
    /// The shard of this node that it is, if it is one.
    pub fn shard(self) -> Option<ShardId> {
        u8::try_from(self.0).ok().map(ShardId)
    }
}

/// Some layers of a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LayerSet(u8);

impl LayerSet {
    pub const ALL: Self = Self((1 << MAX_LAYERS) - 1);
    pub const NONE: Self = Self(0);

    pub fn insert(&mut self, layer: Layer) {
        self.0 |= Self::bit(layer);
    }

    pub fn remove(&mut self, layer: Layer) {
        self.0 &= !Self::bit(layer);
    }

    /// Those of either.
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those of this one that are not in `other`.
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub fn contains(self, layer: Layer) -> bool {
        self.0 & Self::bit(layer) != 0
    }

    fn bit(layer: Layer) -> u8 {
        match usize::from(layer.0) {
            index if index < MAX_LAYERS => 1 << index,
            _ => 0,
        }
    }
}

impl FromIterator<Layer> for LayerSet {
    fn from_iter<I: IntoIterator<Item = Layer>>(layers: I) -> Self {
        let mut set = Self::default();
        layers.into_iter().for_each(|layer| set.insert(layer));
        set
    }
}

/// What a neighbour wants of a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Want {
    pub layers: LayerSet,
    /// Nobody there gets higher temporal layers of a scalable stream: packets of theirs come as fillers.
    pub max_temporal: u8,
}

impl Want {
    pub const ALL: Self = Self {
        layers: LayerSet::ALL,
        max_temporal: u8::MAX,
    };

    pub const NOTHING: Self = Self {
        layers: LayerSet::NONE,
        max_temporal: 0,
    };

    /// What both want together.
    pub fn and(self, other: Self) -> Self {
        Self {
            layers: self.layers.and(other.layers),
            max_temporal: self.max_temporal.max(other.max_temporal),
        }
    }
}

/// What a neighbour that feeds a video has of it, whether it is asked for it or not: whoever gets some
/// of the layers chooses among all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Supply {
    /// Simulcast layers that arrive.
    pub active: LayerSet,
    /// What each layer costs a subscriber; of a scalable stream by its spatial layers. `None` for one
    /// that does not arrive, or is not measured yet.
    pub bitrates_bps: [Option<u64>; MAX_LAYERS],
}

impl Supply {
    /// Whether somebody who knows `told` is to be told this: bitrates waver.
    pub fn differs(&self, told: &Self) -> bool {
        let rates = self.bitrates_bps.iter().zip(told.bitrates_bps);
        let moved = |(now, told): (&Option<u64>, Option<u64>)| match (*now, told) {
            (Some(now), Some(told)) => now.abs_diff(told) > told / 32,
            (now, told) => now != told,
        };
        self.active != told.active || rates.into_iter().any(moved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_told_apart_and_those_that_do_not_exist_are_in_no_set() {
        let mut layers = LayerSet::default();
        layers.insert(Layer(1));
        layers.insert(Layer(200));
        let held = |layers: LayerSet| [0, 1, 2, 8, 200].map(|it| layers.contains(Layer(it)));
        assert_eq!(held(layers), [false, true, false, false, false]);
        assert_eq!(held(LayerSet::ALL), [true, true, true, false, false]);
    }

    #[test]
    fn bitrates_are_told_when_they_have_moved() {
        let supply = |bps: u64| Supply {
            active: LayerSet::ALL,
            bitrates_bps: [Some(bps), None, None],
        };
        let told = supply(320_000);
        assert!(!supply(330_000).differs(&told));
        assert!(supply(330_001).differs(&told));
        assert!(!supply(0).differs(&supply(0)));
        assert!(Supply::default().differs(&told));
    }

    #[test]
    fn sets_are_joined_and_cut() {
        let of = |layers: &[u8]| layers.iter().map(|it| Layer(*it)).collect::<LayerSet>();
        assert_eq!(of(&[0]).and(of(&[2])), of(&[0, 2]));
        assert_eq!(of(&[0, 1]).without(of(&[1, 2])), of(&[0]));
        assert_eq!(of(&[9]), LayerSet::NONE);
    }

    #[test]
    fn a_neighbour_beyond_the_shards_is_none_of_them() {
        assert_eq!(NeighbourId::from(ShardId(255)).shard(), Some(ShardId(255)));
        assert_eq!(NeighbourId(256).shard(), None);
    }
}
