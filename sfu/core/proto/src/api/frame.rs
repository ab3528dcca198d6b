//! What a packet says about its frame's place in a scalable stream (RFC 9628; AV1 RTP
//! specification, appendix A). It travels with every packet, so it is small and holds all that a
//! subscription asks: whoever gets the packet needs no state of the stream.

/// A frame's place. A picture has one frame for each spatial layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScalableFrame {
    pub spatial_id: u8,
    pub temporal_id: u8,
    /// The packet is the frame's first one.
    pub starts: bool,
    /// The packet is the frame's last one.
    pub ends: bool,
    pub dependencies: Dependencies,
}

/// How much is known about what needs what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dependencies {
    /// From VP9's payload descriptor: each layer needs those below it.
    Layered {
        /// Later pictures of higher temporal layers need nothing older than this one of theirs.
        temporal_switch: bool,
        /// The picture needs no earlier one.
        key: bool,
    },
    /// From the dependency descriptor.
    Described(FrameTargets),
}

/// A frame as decode targets and chains see it, packed: at most 16 targets and 4 chains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FrameTargets {
    pub frame_number: u16,
    /// Targets that the sender produces at the moment, as bits.
    pub active: u16,
    /// For each chain: how many frames ago its last frame was; 0 where it begins anew.
    pub chain_diffs: [u8; 4],
    /// Two bits a target, as in the descriptor: not present, discardable, switch, required.
    pub indications: u32,
    /// Four bits a target: spatial and temporal identifier.
    pub layers: u64,
    /// Two bits a target: the chain that protects it.
    pub protected_by: u32,
    /// Whether there are chains at all.
    pub has_chains: bool,
    /// Targets that there are, at most 16.
    pub count: u8,
}

/// What a frame is to a target: the descriptor's values.
pub const NOT_PRESENT: u8 = 0;
pub const SWITCH: u8 = 2;

impl FrameTargets {
    /// What the frame is to target number `target`.
    pub fn indication(&self, target: u8) -> u8 {
        (self.indications >> (2 * u32::from(target & 0x0f)) & 3) as u8
    }

    /// Spatial and temporal identifier of target number `target`.
    pub fn layers_of(&self, target: u8) -> (u8, u8) {
        let packed = (self.layers >> (4 * u32::from(target & 0x0f)) & 0x0f) as u8;
        (packed >> 2, packed & 3)
    }

    /// How many frames ago the last frame was that a receiver of the target must have: 0 if it
    /// needs none.
    pub fn chain_diff(&self, target: u8) -> u8 {
        if !self.has_chains {
            return 0;
        }
        let chain = self.protected_by >> (2 * u32::from(target & 0x0f)) & 3;
        self.chain_diffs[chain as usize]
    }

    /// The target of exactly these layers.
    pub fn find(&self, layers: (u8, u8)) -> Option<u8> {
        (0..self.count).find(|target| self.layers_of(*target) == layers)
    }

    /// The highest target within a limit among those that pass `filter`.
    pub fn best(
        &self,
        max_spatial: u8,
        max_temporal: u8,
        filter: impl Fn(u8) -> bool,
    ) -> Option<u8> {
        (0..self.count)
            .filter(|target| {
                let (spatial, temporal) = self.layers_of(*target);
                spatial <= max_spatial && temporal <= max_temporal && filter(*target)
            })
            .max_by_key(|target| self.layers_of(*target))
    }

    /// Whether the sender produces the target at the moment.
    pub fn is_active(&self, target: u8) -> bool {
        self.active >> (target & 0x0f) & 1 == 1
    }
}
