//! Writes RTCP packets, each appended whole to `out`.
//!
//! Whoever composes a compound starts it with a report (RFC 3550, section 6.1) unless the peer
//! takes reduced-size RTCP, and sends it before it outgrows a datagram. The functions' lists are
//! bounded by their formats: entries beyond the stated limit are left out.

use super::report::{Dlrr, ReportBlock, SenderInfo};
use super::{
    BYE, EXTENDED_REPORT, FORMAT_APPLICATION, FORMAT_FIR, FORMAT_NACK, FORMAT_PLI,
    PAYLOAD_SPECIFIC_FEEDBACK, RECEIVER_REPORT, SENDER_REPORT, SOURCE_DESCRIPTION,
    TRANSPORT_LAYER_FEEDBACK,
};
use crate::api::Ssrc;

/// Most blocks of a report, or sources of a BYE: their count has five bits.
pub const MAX_BLOCKS: usize = 31;
/// Most items of one NACK packet, so that it fits a datagram. More take another packet.
const MAX_NACK_ITEMS: usize = 256;

/// Runs `content` between a header and the completion of its length field.
pub(super) fn packet(
    out: &mut Vec<u8>,
    packet_type: u8,
    format: u8,
    content: impl FnOnce(&mut Vec<u8>),
) {
    let start = out.len();
    out.extend_from_slice(&[0x80 | format, packet_type, 0, 0]);
    content(out);
    debug_assert_eq!((out.len() - start) % 4, 0);
    let words = ((out.len() - start) / 4 - 1) as u16;
    if let Some(length) = out.get_mut(start + 2..start + 4) {
        length.copy_from_slice(&words.to_be_bytes());
    }
}

pub(super) fn ssrc(out: &mut Vec<u8>, ssrc: Ssrc) {
    out.extend_from_slice(&ssrc.0.to_be_bytes());
}

fn report_blocks(out: &mut Vec<u8>, blocks: &[ReportBlock]) {
    for block in blocks {
        block.write(out);
    }
}

/// SR with at most 31 blocks (RFC 3550, section 6.4.1).
pub fn sender_report(out: &mut Vec<u8>, info: &SenderInfo, blocks: &[ReportBlock]) {
    let blocks = &blocks[..blocks.len().min(MAX_BLOCKS)];
    packet(out, SENDER_REPORT, blocks.len() as u8, |out| {
        ssrc(out, info.ssrc);
        out.extend_from_slice(&info.ntp.to_be_bytes());
        out.extend_from_slice(&info.rtp.to_be_bytes());
        out.extend_from_slice(&info.packet_count.to_be_bytes());
        out.extend_from_slice(&info.octet_count.to_be_bytes());
        report_blocks(out, blocks);
    });
}

/// RR with at most 31 blocks (RFC 3550, section 6.4.2).
pub fn receiver_report(out: &mut Vec<u8>, sender: Ssrc, blocks: &[ReportBlock]) {
    let blocks = &blocks[..blocks.len().min(MAX_BLOCKS)];
    packet(out, RECEIVER_REPORT, blocks.len() as u8, |out| {
        ssrc(out, sender);
        report_blocks(out, blocks);
    });
}

/// SDES with a canonical name of at most 255 bytes (RFC 3550, section 6.5.1).
pub fn sdes_cname(out: &mut Vec<u8>, source: Ssrc, cname: &str) {
    const CNAME: u8 = 1;
    let cname = &cname.as_bytes()[..cname.len().min(255)];
    packet(out, SOURCE_DESCRIPTION, 1, |out| {
        ssrc(out, source);
        out.extend_from_slice(&[CNAME, cname.len() as u8]);
        out.extend_from_slice(cname);
        // The list of items ends with one to four zeros, up to a whole word.
        let end = (2 + cname.len()) % 4;
        out.extend_from_slice(&[0; 4][end..]);
    });
}

/// BYE of at most 31 sources, without a reason (RFC 3550, section 6.6).
pub fn bye(out: &mut Vec<u8>, sources: &[Ssrc]) {
    let sources = &sources[..sources.len().min(MAX_BLOCKS)];
    packet(out, BYE, sources.len() as u8, |out| {
        for &source in sources {
            ssrc(out, source);
        }
    });
}

