//! RTCP: what is written reads back; published, hostile and random bytes are survived.

use std::path::PathBuf;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::api::Ssrc;

const SENDER: Ssrc = Ssrc(0x1234_5678);
const MEDIA: Ssrc = Ssrc(0x2345_6789);

fn only(bytes: &[u8]) -> Packet<'_> {
    let mut all = packets(bytes);
    let first = all.next().expect("a packet").expect("well-formed");
    assert!(all.next().is_none(), "more than one packet");
    first
}

/// Reads everything that a compound holds; returns how many things that were.
fn read_all(bytes: &[u8]) -> usize {
    packets(bytes)
        .map(|packet| match packet {
            Ok(Packet::SenderReport(report)) => 1 + report.blocks.count(),
            Ok(Packet::ReceiverReport(report)) => 1 + report.blocks.count(),
            Ok(Packet::Bye(sources)) => 1 + sources.count(),
            Ok(Packet::Nack(nack)) => 1 + nack.count(),
            Ok(Packet::Fir(fir)) => 1 + fir.count(),
            Ok(Packet::Remb(remb)) => 1 + remb.ssrcs.count(),
            Ok(Packet::TransportFeedback(feedback)) => 1 + feedback.statuses().count(),
            _ => 1,
        })
        .sum()
}

fn nacked(bytes: &[u8]) -> Vec<u16> {
    packets(bytes)
        .flat_map(|packet| match packet.expect("well-formed") {
            Packet::Nack(nack) => {
                assert_eq!((nack.sender, nack.media), (SENDER, MEDIA));
                nack.collect::<Vec<_>>()
            }
            other => panic!("not a NACK: {other:?}"),
        })
        .collect()
}

fn feedback(bytes: &[u8]) -> TransportFeedback<'_> {
    match only(bytes) {
        Packet::TransportFeedback(feedback) => feedback,
        other => panic!("not transport feedback: {other:?}"),
    }
}

/// Reads feedback back into `(sequence number, ticks)`, and what it says is missing.
fn arrivals(feedback: &TransportFeedback<'_>) -> (Vec<(u16, i64)>, Vec<u16>) {
    let mut ticks = i64::from(feedback.reference_time) * 256;
    let (mut arrived, mut missing) = (Vec::new(), Vec::new());
    for (sequence, delta) in feedback.statuses() {
        match delta {
            Some(delta) => {
                ticks += i64::from(delta);
                arrived.push((sequence, ticks));
            }
            None => missing.push(sequence),
        }
    }
    (arrived, missing)
}

#[test]
fn chromium_receiver_report_with_remb() {
    let bytes = hex(
        "81c9000700000001f2892c59000000000000be37000001d62c1af80c00005728\
         8fce000500000001000000005245 4d420112a994f2892c59",
    );
    let mut all = packets(&bytes);
    let Some(Ok(Packet::ReceiverReport(mut report))) = all.next() else {
        panic!("a receiver report comes first");
    };
    assert_eq!(
        report.blocks.next(),
        Some(ReportBlock {
            ssrc: Ssrc(0xf289_2c59),
            fraction_lost: 0,
            cumulative_lost: 0,
            highest_sequence: 0xbe37,
            jitter: 0x1d6,
            last_sender_report: 0x2c1a_f80c,
            delay_since_last_sender_report: 0x5728,
        })
    );
    let Some(Ok(Packet::Remb(remb))) = all.next() else {
        panic!("REMB follows");
    };
    // Exponent 4, mantissa 0x2a994.
    assert_eq!(remb.bitrate_bps, 0x2a994 << 4);
    assert_eq!(remb.ssrcs.collect::<Vec<_>>(), [Ssrc(0xf289_2c59)]);
    assert!(all.next().is_none());
}

