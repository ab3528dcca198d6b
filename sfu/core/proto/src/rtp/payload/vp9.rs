//! The VP9 payload descriptor as far as layers and beginnings go (RFC 9628, section 4.2).

/// The first fields of a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptor {
    /// The frame needs an earlier picture.
    pub inter_predicted: bool,
    pub starts_frame: bool,
    pub ends_frame: bool,
    /// `None` for a stream without layers.
    pub layers: Option<Layers>,
}

/// Layer indices of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layers {
    pub temporal_id: u8,
    /// The U bit: later pictures of higher temporal layers need none of theirs before this one.
    pub switching_up: bool,
    pub spatial_id: u8,
    /// The frame needs the one of the next lower spatial layer.
    pub inter_layer_predicted: bool,
}

impl Descriptor {
    /// `None` when the payload ends within these fields, or right after them.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let (first, mut rest) = payload.split_first()?;
        if first & 0x80 != 0 {
            let (byte, after) = rest.split_first()?;
            rest = if byte & 0x80 != 0 {
                after.get(1..)?
            } else {
                after
            };
        }
        let mut layers = None;
        if first & 0x20 != 0 {
            let (byte, after) = rest.split_first()?;
            layers = Some(Layers {
                temporal_id: byte >> 5,
                switching_up: byte & 0x10 != 0,
                spatial_id: (byte >> 1) & 0x07,
                inter_layer_predicted: byte & 0x01 != 0,
            });
            rest = after;
        }
        (!rest.is_empty()).then_some(Self {
            inter_predicted: first & 0x40 != 0,
            starts_frame: first & 0x08 != 0,
            ends_frame: first & 0x04 != 0,
            layers,
        })
    }
}

/// Whether the payload starts a frame of the lowest spatial layer that depends on no earlier one.
pub fn starts_key_frame(payload: &[u8]) -> bool {
    Descriptor::parse(payload).is_some_and(|descriptor| {
        let lowest_layer = descriptor
            .layers
            .is_none_or(|layers| layers.spatial_id == 0 && !layers.inter_layer_predicted);
        descriptor.starts_frame && !descriptor.inter_predicted && lowest_layer
    })
}