/// Generic NACK for sequence numbers in ascending order, rollover included (RFC 4585, section
/// 6.2.1). Writes nothing for none, and several packets for more than 256 items.
pub fn nack(out: &mut Vec<u8>, sender: Ssrc, media: Ssrc, sequences: &[u16]) {
    let mut rest = sequences;
    while !rest.is_empty() {
        packet(out, TRANSPORT_LAYER_FEEDBACK, FORMAT_NACK, |out| {
            ssrc(out, sender);
            ssrc(out, media);
            let mut items = 0;
            while let Some((&first, after)) = rest.split_first() {
                if items == MAX_NACK_ITEMS {
                    break;
                }
                let (mask, after) = nack_mask(first, after);
                out.extend_from_slice(&first.to_be_bytes());
                out.extend_from_slice(&mask.to_be_bytes());
                rest = after;
                items += 1;
            }
        });
    }
}

/// Marks the sequence numbers that follow `first` within 16, and returns those behind.
fn nack_mask(first: u16, mut rest: &[u16]) -> (u16, &[u16]) {
    let mut mask = 0;
    while let Some((&sequence, after)) = rest.split_first() {
        match sequence.wrapping_sub(first) {
            0 => {}
            distance @ 1..=16 => mask |= 1 << (distance - 1),
            _ => break,
        }
        rest = after;
    }
    (mask, rest)
}

/// Picture loss indication (RFC 4585, section 6.3.1).
pub fn pli(out: &mut Vec<u8>, sender: Ssrc, media: Ssrc) {
    packet(out, PAYLOAD_SPECIFIC_FEEDBACK, FORMAT_PLI, |out| {
        ssrc(out, sender);
        ssrc(out, media);
    });
}

/// Full intra request for one source (RFC 5104, section 4.3.1). `command_sequence` grows by one
/// with each new request and stays for a repetition.
pub fn fir(out: &mut Vec<u8>, sender: Ssrc, media: Ssrc, command_sequence: u8) {
    packet(out, PAYLOAD_SPECIFIC_FEEDBACK, FORMAT_FIR, |out| {
        ssrc(out, sender);
        ssrc(out, Ssrc(0));
        ssrc(out, media);
        out.extend_from_slice(&[command_sequence, 0, 0, 0]);
    });
}

/// Receiver estimated maximum bitrate for at most 255 sources. The bitrate is rounded down to 18
/// significant bits.
pub fn remb(out: &mut Vec<u8>, sender: Ssrc, bitrate_bps: u64, sources: &[Ssrc]) {
    let sources = &sources[..sources.len().min(255)];
    packet(out, PAYLOAD_SPECIFIC_FEEDBACK, FORMAT_APPLICATION, |out| {
        let exponent = (64 - bitrate_bps.leading_zeros()).saturating_sub(18);
        let mantissa = (bitrate_bps >> exponent) as u32;
        ssrc(out, sender);
        ssrc(out, Ssrc(0));
        out.extend_from_slice(b"REMB");
        let word = (sources.len() as u32) << 24 | exponent << 18 | mantissa;
        out.extend_from_slice(&word.to_be_bytes());
        for &source in sources {
            ssrc(out, source);
        }
    });
}

/// XR that answers receiver reference times (RFC 3611, section 4.5), at most 31 of them.
pub fn dlrr(out: &mut Vec<u8>, sender: Ssrc, answers: &[Dlrr]) {
    const DLRR: u8 = 5;
    let answers = &answers[..answers.len().min(MAX_BLOCKS)];
    packet(out, EXTENDED_REPORT, 0, |out| {
        ssrc(out, sender);
        out.extend_from_slice(&[DLRR, 0, 0, answers.len() as u8 * 3]);
        for answer in answers {
            ssrc(out, answer.receiver);
            out.extend_from_slice(&answer.last_receiver_report.to_be_bytes());
            out.extend_from_slice(&answer.delay_since_last_receiver_report.to_be_bytes());
        }
    });
}
