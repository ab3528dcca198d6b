//! Cuts a compound into datagrams, between packets. A source description stays with the report that
//! it follows, as no compound begins with one (RFC 3550, section 6.1).

use super::SOURCE_DESCRIPTION;

/// Pieces of `compound` of at most `max` bytes each, as far as its packets allow.
pub fn split(compound: &[u8], max: usize) -> impl Iterator<Item = &[u8]> {
    let mut rest = compound;
    std::iter::from_fn(move || {
        let mut end = 0;
        while let Some(len) = group_len(&rest[end..]) {
            if end > 0 && end + len > max {
                break;
            }
            end += len;
        }
        let (piece, tail) = rest.split_at(end);
        rest = tail;
        (!piece.is_empty()).then_some(piece)
    })
}

/// Length of the first packet with the source descriptions behind it.
fn group_len(bytes: &[u8]) -> Option<usize> {
    let mut end = packet_len(bytes)?;
    while let Some(len) = packet_len(&bytes[end..])
        && bytes.get(end + 1) == Some(&SOURCE_DESCRIPTION)
    {
        end += len;
    }
    Some(end)
}

/// Length of the first packet, `None` when `bytes` does not hold a whole one.
fn packet_len(bytes: &[u8]) -> Option<usize> {
    let [_, _, high, low, ..] = *bytes else {
        return None;
    };
    let len = (usize::from(u16::from_be_bytes([high, low])) + 1) * 4;
    (len <= bytes.len()).then_some(len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Ssrc;
    use crate::rtcp::{SenderInfo, write};

    #[test]
    fn a_piece_never_begins_with_a_source_description() {
        let mut compound = Vec::new();
        let info = |ssrc| SenderInfo {
            ssrc: Ssrc(ssrc),
            ntp: 0,
            rtp: 0,
            packet_count: 0,
            octet_count: 0,
        };
        for source in 0..30 {
            write::sender_report(&mut compound, &info(source), &[]);
            write::sdes_cname(&mut compound, Ssrc(source), "name");
        }
        // 28 and 16 bytes: the cut would fall between the two.
        let pieces: Vec<_> = split(&compound, 44 * 5 + 30).collect();
        assert_eq!(pieces.len(), 6);
        assert!(pieces.iter().all(|piece| piece.len() == 44 * 5));
        assert_eq!(pieces.concat(), compound);
    }

    #[test]
    fn cuts_between_packets_and_loses_none() {
        let mut compound = Vec::new();
        for source in 0..100 {
            write::pli(&mut compound, Ssrc(1), Ssrc(source));
        }
        let pieces: Vec<_> = split(&compound, 100).collect();
        assert!(pieces.iter().all(|piece| piece.len() <= 100));
        assert_eq!(pieces.len(), 13);
        assert_eq!(pieces.concat(), compound);
        let pieces: Vec<_> = split(&compound, 5_000).collect();
        assert_eq!(pieces, [&compound[..]]);
    }

    #[test]
    fn garbage_yields_nothing() {
        assert_eq!(split(&[0x80, 200, 0xff, 0xff], 100).count(), 0);
        assert_eq!(split(&[], 100).count(), 0);
    }
}
