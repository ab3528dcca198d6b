//! Joining late, across wraps of the sequence number and gaps in it.

mod support;

use std::time::Duration;

use kinguicall_netem::{OPUS, SentPacket, World};
use kinguicall_proto::api::{
    Codec, Command, MediaKind, SendCodec, Ssrc, Subscribe, SubscriptionId, SubscriptionSettings,
};
use support::{Vp8Source, picture_id};

#[test]
fn a_late_joiner_sees_a_key_frame_within_a_second() {
    for before in [70_000u64, 140_000] {
        let mut world = World::new(1);
        let publisher = world.connect(0, false);
        let viewer = world.connect(0, false);
        world.run_until_connected();
        let track = world.publish(publisher, MediaKind::Audio, 1);
        for n in 0..before {
            send_audio(&mut world, &track, n);
            if n % 20 == 0 {
                world.run(Duration::from_millis(1));
            }
        }
        let (_, ssrc) = world.subscribe(viewer, &track);
        for n in before..before + 25 {
            send_audio(&mut world, &track, n);
            world.run(Duration::from_millis(20));
        }
        let got = world.clients[viewer.0].packets(ssrc).count();
        assert!(got >= 24, "{got} packets after {before}");
        let first = world.clients[viewer.0]
            .packets(ssrc)
            .next()
            .expect("some packet");
        assert!(first.sequence < 65_536, "rollover counter starts at 0");
    }
}

#[test]
fn video_goes_on_over_a_gap_of_40_000_packets_and_a_wrap() {
    let mut world = World::new(1);
    let publisher = world.connect(0, false);
    let viewer = world.connect(0, false);
    world.run_until_connected();
    let track = world.publish(publisher, MediaKind::Video, 1);
    let (_, ssrc) = world.subscribe(viewer, &track);
    Vp8Source::new(&track, 0, 65_400).run(&mut world, 60);
    let before = world.clients[viewer.0].packets(ssrc).count();
    assert_eq!(before, 180, "over the wrap");
    Vp8Source::new(&track, 0, 65_400 + 180 + 40_000).run(&mut world, 60);
    let after = world.clients[viewer.0].packets(ssrc).count();
    assert!(
        after >= before + 170,
        "{} packets after the gap",
        after - before
    );
}

#[test]
fn a_viewer_switches_to_the_layer_that_its_settings_ask_for() {
    let mut world = World::new(1);
    let publisher = world.connect(0, false);
    let viewer = world.connect(0, false);
    world.run_until_connected();
    let track = world.publish(publisher, MediaKind::Video, 3);
    let (id, ssrc) = world.subscribe(viewer, &track);
    let mut layers: Vec<_> = (0..3)
        .map(|layer| Vp8Source::new(&track, layer, 1_000 * (layer as u64 + 1)))
        .collect();
    let mut run = |world: &mut World, frames: u32| {
        for _ in 0..frames {
            let asked = std::mem::take(&mut world.clients[publisher.0].key_frame_requests) > 0;
            for layer in &mut layers {
                layer.frame(world, asked);
            }
            world.run(Duration::from_millis(33));
        }
    };
    run(&mut world, 60);
    let set = |world: &mut World, max_layer| {
        let settings = SubscriptionSettings {
            paused: false,
            max_layer,
            ..SubscriptionSettings::default()
        };
        world.command(track.id.shard(), Command::UpdateSubscription(id, settings));
    };
    assert_eq!(
        layer_of(&world, viewer.0, ssrc),
        2,
        "the top layer by default"
    );
    set(&mut world, 0);
    run(&mut world, 60);
    assert_eq!(layer_of(&world, viewer.0, ssrc), 0);
    set(&mut world, 1);
    run(&mut world, 60);
    assert_eq!(layer_of(&world, viewer.0, ssrc), 1);
    let packets: Vec<_> = world.clients[viewer.0].packets(ssrc).collect();
    for pair in packets.windows(2) {
        assert_eq!(
            pair[1].sequence,
            pair[0].sequence + 1,
            "no hole at a switch"
        );
        let step = pair[1].timestamp.wrapping_sub(pair[0].timestamp);
        assert!(step < 90_000, "time goes on: {step}");
        let pictures = picture_id(&pair[1].payload).wrapping_sub(picture_id(&pair[0].payload));
        assert!(pictures <= 1, "picture ids go on: {pictures}");
    }
}

#[test]
fn a_join_storm_asks_the_publisher_twice_a_second_at_most() {
    let mut world = World::new(1);
    let publisher = world.connect(0, false);
    let viewers: Vec<_> = (0..20).map(|_| world.connect(0, false)).collect();
    world.run_until_connected();
    let track = world.publish(publisher, MediaKind::Video, 1);
    let mut source = Vp8Source::new(&track, 0, 1_000);
    source.run(&mut world, 30);
    world.clients[publisher.0].key_frame_requests = 0;
    let mut requests = 0;
    for viewer in viewers {
        world.subscribe(viewer, &track);
        for _ in 0..3 {
            requests += std::mem::take(&mut world.clients[publisher.0].key_frame_requests);
            source.frame(&mut world, false);
            world.run(Duration::from_millis(33));
        }
    }
    assert!((1..=5).contains(&requests), "{requests} in two seconds");
}

fn layer_of(world: &World, client: usize, ssrc: u32) -> usize {
    let last = world.clients[client]
        .packets(ssrc)
        .last()
        .expect("video flows");
    (last.payload.len() - 900) / 50
}

fn send_audio(world: &mut World, track: &kinguicall_netem::Track, n: u64) {
    world.send(
        track,
        0,
        &SentPacket {
            sequence: 100 + n,
            timestamp: (n as u32).wrapping_mul(960),
            marker: false,
            payload: &[1, 2, 3, 4],
            audio_level: None,
        },
    );
}

#[test]
fn an_ssrc_that_was_sent_under_before_is_never_sent_under_again() {
    let mut world = World::new(1);
    let publisher = world.connect(0, false);
    let viewer = world.connect(0, false);
    world.run_until_connected();
    let track = world.publish(publisher, MediaKind::Audio, 1);
    let (id, ssrc) = world.subscribe(viewer, &track);
    let mut sequence = 0;
    let mut talk = |world: &mut World| {
        for _ in 0..25 {
            send_audio(world, &track, sequence);
            sequence += 1;
            world.run(Duration::from_millis(20));
        }
        world.clients[viewer.0].packets(ssrc).count()
    };
    let before = talk(&mut world);
    assert!(before > 20, "{before} packets of the first subscription");
    let transport = world.clients[viewer.0].transport;
    let request = Subscribe {
        id: SubscriptionId::new(transport.shard(), 9_999),
        transport,
        track: track.id,
        via: None,
        kind: MediaKind::Audio,
        ssrc: Ssrc(ssrc),
        rtx_ssrc: None,
        codecs: vec![SendCodec {
            from_payload_type: OPUS,
            payload_type: OPUS,
            rtx_payload_type: None,
            codec: Codec::Opus,
            clock_rate_hz: 48_000,
        }],
        extensions: Vec::new(),
        first_sequence: 1_000,
        cname: "publisher".to_owned(),
        settings: SubscriptionSettings::default(),
    };
    world.command(transport.shard(), Command::Unsubscribe(id));
    let again = Command::Subscribe(Box::new(request));
    world.command(transport.shard(), again);
    let after = talk(&mut world);
    assert!(after <= before + 1, "{} packets again", after - before);
}
