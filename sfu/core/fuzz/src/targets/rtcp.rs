//! A compound RTCP packet, and each of its packets written and read again.

use kinguicall_proto::rtcp::{
    Packet, TransportFeedback, TransportFeedbackHeader, packets, split, write,
};

/// Most sequence numbers that four bytes of a NACK stand for.
const NACK_ITEM: usize = 17;
const MAX_STATUSES: usize = 8_192;
/// Its packet type (RFC 3550, section 6.5).
const SOURCE_DESCRIPTION: u8 = 202;
/// Units of 250 µs after which a feedback's time wraps.
const WRAP: i64 = 1 << 32;

pub fn run(data: &[u8]) {
    let (mut count, mut statuses) = (0, 0);
    for packet in packets(data) {
        count += 1;
        if let Ok(packet) = packet {
            check(data.len(), &packet);
            if let Packet::TransportFeedback(feedback) = packet {
                statuses += feedback.statuses().count();
            }
        }
    }
    assert!(statuses <= MAX_STATUSES);
    assert!(count <= data.len() / 4 + 1);
    check_split(data);
}

fn check_split(data: &[u8]) {
    for max in [0, 64, 1_200] {
        let mut at = 0;
        for piece in split(data, max) {
            assert_eq!(piece, &data[at..at + piece.len()]);
            at += piece.len();
            assert!(piece.len() <= max || is_one_group(piece));
        }
    }
}

/// Whether there is nothing to cut: one packet, and source descriptions that belong to it.
fn is_one_group(piece: &[u8]) -> bool {
    let len = |at: usize| 4 + 4 * usize::from(u16::from_be_bytes([piece[at + 2], piece[at + 3]]));
    let mut at = len(0);
    while at < piece.len() && piece[at + 1] == SOURCE_DESCRIPTION {
        at += len(at);
    }
    at == piece.len()
}

fn check(len: usize, packet: &Packet<'_>) {
    let mut out = Vec::new();
    match packet {
        Packet::SenderReport(report) => {
            let blocks: Vec<_> = report.blocks.collect();
            write::sender_report(&mut out, &report.info, &blocks);
            let Packet::SenderReport(again) = only(&out) else {
                panic!("no sender report");
            };
            assert_eq!(again.info, report.info);
            assert!(again.blocks.eq(blocks));
        }
        Packet::ReceiverReport(report) => {
            let blocks: Vec<_> = report.blocks.collect();
            write::receiver_report(&mut out, report.sender, &blocks);
            let Packet::ReceiverReport(again) = only(&out) else {
                panic!("no receiver report");
            };
            assert_eq!(again.sender, report.sender);
            assert!(again.blocks.eq(blocks));
        }
        Packet::Bye(sources) => {
            let sources: Vec<_> = sources.collect();
            assert!(sources.len() <= write::MAX_BLOCKS);
            write::bye(&mut out, &sources);
            assert!(matches!(only(&out), Packet::Bye(again) if again.eq(sources)));
        }
        Packet::Nack(nack) => {
            let mut sequences: Vec<u16> = nack.collect();
            assert!(!sequences.is_empty() && sequences.len() <= len / 4 * NACK_ITEM);
            write::nack(&mut out, nack.sender, nack.media, &sequences);
            let mut again = Vec::new();
            for packet in packets(&out) {
                match packet {
                    Ok(Packet::Nack(nack)) => again.extend(nack),
                    other => panic!("{other:?} instead of a NACK"),
                }
            }
            for list in [&mut sequences, &mut again] {
                list.sort_unstable();
                list.dedup();
            }
            assert_eq!(again, sequences);
        }
        Packet::Pli(pli) => {
            write::pli(&mut out, pli.sender, pli.media);
            assert!(matches!(only(&out), Packet::Pli(again) if again == *pli));
        }
        Packet::Fir(fir) => {
            for entry in fir.take(64) {
                out.clear();
                write::fir(&mut out, fir.sender, entry.media, entry.command_sequence);
                assert!(matches!(only(&out), Packet::Fir(again) if again.eq([entry])));
            }
            assert!(fir.count() <= len / 8);
        }
        Packet::Remb(remb) => {
            let sources: Vec<_> = remb.ssrcs.collect();
            write::remb(&mut out, remb.sender, remb.bitrate_bps, &sources);
            let Packet::Remb(again) = only(&out) else {
                panic!("no estimate");
            };
            assert_eq!(again.bitrate_bps, remb.bitrate_bps);
            assert!(again.ssrcs.eq(sources));
        }
        Packet::TransportFeedback(feedback) => check_feedback(feedback),
        Packet::SourceDescription | Packet::ExtendedReport(_) | Packet::Unknown { .. } => {}
    }
}

/// The packet of a compound of one.
fn only(compound: &[u8]) -> Packet<'_> {
    let mut all = packets(compound);
    let first = all.next().expect("a packet").expect("a sound packet");
    assert!(all.next().is_none());
    first
}

/// Arrivals, by number with rollovers and time in units of 250 µs.
fn arrivals(base: u64, feedback: &TransportFeedback<'_>) -> Vec<(u64, i64)> {
    let mut time = i64::from(feedback.reference_time) * 256;
    let mut count = 0;
    let mut found = Vec::new();
    for (sequence, delta) in feedback.statuses() {
        assert_eq!(sequence, (base + count) as u16);
        if let Some(delta) = delta {
            time += i64::from(delta);
            found.push((base + count, time));
        }
        count += 1;
    }
    assert!(count as usize <= usize::from(feedback.packet_count).min(MAX_STATUSES));
    found
}

/// However many feedbacks it takes, each arrival is told once.
fn check_feedback(feedback: &TransportFeedback<'_>) {
    let expected = arrivals(u64::from(feedback.base_sequence), feedback);
    let mut base = u64::from(feedback.base_sequence);
    let mut told = Vec::new();
    let mut out = Vec::new();
    while let Some(left) = expected.get(told.len()..).filter(|left| !left.is_empty()) {
        out.clear();
        let header = TransportFeedbackHeader {
            sender: feedback.sender,
            media: feedback.media,
            base_sequence: base,
            feedback_count: feedback.feedback_count,
        };
        let next = header.write(&mut out, left.iter().copied());
        let next = next.expect("there are arrivals");
        assert!(next > base && out.len() <= 1_100);
        let Packet::TransportFeedback(again) = only(&out) else {
            panic!("no feedback");
        };
        told.extend(arrivals(base, &again));
        base = next;
    }
    assert_eq!(told.len(), expected.len());
    for ((number, time), (expected_number, expected_time)) in told.iter().zip(&expected) {
        assert_eq!(number, expected_number);
        assert_eq!(time.rem_euclid(WRAP), expected_time.rem_euclid(WRAP));
    }
}