#[test]
fn known_transport_feedback() {
    // Captured from a browser: one run of ten small deltas.
    let bytes = hex("8fcd000716ca50ceae6572570a74000a053f58bb200ae000040000000000140 0");
    let feedback = feedback(&bytes);
    assert_eq!(feedback.base_sequence, 0x0a74);
    assert_eq!(feedback.reference_time, 0x053f58);
    assert_eq!(feedback.feedback_count, 0xbb);
    let deltas: Vec<_> = feedback.statuses().map(|(_, delta)| delta).collect();
    let expected = [0xe0, 0, 4, 0, 0, 0, 0, 0, 0x14, 0].map(Some);
    assert_eq!(deltas, expected);

    // What is written for these arrivals is the browser's packet.
    let (arrived, missing) = arrivals(&feedback);
    assert!(missing.is_empty());
    let header = TransportFeedbackHeader {
        sender: feedback.sender,
        media: feedback.media,
        base_sequence: u64::from(feedback.base_sequence),
        feedback_count: feedback.feedback_count,
    };
    let mut out = Vec::new();
    let list = arrived
        .iter()
        .map(|&(sequence, ticks)| (u64::from(sequence), ticks));
    assert_eq!(header.write(&mut out, list), Some(0x0a74 + 10));
    assert_eq!(out, bytes);
}

/// The chunks for packets that arrive all at once, but for one that takes a large delta.
fn chunks_of(missing: impl Fn(u64) -> bool, count: u64, large: Option<u64>) -> Vec<u8> {
    let header = TransportFeedbackHeader {
        sender: SENDER,
        media: MEDIA,
        base_sequence: 0,
        feedback_count: 0,
    };
    let mut out = Vec::new();
    let list = (0..count)
        .filter(|sequence| !missing(*sequence))
        .map(|sequence| (sequence, i64::from(large == Some(sequence)) * 300));
    header.write(&mut out, list);
    let arrived = (0..count).filter(|sequence| !missing(*sequence)).count();
    // There and back again.
    let extra = if large.is_some() { 2 } else { 0 };
    let padding = if out[0] & 0x20 != 0 {
        out[out.len() - 1]
    } else {
        0
    };
    out[20..out.len() - usize::from(padding) - arrived - extra].to_vec()
}

#[test]
fn statuses_take_the_shortest_chunks() {
    // One run, however long.
    assert_eq!(chunks_of(|_| false, 900, None), hex("2384"));
    // Mixed: 14 to a chunk while deltas are small.
    assert_eq!(chunks_of(|at| at % 2 == 1, 15, None), hex("aaaa 2001"));
    // 7 to a chunk around large deltas (there and back again).
    assert_eq!(chunks_of(|_| false, 7, Some(3)), hex("d5a5"));
    // A short gap takes no chunk of its own, a long one does.
    assert_eq!(chunks_of(|at| (1..8).contains(&at), 9, None), hex("a020"));
    let long = chunks_of(|at| (1..50).contains(&at), 51, None);
    assert_eq!(long, hex("a000 0024 2001"));
}

#[test]
fn negative_loss_survives() {
    let block = ReportBlock {
        ssrc: MEDIA,
        fraction_lost: 3,
        cumulative_lost: -5,
        highest_sequence: 7,
        jitter: 8,
        last_sender_report: 9,
        delay_since_last_sender_report: 10,
    };
    let mut out = Vec::new();
    write::receiver_report(&mut out, SENDER, &[block]);
    let Packet::ReceiverReport(mut report) = only(&out) else {
        panic!("a receiver report");
    };
    assert_eq!(report.blocks.next(), Some(block));
}

#[test]
fn framing_errors_end_the_compound_and_content_errors_do_not() {
    let mut out = Vec::new();
    // A receiver report that counts one block and has none.
    out.extend_from_slice(&hex("81c90001ae528b43"));
    write::pli(&mut out, SENDER, MEDIA);
    out.extend_from_slice(&hex("80c90002 00000000"));
    let all: Vec<_> = packets(&out).collect();
    assert!(matches!(
        all[0],
        Err(RtcpError::Malformed {
            packet_type: 201,
            ..
        })
    ));
    assert!(matches!(all[1], Ok(Packet::Pli(pli)) if pli.media == MEDIA));
    assert_eq!(all[2].as_ref().err(), Some(&RtcpError::Length(4)));
    assert_eq!(all.len(), 3);
}

