//! RTCP that is authentic, well formed and far too much: what it costs, and whom.

mod support;

use std::time::Duration;

use kinguicall_netem::{ClientIndex, OPUS, Published, Track, World};
use kinguicall_proto::api::{MediaKind, ShardId, Ssrc, TrackId};
use kinguicall_proto::rtcp::{SenderInfo, write};
use kinguicall_proto::rtp::{OutHeader, write_header};
use kinguicall_proto::stats::DropReason;
use support::{PACKETS_PER_FRAME, Vp8Source};

const MICROPHONE: Ssrc = Ssrc(5_000);

/// One packet of audio, so that the SSRC is known.
fn speak(world: &mut World, attacker: usize, sequence: u16) {
    let mut packet = [0x55; 60];
    let fields = OutHeader {
        payload_type: OPUS,
        marker: false,
        sequence,
        timestamp: u32::from(sequence) * 960,
        ssrc: MICROPHONE,
    };
    assert_ne!(write_header(&mut packet, &fields, &[(4, b"x")]), 0);
    world.attackers[attacker].send_rtp(&packet, 0);
    world.run(Duration::from_millis(20));
}

fn listen(world: &mut World, listener: ClientIndex, id: TrackId) -> u32 {
    let published = Published {
        client: listener,
        kind: MediaKind::Audio,
        ssrcs: Vec::new(),
    };
    let (_, ssrc) = world.subscribe(listener, &Track { id, published });
    ssrc
}

#[test]
fn sender_reports_are_passed_on_a_few_times_a_second_and_the_last_one_is() {
    let mut world = World::new(3);
    let listeners = [world.connect(1, false), world.connect(2, false)];
    let attacker = world.connect_attacker(0);
    world.run_until_connected();
    let id = world.publish_attacker(attacker, "x");
    let ssrcs = listeners.map(|it| listen(&mut world, it, id));
    speak(&mut world, attacker, 1);
    let before = world.host(ShardId(0)).messages_sent;
    let mut info = SenderInfo {
        ssrc: MICROPHONE,
        ntp: 0xe000_0000 << 32,
        rtp: 0,
        packet_count: 1,
        octet_count: 60,
    };
    for _ in 0..1_000 {
        let mut compound = Vec::new();
        for _ in 0..30 {
            info.ntp += 1 << 20;
            info.rtp = info.rtp.wrapping_add(11);
            write::sender_report(&mut compound, &info, &[]);
        }
        world.attackers[attacker].send_rtcp(&compound);
        world.run(Duration::from_millis(1));
    }
    let messages = world.host(ShardId(0)).messages_sent - before;
    // Four a second to each of two shards, and the last one.
    assert!((4..=12).contains(&messages), "{messages} messages");
    world.run(Duration::from_secs(1));
    for sequence in 2..400 {
        speak(&mut world, attacker, sequence);
    }
    for (listener, ssrc) in listeners.into_iter().zip(ssrcs) {
        let last = world.clients[listener.0].packets(ssrc).last();
        let reported = last.and_then(|it| it.reported_rtp);
        assert!(reported.is_some(), "the publisher's clock has arrived");
    }
}

#[test]
fn a_flood_of_feedback_is_cut_and_others_notice_nothing() {
    let mut world = World::new(1);
    let publisher = world.connect(0, false);
    let viewer = world.connect(0, false);
    let attacker = world.connect_attacker(0);
    world.run_until_connected();
    let track = world.publish(publisher, MediaKind::Video, 1);
    let (_, ssrc) = world.subscribe(viewer, &track);
    let attacked = world.subscribe_attacker(attacker, &track);
    let mut source = Vp8Source::new(&track, 0, 1_000);
    for _ in 0..60 {
        source.run(&mut world, 1);
        for _ in 0..1_000 {
            let mut compound = Vec::new();
            write::remb(&mut compound, Ssrc(1), 10_000_000, &[Ssrc(attacked)]);
            write::pli(&mut compound, Ssrc(1), Ssrc(attacked));
            world.attackers[attacker].send_rtcp(&compound);
        }
    }
    let stats = world.shard(ShardId(0)).stats();
    let cut = stats.counters.dropped[DropReason::TooFast as usize];
    // 60,000 in two seconds, of 4,000 a second and a burst of half a second.
    assert!((48_000..=54_000).contains(&cut), "{cut}");
    let seen = world.clients[viewer.0].packets(ssrc).count() as u64;
    assert_eq!(seen, 60 * PACKETS_PER_FRAME);
}

#[test]
fn a_compound_is_answered_once() {
    let mut world = World::new(1);
    let attacker = world.connect_attacker(0);
    world.run_until_connected();
    // A receiver's reference time, sixty times over (RFC 3611, section 4.4).
    let mut report = vec![0x80, 207, 0, 4, 0, 0, 0, 1, 4, 0, 0, 2];
    report.extend(7_u64.to_be_bytes());
    world.attackers[attacker].send_rtcp(&report.repeat(60));
    world.run(Duration::from_millis(10));
    assert_eq!(world.attackers[attacker].rtcp_datagrams, 1);
}
