//! Where an AV1 stream can be joined (RTP Payload Format for AV1, section 4).
//!
//! A coded video sequence starts with a sequence header, and the aggregation header says so.

const OBU_SEQUENCE_HEADER: u8 = 1;

/// Whether the payload starts a coded video sequence: the N bit is set, nothing continues from an
/// earlier packet, and the first OBU is a sequence header.
pub fn starts_key_frame(payload: &[u8]) -> bool {
    let Some((aggregation, rest)) = payload.split_first() else {
        return false;
    };
    let continues = aggregation & 0x80 != 0;
    let element_count = (aggregation >> 4) & 0x03;
    let new_sequence = aggregation & 0x08 != 0;
    if continues || !new_sequence {
        return false;
    }
    // With a count of 1 the only element has no length in front.
    let element = if element_count == 1 {
        Some(rest)
    } else {
        sized_element(rest)
    };
    element
        .and_then(|element| element.first())
        .is_some_and(|header| {
            let forbidden = header & 0x80 != 0;
            !forbidden && (header >> 3) & 0x0f == OBU_SEQUENCE_HEADER
        })
}

/// The first element, behind its LEB128 length. An element that is cut short is none.
fn sized_element(bytes: &[u8]) -> Option<&[u8]> {
    let mut size = 0_usize;
    for (position, byte) in bytes.iter().take(4).enumerate() {
        size |= usize::from(byte & 0x7f) << (7 * position);
        if byte & 0x80 == 0 {
            return bytes.get(position + 1..)?.get(..size);
        }
    }
    None
}