#[test]
fn padding_is_dropped_and_checked() {
    let padded = hex("a1cb0002 12345678 00000004");
    let Packet::Bye(sources) = only(&padded) else {
        panic!("a BYE");
    };
    assert_eq!(sources.collect::<Vec<_>>(), [SENDER]);
    for wrong in ["a1cb0001 00000000", "a1cb0001 000000ff"] {
        let bytes = hex(wrong);
        assert_eq!(
            packets(&bytes).next().and_then(Result::err),
            Some(RtcpError::Padding(203))
        );
    }
}

#[test]
fn remb_with_more_sources_than_bytes() {
    let bytes = hex("8fce0004 12345678 00000000 52454d42 ff07fb93");
    assert!(matches!(packets(&bytes).next(), Some(Err(_))));
}

#[test]
fn remb_that_no_link_can_have() {
    let bytes = hex("8fce0004 12345678 00000000 52454d42 00ffffff");
    assert!(matches!(packets(&bytes).next(), Some(Err(_))));
    let zero = hex("8fce0004 12345678 00000000 52454d42 00fc0000");
    assert!(matches!(only(&zero), Packet::Remb(remb) if remb.bitrate_bps == 0));
}

#[test]
fn source_descriptions_of_any_size_are_skipped() {
    // 40 chunks behind a count of 31, then a PLI that must still be found.
    let mut out = vec![0x9f, 202, 0, 80];
    out.extend_from_slice(&[0; 40 * 8]);
    write::pli(&mut out, SENDER, MEDIA);
    let all: Vec<_> = packets(&out).collect();
    assert!(matches!(all[0], Ok(Packet::SourceDescription)));
    assert!(matches!(all[1], Ok(Packet::Pli(_))));
}

#[test]
fn cname_ends_on_a_word_with_at_least_one_zero() {
    for len in 0..=9 {
        let cname = "abcdefghi".get(..len).expect("ASCII");
        let mut out = Vec::new();
        write::sdes_cname(&mut out, SENDER, cname);
        assert!(matches!(only(&out), Packet::SourceDescription));
        assert_eq!(
            &out[4..10],
            [&[0x12, 0x34, 0x56, 0x78, 1, len as u8][..]].concat()
        );
        assert_eq!(&out[10..10 + len], cname.as_bytes());
        let end = &out[10 + len..];
        assert!((1..=4).contains(&end.len()) && end.iter().all(|&byte| byte == 0));
    }
}

#[test]
fn receiver_reference_time_and_its_answer() {
    let request = hex("80cf0004 12345678 04000002 1122334455667788");
    let Packet::ExtendedReport(report) = only(&request) else {
        panic!("an extended report");
    };
    assert_eq!(report.sender, SENDER);
    let ntp = report.receiver_reference_time.expect("a reference time");
    assert_eq!(ntp, 0x1122_3344_5566_7788);

    let mut out = Vec::new();
    let answer = Dlrr::answer(report.sender, ntp, Duration::from_millis(500));
    write::dlrr(&mut out, MEDIA, &[answer]);
    assert_eq!(
        out,
        hex("80cf0005 23456789 05000003 12345678 33445566 00008000")
    );
}

#[test]
fn extended_report_blocks_beyond_the_end() {
    // A DLRR block that counts 255 words in a packet of four.
    let bytes = hex("80cf0003 12345678 050000ff 00000000");
    assert!(matches!(packets(&bytes).next(), Some(Err(_))));
}

#[test]
fn transport_feedback_extremes() {
    // Large deltas of -32,766, -32,767 and -32,768, then a reserved symbol.
    let bytes = hex("8fcd0006 12345678 23456789 00010004 00000100 ea c0 8002 8001 8000");
    let feedback = feedback(&bytes);
    let statuses: Vec<_> = feedback.statuses().collect();
    assert_eq!(
        statuses,
        [
            (1, Some(-32_766)),
            (2, Some(-32_767)),
            (3, Some(-32_768)),
            (4, None)
        ]
    );
}

