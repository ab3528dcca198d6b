//! A call between independent clients over one shard and over two.

mod support;

use std::time::Duration;

use kinguicall_netem::{SentPacket, World};
use kinguicall_proto::api::{Event, MediaKind, TransportState};
use support::{PACKETS_PER_FRAME, Vp8Source, picture_id};

#[test]
fn video_reaches_every_subscriber_whole() {
    for shards in [1, 2] {
        let mut world = World::new(shards);
        let publisher = world.connect(0, false);
        let viewers = [world.connect(0, false), world.connect(shards - 1, false)];
        world.run_until_connected();
        let track = world.publish(publisher, MediaKind::Video, 1);
        let subscriptions = viewers.map(|viewer| world.subscribe(viewer, &track));
        Vp8Source::new(&track, 0, 1_000).run(&mut world, 100);
        for (viewer, (_, ssrc)) in viewers.iter().zip(subscriptions) {
            let packets: Vec<_> = world.clients[viewer.0].packets(ssrc).collect();
            assert_eq!(
                packets.len() as u64,
                100 * PACKETS_PER_FRAME,
                "{shards} shards"
            );
            for pair in packets.windows(2) {
                assert_eq!(pair[1].sequence, pair[0].sequence + 1);
            }
            assert_eq!(picture_id(&packets[299].payload), 99);
        }
    }
}

#[test]
fn audio_flows_from_the_first_packet_and_levels_are_reported() {
    let mut world = World::new(1);
    let publisher = world.connect(0, false);
    let listener = world.connect(0, false);
    world.run_until_connected();
    let track = world.publish(publisher, MediaKind::Audio, 1);
    let (_, ssrc) = world.subscribe(listener, &track);
    for n in 0..100u64 {
        world.send(
            &track,
            0,
            &SentPacket {
                sequence: 65_500 + n,
                timestamp: (n as u32).wrapping_mul(960),
                marker: false,
                payload: &[n as u8; 80],
                audio_level: Some(-20),
            },
        );
        world.run(Duration::from_millis(20));
    }
    assert_eq!(world.clients[listener.0].packets(ssrc).count(), 100);
    let loud = world.events.iter().any(|event| {
        matches!(event, Event::AudioLevels(levels)
            if levels.iter().any(|l| l.track == track.id && l.level > 0.05 && l.active_ratio > 0.8))
    });
    assert!(loud, "{:?}", world.events);
}

#[test]
fn subscribers_learn_the_publishers_clock_within_seconds() {
    for shards in [1, 2] {
        let mut world = World::new(shards);
        let publisher = world.connect(0, false);
        let viewer = world.connect(shards - 1, false);
        world.run_until_connected();
        let track = world.publish(publisher, MediaKind::Video, 1);
        let (_, ssrc) = world.subscribe(viewer, &track);
        Vp8Source::new(&track, 0, 1_000).run(&mut world, 200);
        let packets: Vec<_> = world.clients[viewer.0].packets(ssrc).collect();
        let first = packets
            .iter()
            .position(|packet| packet.reported_rtp.is_some());
        let first = first.expect("a sender report has arrived");
        assert!(first < 450, "within five seconds: packet {first}");
        let last = packets.last().expect("video flows");
        let behind = last
            .timestamp
            .wrapping_sub(last.reported_rtp.expect("kept"));
        assert!(
            behind < 3 * 90_000,
            "the report is of the stream's own time line: {behind}"
        );
    }
}

#[test]
fn a_peer_that_leaves_is_noticed() {
    let mut world = World::new(1);
    let client = world.connect(0, false);
    world.run_until_connected();
    world.clients[client.0].rtc.disconnect();
    world.clients.clear();
    world.run(Duration::from_secs(40));
    let last = world.events.iter().rev().find_map(|event| match event {
        Event::TransportState(_, state) => Some(*state),
        _ => None,
    });
    assert!(matches!(last, Some(TransportState::Closed(_))), "{last:?}");
    let stats = world.shard(kinguicall_proto::api::ShardId(0)).stats();
    assert_eq!(
        (stats.transports, stats.tracks, stats.subscriptions),
        (0, 0, 0)
    );
}
