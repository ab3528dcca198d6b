//! A peer's address changes in the middle of a call, as when a NAT forgets its mapping or a phone
//! leaves the Wi-Fi.

mod support;

use std::net::SocketAddr;
use std::time::Duration;

use kinguicall_netem::{ClientIndex, NetemConfig, Track, World};
use kinguicall_proto::api::MediaKind;
use support::{PACKETS_PER_FRAME, Vp8Source};

/// Longest time without media: until the next check comes from the new address.
const LONGEST_GAP: Duration = Duration::from_secs(4);
const SECOND_OF_FRAMES: u32 = 30;

fn elsewhere(port: u16) -> SocketAddr {
    SocketAddr::from(([198, 51, 100, 7], port))
}

fn call() -> (World, Track, ClientIndex, ClientIndex, u32) {
    let mut world = World::new(1);
    let publisher = world.connect(0, false);
    let viewer = world.connect(0, false);
    world.run_until_connected();
    let delay = NetemConfig::new().latency(Duration::from_millis(20));
    for client in [publisher, viewer] {
        world.clients[client.0].set_network(&delay, 5);
    }
    let track = world.publish(publisher, MediaKind::Video, 1);
    let (_, ssrc) = world.subscribe(viewer, &track);
    (world, track, publisher, viewer, ssrc)
}

/// Sends for some seconds after one of both has moved; returns how long the viewer got nothing.
fn gap_after_move(world: &mut World, source: &mut Vp8Source, viewer: usize, ssrc: u32) -> Duration {
    let moved_at = world.now;
    source.run(world, 8 * SECOND_OF_FRAMES);
    let arrivals = world.clients[viewer].packets(ssrc).map(|packet| packet.at);
    let mut last = moved_at;
    let mut gap = Duration::ZERO;
    for at in arrivals.filter(|at| *at >= moved_at) {
        gap = gap.max(at - last);
        last = at;
    }
    gap.max(world.now - last)
}

#[test]
fn a_viewer_that_moves_sees_on() {
    let (mut world, track, _, viewer, ssrc) = call();
    let mut source = Vp8Source::new(&track, 0, 100);
    source.run(&mut world, 2 * SECOND_OF_FRAMES);
    for port in [4_000, 4_001] {
        world.clients[viewer.0].seen_as = elsewhere(port);
        let gap = gap_after_move(&mut world, &mut source, viewer.0, ssrc);
        assert!(gap < LONGEST_GAP, "{gap:?}");
    }
    let last = world.clients[viewer.0].packets(ssrc).last().map(|it| it.at);
    assert!(last.is_some_and(|at| world.now - at < Duration::from_millis(100)));
}

#[test]
fn a_publisher_that_moves_is_seen_on() {
    let (mut world, track, publisher, viewer, ssrc) = call();
    let mut source = Vp8Source::new(&track, 0, 100);
    source.run(&mut world, 2 * SECOND_OF_FRAMES);
    world.clients[publisher.0].seen_as = elsewhere(4_000);
    let gap = gap_after_move(&mut world, &mut source, viewer.0, ssrc);
    assert!(gap < LONGEST_GAP, "{gap:?}");
    let before = world.clients[viewer.0].packets(ssrc).count();
    source.run(&mut world, SECOND_OF_FRAMES);
    world.run(Duration::from_millis(100));
    let got = world.clients[viewer.0].packets(ssrc).count() - before;
    assert!(
        got as u64 >= u64::from(SECOND_OF_FRAMES) * PACKETS_PER_FRAME,
        "{got}"
    );
}

#[test]
fn a_publisher_that_moves_is_asked_for_a_key_frame_at_once() {
    let (mut world, track, publisher, ..) = call();
    let mut source = Vp8Source::new(&track, 0, 100);
    source.run(&mut world, 2 * SECOND_OF_FRAMES);
    let asked = |world: &World| world.clients[publisher.0].key_frame_requests;
    let (before, moved_at) = (asked(&world), world.now);
    world.clients[publisher.0].seen_as = elsewhere(4_000);
    let round_trip = Duration::from_millis(60);
    let limit = LONGEST_GAP + round_trip;
    while asked(&world) == before && world.now < moved_at + limit {
        source.run(&mut world, 1);
    }
    assert!(asked(&world) > before, "not asked within {limit:?}");
}

#[test]
fn a_viewer_that_moves_loses_nothing_once_its_new_address_is_known() {
    let (mut world, track, _, viewer, ssrc) = call();
    let mut source = Vp8Source::new(&track, 0, 100);
    source.run(&mut world, 2 * SECOND_OF_FRAMES);
    world.clients[viewer.0].seen_as = elsewhere(4_000);
    gap_after_move(&mut world, &mut source, viewer.0, ssrc);
    let before = world.clients[viewer.0].packets(ssrc).count();
    source.run(&mut world, 10 * SECOND_OF_FRAMES);
    world.run(Duration::from_millis(100));
    let got = (world.clients[viewer.0].packets(ssrc).count() - before) as u64;
    let all = u64::from(10 * SECOND_OF_FRAMES) * PACKETS_PER_FRAME;
    assert!(got >= all - PACKETS_PER_FRAME, "{got} of {all}");
}

#[test]
fn a_stranger_cannot_move_a_peer() {
    let (mut world, track, publisher, viewer, ssrc) = call();
    let mut source = Vp8Source::new(&track, 0, 100);
    source.run(&mut world, SECOND_OF_FRAMES);
    // Media and rubbish from an address without a check, while the peer itself goes on.
    for _ in 0..50 {
        for from in [elsewhere(1), world.clients[publisher.0].seen_as] {
            world.inject(kinguicall_proto::api::ShardId(0), from, vec![0x80; 200]);
        }
    }
    let gap = gap_after_move(&mut world, &mut source, viewer.0, ssrc);
    assert!(gap < Duration::from_millis(200), "{gap:?}");
}
