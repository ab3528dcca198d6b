//! The dependency descriptor: which frames need which (AV1 RTP specification, appendix A). It works
//! for any codec, and also where payloads are encrypted end to end.
//!
//! A [`Reader`] follows one stream: the structure that comes with a key frame gives the later
//! descriptors their meaning. What is kept of a descriptor is what forwarding asks of it; frame
//! dependencies are the receiver's concern. All work is bounded by the 255 bytes of an extension.

mod bits;
mod structure;
#[cfg(test)]
mod tests;

use self::bits::Bits;
pub use self::structure::{Indication, Indications, MAX_CHAINS, MAX_TARGETS, Structure, Target};

/// Bytes of the mandatory fields.
const MANDATORY_LEN: usize = 3;

/// A descriptor with its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptor {
    pub starts_frame: bool,
    pub ends_frame: bool,
    /// Grows by one with each frame, modulo 2^16.
    pub frame_number: u16,
    pub spatial_id: u8,
    pub temporal_id: u8,
    pub indications: Indications,
    /// For each chain: how many frames ago its last frame was; 0 where the chain begins anew.
    pub chain_diffs: [u8; MAX_CHAINS],
    /// It brings the structure, which only key frames do.
    pub has_structure: bool,
}

/// The state of one stream.
#[derive(Debug, Clone, Default)]
pub struct Reader {
    structure: Option<Box<Structure>>,
    active_targets: u16,
}

impl Reader {
    /// The structure that the last descriptors refer to.
    pub fn structure(&self) -> Option<&Structure> {
        self.structure.as_deref()
    }

    /// Targets that the sender produces at the moment, as bits.
    pub fn active_targets(&self) -> u16 {
        self.active_targets
    }

    /// Reads the extension's value. `None` when it is cut short, contradicts itself or the
    /// structure, or if no structure has come yet; the state is then as before.
    pub fn read(&mut self, value: &[u8]) -> Option<Descriptor> {
        let mut bits = Bits::new(value);
        let starts_frame = bits.flag()?;
        let ends_frame = bits.flag()?;
        let template_id = bits.number(6)? as u8;
        let frame_number = bits.number(16)? as u16;
        let mut flags = Flags::default();
        let mut new_structure = None;
        if value.len() > MANDATORY_LEN {
            flags = Flags::read(&mut bits)?;
            if flags.has_structure {
                new_structure = Some(Structure::parse(&mut bits)?);
            }
        }
        let structure = new_structure.as_ref().or(self.structure.as_deref())?;
        let active_targets = if flags.has_active_targets {
            Some(bits.number(structure.targets.len() as u32)? as u16)
        } else {
            new_structure.as_ref().map(Structure::all_targets)
        };
        let template = structure.template(template_id)?;
        let mut descriptor = Descriptor {
            starts_frame,
            ends_frame,
            frame_number,
            spatial_id: template.spatial_id,
            temporal_id: template.temporal_id,
            indications: template.indications,
            chain_diffs: template.chain_diffs,
            has_structure: flags.has_structure,
        };
        flags.read_custom(&mut bits, structure, &mut descriptor)?;
        if let Some(structure) = new_structure {
            match &mut self.structure {
                Some(known) => **known = structure,
                none => *none = Some(Box::new(structure)),
            }
        }
        self.active_targets = active_targets.unwrap_or(self.active_targets);
        Some(descriptor)
    }
}

/// Replaces the frame number of an extension's value, in place.
pub fn set_frame_number(value: &mut [u8], frame_number: u16) {
    if let Some(bytes) = value.get_mut(1..MANDATORY_LEN) {
        bytes.copy_from_slice(&frame_number.to_be_bytes());
    }
}

/// What follows the mandatory fields.
#[derive(Debug, Clone, Copy, Default)]
struct Flags {
    has_structure: bool,
    has_active_targets: bool,
    custom_indications: bool,
    custom_frame_diffs: bool,
    custom_chains: bool,
}

impl Flags {
    fn read(bits: &mut Bits<'_>) -> Option<Self> {
        Some(Self {
            has_structure: bits.flag()?,
            has_active_targets: bits.flag()?,
            custom_indications: bits.flag()?,
            custom_frame_diffs: bits.flag()?,
            custom_chains: bits.flag()?,
        })
    }

    /// The frame's own values, where they differ from the template's.
    fn read_custom(
        self,
        bits: &mut Bits<'_>,
        structure: &Structure,
        descriptor: &mut Descriptor,
    ) -> Option<()> {
        if self.custom_indications {
            let targets = structure.targets.len();
            for indication in descriptor.indications.iter_mut().take(targets) {
                *indication = Indication::read(bits)?;
            }
        }
        if self.custom_frame_diffs {
            loop {
                let nibbles = bits.number(2)?;
                if nibbles == 0 {
                    break;
                }
                bits.number(4 * nibbles)?;
            }
        }
        if self.custom_chains {
            let chains = usize::from(structure.chains);
            for diff in descriptor.chain_diffs.iter_mut().take(chains) {
                *diff = bits.number(8)? as u8;
            }
        }
        Some(())
    }
}
