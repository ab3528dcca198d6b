//! Key frames whose first packet is lost on the way in and repaired late.

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use kinguicall_netem::{ClientIndex, SentPacket, Track, World};
use kinguicall_proto::api::MediaKind;
use support::vp8_payload;

const FRAME: Duration = Duration::from_millis(33);
const BEFORE: u64 = 999;
const KEY: u64 = 1_000;
const KEY_FRAME_PACKETS: u64 = 10;

struct Scene {
    world: World,
    track: Track,
    publisher: ClientIndex,
}

impl Scene {
    fn new(shards: u8) -> Self {
        let mut world = World::new(shards);
        let publisher = world.connect(0, false);
        world.run_until_connected();
        let track = world.publish(publisher, MediaKind::Video, 1);
        Self {
            world,
            track,
            publisher,
        }
    }

    fn viewer(&mut self, shard: u8) -> (ClientIndex, u32) {
        let viewer = self.world.connect(shard, false);
        self.world.run_until_connected();
        let (_, ssrc) = self.world.subscribe(viewer, &self.track);
        self.world.run(Duration::from_millis(5));
        (viewer, ssrc)
    }

    /// One packet of frame number `frame`.
    fn send(&mut self, sequence: u64, frame: u16, start: bool, key: bool, marker: bool) {
        let payload = vp8_payload(frame, start, key);
        let packet = SentPacket {
            sequence,
            timestamp: u32::from(frame) * 3_000,
            marker,
            payload: &payload,
            audio_level: None,
        };
        self.world.send(&self.track, 0, &packet);
    }

    /// A key frame without its first packet, and `frames` more, each of one packet.
    fn send_beheaded(&mut self, frames: u16) {
        for n in 1..KEY_FRAME_PACKETS {
            self.send(KEY + n, 2, false, true, n == KEY_FRAME_PACKETS - 1);
        }
        self.world.run(FRAME);
        self.go_on(0, frames);
    }

    fn go_on(&mut self, from: u16, frames: u16) {
        for n in from..from + frames {
            let sequence = KEY + KEY_FRAME_PACKETS + u64::from(n);
            self.send(sequence, 3 + n, true, false, true);
            self.world.run(FRAME);
        }
    }

    fn repair(&mut self) {
        self.send(KEY, 2, true, true, false);
        self.world.run(Duration::from_millis(5));
    }

    fn numbers(&self, viewer: (ClientIndex, u32)) -> Vec<u64> {
        let packets = self.world.clients[viewer.0.0].packets(viewer.1);
        packets.map(|it| it.sequence).collect()
    }
}

/// Nothing is missing between the first and the last, and nothing came twice.
fn assert_whole(numbers: &[u64], packets: u64) {
    let set: BTreeSet<u64> = numbers.iter().copied().collect();
    assert_eq!(
        set.len(),
        numbers.len(),
        "something came twice: {numbers:?}"
    );
    assert_eq!(set.len() as u64, packets, "{numbers:?}");
    let span = set
        .last()
        .zip(set.first())
        .map(|(last, first)| last - first + 1);
    assert_eq!(span, Some(packets), "{numbers:?}");
}

#[test]
fn who_waits_gets_what_came_before_the_late_first_packet() {
    for shard in [0, 1] {
        let mut scene = Scene::new(2);
        let viewer = scene.viewer(shard);
        scene.send(BEFORE, 1, true, false, true);
        scene.world.run(FRAME);
        scene.send_beheaded(2);
        assert!(scene.numbers(viewer).is_empty());
        scene.world.clients[scene.publisher.0].key_frame_requests = 0;
        scene.repair();
        assert_whole(&scene.numbers(viewer), KEY_FRAME_PACKETS + 2);
        scene.go_on(2, 20);
        assert_whole(&scene.numbers(viewer), KEY_FRAME_PACKETS + 22);
        let asked = scene.world.clients[scene.publisher.0].key_frame_requests;
        assert_eq!(asked, 0, "no further key frame is needed");
        let got: Vec<_> = scene.world.clients[viewer.0.0].packets(viewer.1).collect();
        assert!(got.is_sorted_by_key(|it| it.sequence), "in order");
    }
}

#[test]
fn who_watches_gets_the_late_packet_alone() {
    let mut scene = Scene::new(1);
    let viewer = scene.viewer(0);
    scene.send(BEFORE, 1, true, true, true);
    scene.world.run(FRAME);
    scene.send_beheaded(2);
    let late = scene.viewer(0);
    scene.repair();
    scene.go_on(2, 5);
    assert_whole(&scene.numbers(viewer), 1 + KEY_FRAME_PACKETS + 7);
    assert_whole(&scene.numbers(late), KEY_FRAME_PACKETS + 7);
}

#[test]
fn a_hole_behind_the_late_packet_is_filled_when_it_comes() {
    let mut scene = Scene::new(1);
    let viewer = scene.viewer(0);
    scene.send(BEFORE, 1, true, false, true);
    scene.world.run(FRAME);
    for n in (1..KEY_FRAME_PACKETS).filter(|n| *n != 4) {
        scene.send(KEY + n, 2, false, true, n == KEY_FRAME_PACKETS - 1);
    }
    scene.world.run(FRAME);
    scene.repair();
    assert_eq!(scene.numbers(viewer).len() as u64, KEY_FRAME_PACKETS - 1);
    scene.send(KEY + 4, 2, false, true, false);
    scene.go_on(0, 3);
    assert_whole(&scene.numbers(viewer), KEY_FRAME_PACKETS + 3);
}

#[test]
fn who_is_too_far_behind_gets_a_new_key_frame_instead() {
    let mut scene = Scene::new(1);
    let viewer = scene.viewer(0);
    scene.send(BEFORE, 1, true, false, true);
    scene.world.run(FRAME);
    for n in 1..400 {
        scene.send(KEY + n, 2, false, true, n == 399);
        scene.world.run(Duration::from_millis(1));
    }
    scene.world.clients[scene.publisher.0].key_frame_requests = 0;
    scene.repair();
    scene.world.run(Duration::from_secs(1));
    assert!(scene.numbers(viewer).is_empty());
    assert!(scene.world.clients[scene.publisher.0].key_frame_requests > 0);
}
