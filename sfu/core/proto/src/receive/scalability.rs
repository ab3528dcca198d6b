//! Reads each packet's place in its scalable stream: from the dependency descriptor where the
//! publisher sends it (VP9, AV1, temporal layers of H.264), else from VP9's payload descriptor.

use crate::api::{Codec, Dependencies, FrameTargets, ScalableFrame};
use crate::rtp::dependency_descriptor::{Descriptor, Reader, Structure};
use crate::rtp::payload::vp9;

/// State of one received stream.
#[derive(Debug, Clone, Default)]
pub(super) struct Scalability {
    reader: Reader,
}

impl Scalability {
    /// `descriptor` is the extension's value. `None` for a packet that belongs to no known layer.
    pub(super) fn read(
        &mut self,
        codec: Codec,
        descriptor: Option<&[u8]>,
        payload: &[u8],
    ) -> Option<ScalableFrame> {
        match (codec, descriptor) {
            (Codec::Vp9 | Codec::Av1 | Codec::H264, Some(value)) => self.described(value),
            (Codec::Vp9, None) => from_vp9(payload),
            _ => None,
        }
    }

    fn described(&mut self, value: &[u8]) -> Option<ScalableFrame> {
        let descriptor = self.reader.read(value)?;
        let structure = self.reader.structure()?;
        let targets = pack(&descriptor, structure, self.reader.active_targets());
        Some(ScalableFrame {
            spatial_id: descriptor.spatial_id,
            temporal_id: descriptor.temporal_id,
            starts: descriptor.starts_frame,
            ends: descriptor.ends_frame,
            dependencies: Dependencies::Described(targets),
        })
    }
}

fn pack(descriptor: &Descriptor, structure: &Structure, active: u16) -> FrameTargets {
    let mut packed = FrameTargets {
        frame_number: descriptor.frame_number,
        active,
        chain_diffs: descriptor.chain_diffs,
        has_chains: structure.chains > 0,
        count: structure.targets.len() as u8,
        ..FrameTargets::default()
    };
    let targets = structure.targets.iter().zip(descriptor.indications);
    for (index, (target, indication)) in targets.enumerate() {
        let layers = u64::from(target.spatial_id << 2 | target.temporal_id);
        packed.layers |= layers << (4 * index);
        packed.indications |= (indication as u32) << (2 * index);
        packed.protected_by |= u32::from(target.chain) << (2 * index);
    }
    packed
}

fn from_vp9(payload: &[u8]) -> Option<ScalableFrame> {
    let descriptor = vp9::Descriptor::parse(payload)?;
    let layers = descriptor.layers?;
    Some(ScalableFrame {
        spatial_id: layers.spatial_id,
        temporal_id: layers.temporal_id,
        starts: descriptor.starts_frame,
        ends: descriptor.ends_frame,
        dependencies: Dependencies::Layered {
            temporal_switch: layers.switching_up,
            key: !descriptor.inter_predicted,
        },
    })
}