#[test]
fn transport_feedback_that_counts_more_than_it_has() {
    // One run of 5 with two deltas.
    let bytes = hex("8fcd0005 12345678 23456789 fffe0005 00000100 2005 0102");
    let statuses: Vec<_> = feedback(&bytes).statuses().collect();
    assert_eq!(statuses, [(0xfffe, Some(1)), (0xffff, Some(2))]);
    // 8,192 packets with chunks for 3.
    let bytes = hex("8fcd0005 12345678 23456789 fffe2000 00000100 0002 0001");
    assert_eq!(self::feedback(&bytes).statuses().count(), 3);
    // 65,535 packets are more than anybody remembers.
    let bytes = hex("8fcd0005 12345678 23456789 fffeffff 00000100 1fff 1fff");
    assert!(matches!(packets(&bytes).next(), Some(Err(_))));
    // Runs of length 0 do not hang.
    let bytes = hex("8fcd0005 12345678 23456789 fffe0100 00000100 0000 0000");
    assert_eq!(self::feedback(&bytes).statuses().count(), 0);
}

#[test]
fn runs_that_nobody_remembers_are_not_walked() {
    // 7,000 missing packets from 65,000 on, two that have arrived, and 1,000 missing again.
    let bytes = hex("8fcd0006 12345678 23456789 fde81f42 00000100 1b58 2002 03e8 0102");
    let feedback = feedback(&bytes);
    let all: Vec<_> = feedback.statuses().collect();
    assert_eq!(all.len(), 8_002);
    let arrived = 65_000_u16.wrapping_add(7_000);
    for (first, len) in [
        (arrived.wrapping_sub(20), 50),
        (arrived, 1),
        (arrived.wrapping_add(1), 1_024),
        (64_000, 2_000),
        (65_000, 8_002),
    ] {
        let is_held = |it: &(u16, Option<i16>)| it.0.wrapping_sub(first) < len;
        let held: Vec<_> = feedback.statuses_of(first, len).filter(is_held).collect();
        let expected: Vec<_> = all.iter().copied().filter(is_held).collect();
        assert_eq!(held, expected, "{len} from {first}");
        let walked = feedback.statuses_of(first, len).count();
        assert!(walked <= held.len() + 2, "{walked} of {len} from {first}");
    }
    assert_eq!(feedback.statuses_of(20_000, 1_024).count(), 0);
}

#[test]
fn a_compound_of_much_feedback_costs_no_more_than_one() {
    let run = |count: u16| {
        let mut bytes = vec![0x8f, 205, 0, 5];
        bytes.extend([0; 10]);
        bytes.extend(count.to_be_bytes());
        bytes.extend([0, 0, 1, 0]);
        bytes.extend((count & 0x1fff).to_be_bytes());
        bytes.extend([0; 2]);
        bytes
    };
    let statuses = |compound: &[u8]| -> usize {
        let feedback = packets(compound).filter_map(|packet| match packet {
            Ok(Packet::TransportFeedback(feedback)) => Some(feedback.statuses().count()),
            _ => None,
        });
        feedback.sum()
    };
    assert_eq!(statuses(&run(8_000)), 8_000);
    let mut hostile = run(8_000).repeat(80);
    hostile.extend(run(192));
    assert_eq!(packets(&hostile).count(), 81);
    assert_eq!(statuses(&hostile), 8_192);
}

#[test]
fn feedback_stops_before_a_delta_that_does_not_fit() {
    let header = TransportFeedbackHeader {
        sender: SENDER,
        media: MEDIA,
        base_sequence: 100,
        feedback_count: 0,
    };
    let list = [(101, 1_000), (102, 1_000 + 32_767), (103, 100_000)];
    let mut out = Vec::new();
    assert_eq!(header.write(&mut out, list.into_iter()), Some(103));
    let (arrived, missing) = arrivals(&feedback(&out));
    assert_eq!(arrived, [(101, 1_000), (102, 33_767)]);
    assert_eq!(missing, [100]);
    assert_eq!(header.write(&mut out, std::iter::empty()), None);
}

#[test]
fn feedback_fits_a_datagram_whatever_the_gaps() {
    for gap in [2, 8, 15, 20, 50] {
        let header = TransportFeedbackHeader {
            sender: SENDER,
            media: MEDIA,
            base_sequence: 0,
            feedback_count: 0,
        };
        let mut out = Vec::new();
        let list = (0..8_000 / gap).map(|at| (at * gap, 0));
        header.write(&mut out, list);
        assert!(out.len() <= 1_030, "{} bytes for gaps of {gap}", out.len());
    }
}

