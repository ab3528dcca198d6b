//! The template dependency structure: what the frames of a stream are like, sent with key frames
//! (AV1 RTP specification, appendix A.8.3 and A.8.4).

use arrayvec::ArrayVec;

use super::bits::Bits;

/// Templates as identified by 6 bits.
const MAX_TEMPLATES: usize = 64;
/// Decode targets that are understood: four spatial times four temporal layers. The format itself
/// knows 32, which no encoder for WebRTC uses.
pub const MAX_TARGETS: usize = 16;
/// Chains that are understood: one for each spatial layer.
pub const MAX_CHAINS: usize = 4;
/// Spatial and temporal identifiers that are understood: 0 to 3.
const MAX_LAYER: u8 = 3;

/// What a frame is to a decode target (appendix A.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Indication {
    /// Not part of the target.
    #[default]
    NotPresent,
    /// No later frame of the target needs it.
    Discardable,
    /// A receiver may join the target here, if it can decode this frame.
    Switch,
    /// Needed by later frames.
    Required,
}

/// Indications of all targets.
pub type Indications = [Indication; MAX_TARGETS];

/// A kind of frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template {
    pub(super) spatial_id: u8,
    pub(super) temporal_id: u8,
    pub(super) indications: Indications,
    pub(super) chain_diffs: [u8; MAX_CHAINS],
}

/// A set of frames that can be decoded without the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Target {
    /// Highest of its frames.
    pub spatial_id: u8,
    pub temporal_id: u8,
    /// The chain that has to be unbroken for the target to be decodable.
    pub chain: u8,
}

/// A stream's templates, with what follows from them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Structure {
    pub(super) id_offset: u8,
    pub(super) templates: ArrayVec<Template, MAX_TEMPLATES>,
    pub targets: ArrayVec<Target, MAX_TARGETS>,
    /// 0 where nothing tells whether a target is intact.
    pub chains: u8,
}

impl Structure {
    /// `None` when the bytes end too early, contradict each other, or say more than is understood.
    pub(super) fn parse(bits: &mut Bits<'_>) -> Option<Self> {
        let id_offset = bits.number(6)? as u8;
        let target_count = bits.number(5)? as usize + 1;
        if target_count > MAX_TARGETS {
            return None;
        }
        let mut templates = layers(bits)?;
        for template in &mut templates {
            for indication in template.indications.iter_mut().take(target_count) {
                *indication = Indication::read(bits)?;
            }
        }
        for _ in &templates {
            skip_frame_diffs(bits)?;
        }
        let mut targets: ArrayVec<Target, MAX_TARGETS> =
            (0..target_count).map(|_| Target::default()).collect();
        let chains = bits.non_symmetric(target_count as u32 + 1)? as usize;
        if chains > MAX_CHAINS {
            return None;
        }
        if chains > 0 {
            for target in &mut targets {
                target.chain = bits.non_symmetric(chains as u32)? as u8;
            }
            for template in &mut templates {
                for diff in template.chain_diffs.iter_mut().take(chains) {
                    *diff = bits.number(4)? as u8;
                }
            }
        }
        skip_resolutions(bits, &templates)?;
        for (index, target) in targets.iter_mut().enumerate() {
            let present = templates
                .iter()
                .filter(|t| t.indications[index] != Indication::NotPresent);
            for template in present {
                target.spatial_id = target.spatial_id.max(template.spatial_id);
                target.temporal_id = target.temporal_id.max(template.temporal_id);
            }
        }
        Some(Self {
            id_offset,
            templates,
            targets,
            chains: chains as u8,
        })
    }

    pub(super) fn template(&self, id: u8) -> Option<&Template> {
        let index = id.wrapping_sub(self.id_offset) & 0x3f;
        self.templates.get(usize::from(index))
    }

    /// Bits of all targets.
    pub(super) fn all_targets(&self) -> u16 {
        (1_u32 << self.targets.len()).wrapping_sub(1) as u16
    }
}

impl Indication {
    pub(super) fn read(bits: &mut Bits<'_>) -> Option<Self> {
        Some(match bits.number(2)? {
            0 => Self::NotPresent,
            1 => Self::Discardable,
            2 => Self::Switch,
            _ => Self::Required,
        })
    }
}

/// Spatial and temporal identifiers of all templates, each as a step from the one before.
fn layers(bits: &mut Bits<'_>) -> Option<ArrayVec<Template, MAX_TEMPLATES>> {
    let mut templates = ArrayVec::new();
    let (mut spatial_id, mut temporal_id) = (0, 0);
    loop {
        let template = Template {
            spatial_id,
            temporal_id,
            indications: Indications::default(),
            chain_diffs: [0; MAX_CHAINS],
        };
        templates.try_push(template).ok()?;
        match bits.number(2)? {
            0 => {}
            1 => temporal_id += 1,
            2 => {
                spatial_id += 1;
                temporal_id = 0;
            }
            _ => return Some(templates),
        }
        if spatial_id > MAX_LAYER || temporal_id > MAX_LAYER {
            return None;
        }
    }
}

fn skip_frame_diffs(bits: &mut Bits<'_>) -> Option<()> {
    while bits.flag()? {
        bits.number(4)?;
    }
    Some(())
}

fn skip_resolutions(bits: &mut Bits<'_>, templates: &[Template]) -> Option<()> {
    if bits.flag()? {
        let highest = templates.iter().map(|t| t.spatial_id).max().unwrap_or(0);
        for _ in 0..=highest {
            bits.number(32)?;
        }
    }
    Some(())
}
