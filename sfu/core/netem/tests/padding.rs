//! A publisher without RTX pads on the media SSRC: empty packets in between that mean nothing to viewers.

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use kinguicall_netem::{
    ClientIndex, NetemConfig, Probability, RandomLoss, Received, SentPacket, Track, World,
};
use kinguicall_proto::api::MediaKind;
use support::{picture_id, vp8_payload};

const FRAME: Duration = Duration::from_millis(33);
const PADDING: u64 = 20;

struct Scene {
    world: World,
    track: Track,
    publisher: ClientIndex,
    viewer: ClientIndex,
    ssrc: u32,
    sequence: u64,
    frame: u16,
}

impl Scene {
    fn new(shard: u8) -> Self {
        let mut world = World::new(2);
        let publisher = world.connect(0, false);
        let viewer = world.connect(shard, false);
        world.run_until_connected();
        let track = world.publish(publisher, MediaKind::Video, 1);
        let (_, ssrc) = world.subscribe(viewer, &track);
        Self {
            world,
            track,
            publisher,
            viewer,
            ssrc,
            sequence: 1_000,
            frame: 0,
        }
    }

    fn send(&mut self, payload: &[u8], marker: bool) {
        let packet = SentPacket {
            sequence: self.sequence,
            timestamp: u32::from(self.frame) * 3_000,
            marker,
            payload,
            audio_level: None,
        };
        self.world.send(&self.track, 0, &packet);
        self.sequence += 1;
    }

    /// Frames of two packets, each followed by padding that has the frame's timestamp.
    fn run(&mut self, frames: u16) {
        for _ in 0..frames {
            self.frame += 1;
            let requests = &mut self.world.clients[self.publisher.0].key_frame_requests;
            let key = std::mem::take(requests) > 0 || self.frame == 1;
            self.send(&vp8_payload(self.frame, true, key), false);
            self.send(&vp8_payload(self.frame, false, key), true);
            for _ in 0..PADDING {
                self.send(&[], false);
            }
            self.world.run(FRAME);
        }
    }

    fn received(&self) -> impl Iterator<Item = &Received> {
        self.world.clients[self.viewer.0].packets(self.ssrc)
    }

    /// By their number: what came twice came with the same content.
    fn by_number(&self) -> BTreeMap<u64, &Received> {
        let mut numbers = BTreeMap::new();
        for packet in self.received() {
            if let Some(before) = numbers.insert(packet.sequence, packet) {
                assert_eq!(before.payload, packet.payload, "{}", packet.sequence);
            }
        }
        numbers
    }
}

#[test]
fn empty_packets_stay_here_and_numbers_close_up() {
    for shard in [0, 1] {
        let mut scene = Scene::new(shard);
        scene.run(60);
        let numbers: Vec<u64> = scene.received().map(|it| it.sequence).collect();
        assert_eq!(numbers.len(), 120);
        assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]));
        assert!(scene.received().all(|it| !it.payload.is_empty()));
    }
}

#[test]
fn what_is_asked_for_across_left_out_numbers_is_the_right_packet() {
    let mut scene = Scene::new(0);
    scene.run(10);
    let lossy = NetemConfig::new()
        .latency(Duration::from_millis(20))
        .loss(RandomLoss::new(Probability::new(0.10)));
    scene.world.clients[scene.viewer.0].set_downlink(&lossy, 5);
    scene.run(200);
    let perfect = NetemConfig::new();
    scene.world.clients[scene.viewer.0].set_downlink(&perfect, 5);
    scene.run(30);
    let got = scene.by_number();
    let first = *got.keys().next().expect("a picture");
    assert_eq!(got.len(), 480, "all of 240 frames");
    for (number, packet) in got {
        let frame = (number - first) / 2 + 1;
        assert_eq!(u64::from(picture_id(&packet.payload)), frame);
    }
}

#[test]
fn reordering_and_loss_on_the_way_in_leave_no_hole_behind() {
    let mut scene = Scene::new(0);
    scene.run(5);
    let bad = NetemConfig::new()
        .latency(Duration::from_millis(15))
        .reorder_gap(7)
        .loss(RandomLoss::new(Probability::new(0.02)));
    scene.world.clients[scene.publisher.0].set_network(&bad, 11);
    scene.run(300);
    let perfect = NetemConfig::new();
    scene.world.clients[scene.publisher.0].set_network(&perfect, 11);
    scene.run(60);
    let got = scene.by_number();
    let media = got.values().filter(|it| !it.payload.is_empty()).count();
    assert_eq!(media, 730, "all of 365 frames");
    let span = got.last_key_value().zip(got.first_key_value());
    let span = span.map(|((last, _), (first, _))| last - first + 1);
    assert_eq!(span, Some(got.len() as u64), "no number is missing");
    let fillers = got.len() - media;
    assert!(
        (1..=400).contains(&fillers),
        "{fillers} empty packets of 7,300"
    );
}
