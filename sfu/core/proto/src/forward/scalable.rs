//! Which frames of a scalable stream (VP9, AV1, described H.264) a subscriber gets.
//!
//! By the dependency descriptor: the subscriber follows one decode target. It changes to the one it
//! wants where the stream says so, and only if everything that the new target builds on has been
//! sent, which the chains tell; else a key frame is needed. By VP9's payload descriptor: each layer
//! builds on those below it, so a lower limit counts from the next picture on, and more spatial
//! layers wait for a key frame.

use crate::api::{Dependencies, FrameTargets, NOT_PRESENT, SWITCH, ScalableFrame};

/// Frames whose fate is remembered: a chain reaches back 255 frames at most.
const REMEMBERED_FRAMES: u16 = 256;
/// Decisions about layers that are remembered, for packets that come late.
const REMEMBERED_DECISIONS: usize = 4;

/// Highest spatial and temporal layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Limit {
    spatial: u8,
    temporal: u8,
}

/// The choice of one subscription.
#[derive(Debug, Clone)]
pub(super) struct ScalableLayers {
    max: Limit,
    described: Described,
    layered: Layered,
}

/// A packet that is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Admitted {
    /// It ends the picture for this subscriber.
    pub ends_picture: bool,
}

impl ScalableLayers {
    pub(super) fn new(max_spatial: u8, max_temporal: u8) -> Self {
        Self {
            max: Limit {
                spatial: max_spatial,
                temporal: max_temporal,
            },
            described: Described::default(),
            layered: Layered::default(),
        }
    }

    pub(super) fn set_max(&mut self, max_spatial: u8, max_temporal: u8) {
        self.max = Limit {
            spatial: max_spatial,
            temporal: max_temporal,
        };
    }

    /// A key frame begins at `sequence`; nothing before it counts.
    pub(super) fn start(&mut self, sequence: u64) {
        self.described = Described::default();
        self.layered = Layered::default();
        self.layered.decide(sequence, self.max);
    }

    /// Whether what is wanted needs a key frame first.
    pub(super) fn needs_key_frame(&self) -> bool {
        self.described.stuck || self.layered.stuck(self.max)
    }

    /// `None` for a packet that is not to be sent.
    pub(super) fn admits(
        &mut self,
        sequence: u64,
        timestamp: u32,
        frame: Option<&ScalableFrame>,
    ) -> Option<Admitted> {
        let Some(frame) = frame else {
            // Without a word about layers everything is sent; within a described stream it is a
            // packet that nobody can place.
            let plain = self.described.newest.is_none();
            return plain.then_some(Admitted {
                ends_picture: false,
            });
        };
        let highest_spatial = match &frame.dependencies {
            Dependencies::Described(targets) => self.described.admits(targets, self.max)?,
            Dependencies::Layered { .. } => {
                let admitted = self.layered.admits(sequence, timestamp, frame, self.max);
                admitted?
            }
        };
        Some(Admitted {
            ends_picture: frame.ends && frame.spatial_id == highest_spatial,
        })
    }
}

/// State of a stream with dependency descriptors.
#[derive(Debug, Clone, Default)]
struct Described {
    newest: Option<u16>,
    /// Layers of the decode target that is followed.
    target: Option<(u8, u8)>,
    decided: FrameSet,
    sent: FrameSet,
    /// The wanted target could have been joined if its frames had been sent.
    stuck: bool,
}

impl Described {
    /// The target's highest spatial layer, if the frame belongs to it.
    fn admits(&mut self, frame: &FrameTargets, max: Limit) -> Option<u8> {
        let number = frame.frame_number;
        let ahead = self.newest.map_or(1, |newest| number.wrapping_sub(newest));
        let newer = (1..0x8000).contains(&ahead);
        if newer {
            self.decided.advance(self.newest, number);
            self.sent.advance(self.newest, number);
            self.newest = Some(number);
            self.choose(frame, max);
        } else if ahead.wrapping_neg() >= REMEMBERED_FRAMES {
            return None;
        }
        if !self.decided.contains(number) {
            self.decided.insert(number);
            let target = self.target.and_then(|layers| frame.find(layers));
            if target.is_some_and(|target| frame.indication(target) != NOT_PRESENT) {
                self.sent.insert(number);
            }
        }
        self.target
            .filter(|_| self.sent.contains(number))
            .map(|(spatial, _)| spatial)
    }

