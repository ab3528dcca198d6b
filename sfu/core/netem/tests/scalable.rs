//! VP9 and AV1 with spatial layers in one stream: each viewer gets its part of it, without a hole.

mod support;

use std::time::Duration;

use kinguicall_netem::{ClientIndex, NetemConfig, Probability, RandomLoss, Received, Track, World};
use kinguicall_proto::api::{Command, MediaKind, SubscriptionId, SubscriptionSettings};
use support::scalable::{Format, Mode, ScalableSource, layers};

struct Viewer {
    client: ClientIndex,
    id: SubscriptionId,
    ssrc: u32,
}

struct Call {
    world: World,
    track: Track,
    source: ScalableSource,
    viewer: Viewer,
}

/// A publisher on one shard and a viewer on another.
fn call(format: Format, mode: Mode) -> Call {
    let mut world = World::new(2);
    let publisher = world.connect(0, false);
    let client = world.connect(1, false);
    world.run_until_connected();
    let track = world.publish(publisher, MediaKind::Video, 1);
    let (id, ssrc) = world.subscribe(client, &track);
    Call {
        source: ScalableSource::new(&track, format, mode),
        world,
        track,
        viewer: Viewer { client, id, ssrc },
    }
}

impl Call {
    fn limit(&mut self, max_layer: u8, max_temporal_layer: u8) {
        let settings = SubscriptionSettings {
            max_layer,
            max_temporal_layer,
            ..SubscriptionSettings::default()
        };
        let command = Command::UpdateSubscription(self.viewer.id, settings);
        self.world.command(self.viewer.id.shard(), command);
    }

    /// What arrives while `pictures` pictures are sent.
    fn run(&mut self, pictures: usize) -> Vec<Received> {
        let before = self.packets().len();
        self.source.run(&mut self.world, pictures);
        self.packets().split_off(before)
    }

    fn packets(&self) -> Vec<Received> {
        let client = &self.world.clients[self.viewer.client.0];
        client.packets(self.viewer.ssrc).cloned().collect()
    }
}

/// Every picture ends with a marker, and no packet but its last has one.
fn assert_whole_pictures(packets: &[Received]) {
    for pair in packets.windows(2) {
        assert_eq!(pair[1].sequence, pair[0].sequence + 1, "a hole");
        let ends = pair[1].timestamp != pair[0].timestamp;
        assert_eq!(pair[0].marker, ends, "{:?}", layers(&pair[0]));
    }
}

#[test]
fn a_viewer_gets_the_spatial_layer_that_it_asks_for() {
    for format in [Format::Av1, Format::Vp9] {
        for mode in [Mode::Full, Mode::Key] {
            let mut call = call(format, mode);
            let high = call.run(60);
            let top = high.iter().filter(|p| layers(p).0 == 2).count();
            assert!(top >= 58 * 2, "{format:?} {mode:?}: {top}");
            call.limit(0, 255);
            call.run(30);
            let low = call.run(40);
            assert!(low.iter().all(|p| layers(p).0 == 0), "{format:?} {mode:?}");
            assert_eq!(low.len(), 80, "all its pictures");
            call.limit(1, 255);
            call.run(30);
            let middle = call.run(40);
            let top = middle.iter().map(|p| layers(p).0).max();
            assert_eq!(top, Some(1), "{format:?} {mode:?}");
            call.limit(2, 255);
            call.run(30);
            let high = call.run(40);
            let top = high.iter().filter(|p| layers(p).0 == 2).count();
            assert_eq!(top, 80, "{format:?} {mode:?}");
            assert_whole_pictures(&call.packets());
        }
    }
}

#[test]
fn a_frame_rate_is_limited_without_a_key_frame() {
    for format in [Format::Av1, Format::Vp9] {
        for mode in [Mode::Full, Mode::Key] {
            let mut call = call(format, mode);
            call.run(20);
            call.limit(2, 0);
            call.run(8);
            let slow = call.run(40);
            assert!(slow.iter().all(|p| layers(p).1 == 0));
            let pictures: std::collections::BTreeSet<_> =
                slow.iter().map(|p| p.timestamp).collect();
            assert_eq!(pictures.len(), 10, "{format:?} {mode:?}");
            call.limit(2, 255);
            call.run(8);
            let full = call.run(40);
            let fast = full.iter().filter(|p| layers(p) == (2, 2)).count();
            assert_eq!(fast, 40, "{format:?} {mode:?}");
            assert_whole_pictures(&call.packets());
        }
    }
}

#[test]
fn key_svc_sends_the_lower_layers_with_key_frames_only() {
    let mut call = call(Format::Av1, Mode::Key);
    call.run(10);
    let steady = call.run(40);
    assert!(steady.iter().all(|p| layers(p).0 == 2));
}

#[test]
fn the_descriptor_goes_to_who_negotiated_it() {
    let mut call = call(Format::Av1, Mode::Full);
    let packets = call.run(10);
    assert!(packets.iter().all(|p| p.descriptor.len() >= 3));
    assert!(
        packets[0].descriptor.len() > 16,
        "the structure comes first"
    );
    let numbers: Vec<u16> = packets
        .iter()
        .map(|p| u16::from_be_bytes([p.descriptor[1], p.descriptor[2]]))
        .collect();
    for pair in numbers.windows(2) {
        assert!(pair[1].wrapping_sub(pair[0]) <= 1, "{numbers:?}");
    }
}

#[test]
fn one_viewers_choice_does_not_touch_the_others() {
    let mut call = call(Format::Av1, Mode::Full);
    let other = call.world.connect(0, false);
    call.world.run_until_connected();
    let (_, ssrc) = call.world.subscribe(other, &call.track);
    call.run(40);
    call.limit(0, 0);
    let before = call.world.clients[other.0].packets(ssrc).count();
    call.run(40);
    let after = call.world.clients[other.0].packets(ssrc).count();
    assert_eq!(after - before, 40 * 6);
}

#[test]
fn lost_packets_of_the_chosen_layers_come_again_as_they_were() {
    for format in [Format::Av1, Format::Vp9] {
        let mut call = call(format, Mode::Full);
        call.run(20);
        call.limit(1, 1);
        call.run(20);
        let network = NetemConfig::new()
            .latency(Duration::from_millis(20))
            .loss(RandomLoss::new(Probability::new(0.05)));
        call.world.clients[call.viewer.client.0].set_network(&network, 9);
        let start = call.packets().len();
        call.run(400);
        call.world.clients[call.viewer.client.0].set_network(&NetemConfig::new(), 1);
        call.run(40);
        let mut by_sequence = std::collections::BTreeMap::new();
        for packet in call.packets().split_off(start) {
            let first = by_sequence
                .entry(packet.sequence)
                .or_insert_with(|| packet.clone());
            assert_eq!(first.payload, packet.payload);
            assert_eq!(first.descriptor, packet.descriptor);
            assert_eq!(first.marker, packet.marker);
        }
        let (first, last) = (
            by_sequence.keys().next().expect("video"),
            by_sequence.keys().last().expect("video"),
        );
        assert_eq!(
            last - first + 1,
            by_sequence.len() as u64,
            "nothing is missing"
        );
        assert!(
            by_sequence
                .values()
                .all(|p| layers(p).0 <= 1 && layers(p).1 <= 1)
        );
    }
}
