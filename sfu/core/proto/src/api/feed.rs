//! Where a track comes from and who wants what of it, in words that hold for the shards of a node and
//! will for nodes and recorders: a neighbour feeds a track, or wants it.

use super::{Layer, ShardId};

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
    pub const ALL: Self = Self(u8::MAX);

    pub fn insert(&mut self, layer: Layer) {
        self.0 |= Self::bit(layer);
    }

    pub fn contains(self, layer: Layer) -> bool {
        self.0 & Self::bit(layer) != 0
    }

    fn bit(layer: Layer) -> u8 {
        1_u8.checked_shl(u32::from(layer.0)).unwrap_or(0)
    }
}

/// What a neighbour wants of a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Want {
    pub layers: LayerSet,
    /// Nobody there gets higher temporal layers. They may be sent all the same.
    pub max_temporal: u8,
}

impl Want {
    pub const ALL: Self = Self {
        layers: LayerSet::ALL,
        max_temporal: u8::MAX,
    };
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
    fn a_neighbour_beyond_the_shards_is_none_of_them() {
        assert_eq!(NeighbourId::from(ShardId(255)).shard(), Some(ShardId(255)));
        assert_eq!(NeighbourId(256).shard(), None);
    }
}