#[test]
fn one_item_asks_for_17_packets() {
    let mut out = Vec::new();
    write::nack(&mut out, SENDER, MEDIA, &[65_530, 65_531, 10, 11]);
    assert_eq!(out, hex("81cd0004 12345678 23456789 fffa8001 000b0000"));
}

#[test]
fn feedback_skips_a_gap_that_nobody_remembers() {
    let header = TransportFeedbackHeader {
        sender: SENDER,
        media: MEDIA,
        base_sequence: 0,
        feedback_count: 0,
    };
    let mut out = Vec::new();
    let list = [(1_000_000, 0), (1_000_001, 5), (1_009_000, 6)];
    assert_eq!(header.write(&mut out, list.into_iter()), Some(1_000_002));
    let feedback = feedback(&out);
    assert_eq!(feedback.base_sequence, 1_000_000_u64 as u16);
    assert_eq!(feedback.packet_count, 2);
}

fn corpus() -> Vec<Vec<u8>> {
    let root = std::env::var_os("KINGUICALL_CORPORA").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../../shared/corpora"),
        PathBuf::from,
    );
    let Ok(files) = std::fs::read_dir(root.join("rtcp")) else {
        return Vec::new();
    };
    files
        .filter_map(|file| std::fs::read(file.ok()?.path()).ok())
        .collect()
}

#[test]
fn corpus_and_all_its_truncations_are_survived() {
    for sample in corpus() {
        for end in 0..=sample.len() {
            read_all(&sample[..end]);
        }
        for at in 0..sample.len().min(64) {
            for bit in 0..8 {
                let mut mutated = sample.clone();
                mutated[at] ^= 1 << bit;
                read_all(&mutated);
            }
        }
    }
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<_> = text
        .chars()
        .filter_map(|digit| digit.to_digit(16))
        .collect();
    digits
        .chunks(2)
        .map(|pair| (pair[0] << 4 | pair[1]) as u8)
        .collect()
}

