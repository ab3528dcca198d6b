//! Where an H.264 stream can be joined (RFC 6184, section 5).
//!
//! Encoders for WebRTC repeat the parameter sets before every IDR picture, so a sequence parameter set
//! is the best beginning; the first slice of an IDR picture is one for senders that do not.

const NAL_IDR: u8 = 5;
const NAL_SPS: u8 = 7;
const NAL_STAP_A: u8 = 24;
const NAL_FU_A: u8 = 28;

/// Whether the payload starts an IDR picture or holds a sequence parameter set.
pub fn starts_key_frame(payload: &[u8]) -> bool {
    match payload {
        [first, rest @ ..] => match nal_type(*first) {
            NAL_STAP_A => aggregate_starts_key_frame(rest),
            NAL_FU_A => match rest {
                [fu_header, data @ ..] if fu_header & 0x80 != 0 => {
                    unit_starts_key_frame(nal_type(*fu_header), data)
                }
                _ => false,
            },
            kind => unit_starts_key_frame(kind, rest),
        },
        [] => false,
    }
}

/// Units of a STAP-A: each has its size in front. A unit that is cut short ends the search.
fn aggregate_starts_key_frame(mut units: &[u8]) -> bool {
    while let [high, low, rest @ ..] = units {
        let size = usize::from(u16::from_be_bytes([*high, *low]));
        let Some((unit, next)) = rest.split_at_checked(size) else {
            return false;
        };
        if let [header, data @ ..] = unit
            && unit_starts_key_frame(nal_type(*header), data)
        {
            return true;
        }
        units = next;
    }
    false
}

/// `data` is what follows the NAL unit header. A slice starts its picture when its first field,
/// first_mb_in_slice, is zero, which Exp-Golomb code writes as a single set bit.
fn unit_starts_key_frame(kind: u8, data: &[u8]) -> bool {
    match kind {
        NAL_SPS => !data.is_empty(),
        NAL_IDR => data.first().is_some_and(|byte| byte & 0x80 != 0),
        _ => false,
    }
}

fn nal_type(header: u8) -> u8 {
    header & 0x1f
}