    /// Follows another target, if one is wanted and this frame lets a receiver join it.
    fn choose(&mut self, frame: &FrameTargets, max: Limit) {
        let Limit { spatial, temporal } = max;
        let current = self.target.and_then(|layers| frame.find(layers));
        let wanted = frame.best(spatial, temporal, |target| frame.is_active(target));
        let Some(wanted) = wanted.filter(|wanted| current != Some(*wanted)) else {
            self.stuck = false;
            return;
        };
        // A frame of the current target can be decoded, whatever else it depends on.
        let decodable = current.is_none_or(|target| frame.indication(target) != NOT_PRESENT);
        let joins = if decodable && self.joinable(frame, wanted) {
            Some(wanted)
        } else if current.is_none() {
            frame.best(spatial, temporal, |target| self.joinable(frame, target))
        } else {
            None
        };
        if let Some(target) = joins {
            self.target = Some(frame.layers_of(target));
        }
        if joins == Some(wanted) {
            self.stuck = false;
        } else if frame.indication(wanted) == SWITCH && !self.joinable(frame, wanted) {
            self.stuck = true;
        }
    }

    /// Whether the frame lets a receiver that can decode it go on with the target, as far as
    /// what has been sent goes.
    fn joinable(&self, frame: &FrameTargets, target: u8) -> bool {
        let diff = frame.chain_diff(target);
        let before = frame.frame_number.wrapping_sub(u16::from(diff));
        frame.indication(target) == SWITCH && (diff == 0 || self.sent.contains(before))
    }
}

/// Some of the latest 256 frame numbers.
#[derive(Debug, Clone, Copy, Default)]
struct FrameSet([u64; 4]);

impl FrameSet {
    fn contains(&self, number: u16) -> bool {
        let (word, bit) = Self::place(number);
        self.0[word] >> bit & 1 == 1
    }

    fn insert(&mut self, number: u16) {
        let (word, bit) = Self::place(number);
        self.0[word] |= 1 << bit;
    }

    /// Makes room for the numbers behind `from` up to `to`.
    fn advance(&mut self, from: Option<u16>, to: u16) {
        let from = from.unwrap_or(to);
        if to.wrapping_sub(from) >= REMEMBERED_FRAMES {
            *self = Self::default();
            return;
        }
        let mut number = from;
        while number != to {
            number = number.wrapping_add(1);
            let (word, bit) = Self::place(number);
            self.0[word] &= !(1 << bit);
        }
    }

    fn place(number: u16) -> (usize, u32) {
        let index = number % REMEMBERED_FRAMES;
        (usize::from(index / 64), u32::from(index % 64))
    }
}

/// State of a stream of which only layer indices are known.
#[derive(Debug, Clone, Default)]
struct Layered {
    /// Newest first: from this packet on, these layers.
    decisions: [Option<(u64, Limit)>; REMEMBERED_DECISIONS],
    newest_timestamp: Option<u32>,
    highest_spatial: u8,
}

impl Layered {
    /// The highest spatial layer that is sent, if the packet belongs to one.
    fn admits(
        &mut self,
        sequence: u64,
        timestamp: u32,
        frame: &ScalableFrame,
        max: Limit,
    ) -> Option<u8> {
        self.highest_spatial = self.highest_spatial.max(frame.spatial_id);
        let begins_picture = self
            .newest_timestamp
            .is_none_or(|newest| (timestamp.wrapping_sub(newest) as i32) > 0);
        if begins_picture {
            self.newest_timestamp = Some(timestamp);
            self.choose(sequence, frame, max);
        }
        let mut decisions = self.decisions.iter().flatten();
        let (_, limit) = decisions.find(|(from, _)| *from <= sequence)?;
        let sent = frame.spatial_id <= limit.spatial && frame.temporal_id <= limit.temporal;
        sent.then_some(limit.spatial)
    }

    /// The first packet of a new picture has come, which may not be the picture's first one.
    fn choose(&mut self, sequence: u64, frame: &ScalableFrame, max: Limit) {
        let Dependencies::Layered {
            temporal_switch,
            key,
        } = frame.dependencies
        else {
            return;
        };
        let Some((_, now)) = self.decisions[0] else {
            return self.decide(sequence, max);
        };
        let key = key && frame.starts && frame.spatial_id == 0;
        let switches = temporal_switch && frame.temporal_id <= now.temporal;
        let limit = Limit {
            spatial: if key {
                max.spatial
            } else {
                now.spatial.min(max.spatial)
            },
            temporal: if key || switches {
                max.temporal
            } else {
                now.temporal.min(max.temporal)
            },
        };
        if limit != now {
            self.decide(sequence, limit);
        }
    }

    fn decide(&mut self, sequence: u64, limit: Limit) {
        self.decisions.rotate_right(1);
        self.decisions[0] = Some((sequence, limit));
    }

    fn stuck(&self, max: Limit) -> bool {
        let wanted = max.spatial.min(self.highest_spatial);
        self.decisions[0].is_some_and(|(_, now)| now.spatial < wanted)
    }
}

#[cfg(test)]
#[path = "scalable_tests.rs"]
mod tests;