prop_compose! {
    fn report_block()(
        ssrc: u32,
        fraction_lost: u8,
        cumulative_lost in -0x80_0000..=0x7f_ffff_i32,
        highest_sequence: u32,
        jitter: u32,
        last_sender_report: u32,
        delay_since_last_sender_report: u32,
    ) -> ReportBlock {
        ReportBlock {
            ssrc: Ssrc(ssrc),
            fraction_lost,
            cumulative_lost,
            highest_sequence,
            jitter,
            last_sender_report,
            delay_since_last_sender_report,
        }
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..1_500)) {
        read_all(&bytes);
    }

    #[test]
    fn arbitrary_content_of_known_types_is_bounded(
        packet_type in 200_u8..208,
        format in 0_u8..32,
        words in prop::collection::vec(any::<u32>(), 0..370),
    ) {
        let mut bytes = vec![0x80 | format, packet_type];
        bytes.extend_from_slice(&(words.len() as u16).to_be_bytes());
        bytes.extend(words.iter().flat_map(|word| word.to_be_bytes()));
        prop_assert!(read_all(&bytes) <= 1 + 8_192.max(bytes.len() / 4 * 17));
    }

    #[test]
    fn reports_read_back(
        blocks in prop::collection::vec(report_block(), 0..40),
        (ssrc, ntp, rtp, packet_count, octet_count) in any::<(u32, u64, u32, u32, u32)>(),
    ) {
        let info = SenderInfo { ssrc: Ssrc(ssrc), ntp, rtp, packet_count, octet_count };
        let sent = &blocks[..blocks.len().min(31)];
        let mut out = Vec::new();
        write::sender_report(&mut out, &info, &blocks);
        let Packet::SenderReport(report) = only(&out) else { panic!("an SR") };
        prop_assert_eq!(report.info, info);
        prop_assert_eq!(report.blocks.collect::<Vec<_>>(), sent);

        out.clear();
        write::receiver_report(&mut out, info.ssrc, &blocks);
        let Packet::ReceiverReport(report) = only(&out) else { panic!("an RR") };
        prop_assert_eq!(report.sender, info.ssrc);
        prop_assert_eq!(report.blocks.collect::<Vec<_>>(), sent);
    }

    #[test]
    fn nacks_read_back(
        start: u16,
        steps in prop::collection::vec(prop_oneof![1_u16..4, 1_u16..40, 1_u16..160], 1..400),
    ) {
        let mut sequence = start;
        let sequences: Vec<u16> = steps
            .iter()
            .map(|step| {
                sequence = sequence.wrapping_add(*step);
                sequence
            })
            .collect();
        let mut out = Vec::new();
        write::nack(&mut out, SENDER, MEDIA, &sequences);
        prop_assert_eq!(nacked(&out), sequences);
    }

    #[test]
    fn small_packets_read_back(sources in prop::collection::vec(any::<u32>().prop_map(Ssrc), 1..40)) {
        let mut out = Vec::new();
        write::bye(&mut out, &sources);
        let Packet::Bye(read) = only(&out) else { panic!("a BYE") };
        prop_assert_eq!(read.collect::<Vec<_>>(), &sources[..sources.len().min(31)]);

        out.clear();
        write::fir(&mut out, SENDER, sources[0], 9);
        let Packet::Fir(fir) = only(&out) else { panic!("a FIR") };
        prop_assert_eq!(
            fir.collect::<Vec<_>>(),
            [FirEntry { media: sources[0], command_sequence: 9 }]
        );
    }

    #[test]
    fn remb_reads_back_within_its_precision(
        bitrate in any::<u64>(),
        shift in 0_u32..64,
        sources in prop::collection::vec(any::<u32>().prop_map(Ssrc), 0..300),
    ) {
        let bitrate = bitrate >> shift;
        let mut out = Vec::new();
        write::remb(&mut out, SENDER, bitrate, &sources);
        let Packet::Remb(remb) = only(&out) else { panic!("a REMB") };
        prop_assert!(remb.bitrate_bps <= bitrate);
        prop_assert!(bitrate - remb.bitrate_bps <= bitrate >> 17);
        prop_assert_eq!(remb.ssrcs.collect::<Vec<_>>(), &sources[..sources.len().min(255)]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn transport_feedback_reads_back(
        base in 0_u64..200_000,
        start in 0_i64..1_000_000_000,
        steps in prop::collection::vec(
            (
                prop_oneof![8 => Just(0_u64), 2 => 1_u64..4, 1 => 1_u64..300, 1 => 1_000_u64..12_000],
                prop_oneof![8 => 0_i64..256, 3 => -400_i64..2_000, 1 => -40_000_i64..40_000],
            ),
            1..700,
        ),
    ) {
        let (mut sequence, mut ticks) = (base, start);
        let list: Vec<(u64, i64)> = steps
            .iter()
            .map(|&(gap, delta)| {
                ticks = (ticks + delta).max(0);
                let item = (sequence + gap, ticks);
                sequence += gap + 1;
                item
            })
            .collect();
        let mut header = TransportFeedbackHeader {
            sender: SENDER,
            media: MEDIA,
            base_sequence: base,
            feedback_count: 255,
        };
        let mut read = Vec::new();
        let mut rest = &list[..];
        while !rest.is_empty() {
            let mut out = Vec::new();
            let next = header.write(&mut out, rest.iter().copied()).expect("arrivals");
            prop_assert!(out.len() <= 1_100, "{} bytes", out.len());
            let feedback = feedback(&out);
            prop_assert_eq!(feedback.statuses().count(), usize::from(feedback.packet_count));
            let (arrived, missing) = arrivals(&feedback);
            let taken = rest.iter().take_while(|&&(sequence, _)| sequence < next).count();
            prop_assert!(taken > 0);
            prop_assert_eq!(arrived.len() + missing.len(), usize::from(feedback.packet_count));
            read.extend(arrived);
            rest = &rest[taken..];
            header.base_sequence = next;
            header.feedback_count = header.feedback_count.wrapping_add(1);
        }
        // Reference times wrap at 24 bits.
        let wrap = 1_i64 << 32;
        let sent: Vec<_> = list.iter().map(|&(sequence, ticks)| (sequence as u16, ticks.rem_euclid(wrap))).collect();
        let read: Vec<_> = read.into_iter().map(|(sequence, ticks)| (sequence, ticks.rem_euclid(wrap))).collect();
        prop_assert_eq!(read, sent);
    }
}
