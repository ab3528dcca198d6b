//! Where a VP9 stream can be joined (RFC 9628, section 4.2).

/// Whether the payload starts a frame of the lowest spatial layer that depends on no earlier one.
pub fn starts_key_frame(payload: &[u8]) -> bool {
    parse(payload).unwrap_or(false)
}

fn parse(payload: &[u8]) -> Option<bool> {
    let (first, mut rest) = payload.split_first()?;
    let has_picture_id = first & 0x80 != 0;
    let inter_predicted = first & 0x40 != 0;
    let has_layers = first & 0x20 != 0;
    let starts_frame = first & 0x08 != 0;
    if has_picture_id {
        let (byte, after) = rest.split_first()?;
        rest = if byte & 0x80 != 0 {
            after.get(1..)?
        } else {
            after
        };
    }
    let mut lowest_layer = true;
    if has_layers {
        let (byte, after) = rest.split_first()?;
        let spatial_id = (byte >> 1) & 0x07;
        let inter_layer_predicted = byte & 0x01 != 0;
        lowest_layer = spatial_id == 0 && !inter_layer_predicted;
        rest = after;
    }
    Some(starts_frame && !inter_predicted && lowest_layer && !rest.is_empty())
}
