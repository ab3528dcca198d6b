//! Temporal layers: a viewer who wants fewer frames gets a stream without holes.

mod support;

use std::time::Duration;

use kinguicall_netem::{ClientIndex, NetemConfig, Probability, RandomLoss, Received, World};
use kinguicall_proto::api::{Command, MediaKind, SubscriptionId, SubscriptionSettings};
use support::{PACKETS_PER_FRAME, Vp8Source, picture_id, temporal_id};

struct Call {
    world: World,
    publisher: ClientIndex,
    viewer: ClientIndex,
    source: Vp8Source,
    id: SubscriptionId,
    ssrc: u32,
}

/// A publisher with three temporal layers and one viewer, on shards of their own.
fn call() -> Call {
    let mut world = World::new(2);
    let publisher = world.connect(0, false);
    let viewer = world.connect(1, false);
    world.run_until_connected();
    let track = world.publish(publisher, MediaKind::Video, 1);
    let (id, ssrc) = world.subscribe(viewer, &track);
    let source = Vp8Source::new(&track, 0, 65_000).with_temporal_layers();
    Call {
        world,
        publisher,
        viewer,
        source,
        id,
        ssrc,
    }
}

impl Call {
    fn limit(&mut self, max_temporal_layer: u8) {
        let settings = SubscriptionSettings {
            max_temporal_layer,
            ..SubscriptionSettings::default()
        };
        let command = Command::UpdateSubscription(self.id, settings);
        self.world.command(self.id.shard(), command);
    }

    /// What arrives while `frames` frames are sent.
    fn run(&mut self, frames: u32) -> Vec<Received> {
        let before = self.packets().len();
        self.source.run(&mut self.world, frames);
        self.packets().split_off(before)
    }

    fn packets(&self) -> Vec<Received> {
        let viewer = &self.world.clients[self.viewer.0];
        viewer.packets(self.ssrc).cloned().collect()
    }
}

#[test]
fn fewer_frames_are_asked_for_and_come_back_without_a_hole() {
    let mut call = call();
    let share = |packets: &[Received]| packets.len() as u64 / PACKETS_PER_FRAME;
    call.run(16);
    assert_eq!(share(&call.run(64)), 64);
    call.limit(1);
    call.run(8);
    let half = call.run(64);
    assert_eq!(share(&half), 32);
    assert!(half.iter().all(|p| temporal_id(&p.payload) <= 1));
    call.limit(0);
    call.run(8);
    let quarter = call.run(64);
    assert_eq!(share(&quarter), 16);
    assert!(quarter.iter().all(|p| temporal_id(&p.payload) == 0));
    call.limit(255);
    call.run(24);
    assert_eq!(share(&call.run(64)), 64, "all of them are back");
    let publisher = &call.world.clients[call.publisher.0];
    assert_eq!(publisher.key_frame_requests, 0, "no key frame was needed");
    for pair in call.packets().windows(2) {
        assert_eq!(pair[1].sequence, pair[0].sequence + 1);
        let new = picture_id(&pair[1].payload);
        let step = new.wrapping_sub(picture_id(&pair[0].payload)) & 0x7fff;
        assert!(step <= 1, "a hole of {step} pictures");
        let tl0 = pair[1].payload[4].wrapping_sub(pair[0].payload[4]);
        assert!(tl0 <= 1, "a hole of {tl0} base frames");
    }
}

/// Lost packets come again: each number stands for the same bytes, and nothing stays missing but
/// the places of packets that came late and were not wanted.
#[test]
fn retransmission_and_left_out_frames_do_not_mix_up() {
    let seeds = [3, 13, 23, 33, 43, 53];
    let (holes, wanted) = seeds
        .map(repaired_with_frames_left_out)
        .into_iter()
        .fold((0, 0), |sum, run| (sum.0 + run.0, sum.1 + run.1));
    // As many packets are left out as wanted, and of those one in twenty is lost on its way here; most
    // are found out about when their place has been passed.
    assert!(holes * 20 <= wanted, "{holes} holes among {wanted}");
}

/// Returns how many numbers were never used, and how many packets there should be.
fn repaired_with_frames_left_out(seed: u64) -> (u64, u64) {
    let mut call = call();
    call.limit(1);
    call.run(30);
    let network = NetemConfig::new()
        .latency(Duration::from_millis(20))
        .loss(RandomLoss::new(Probability::new(0.05)));
    call.world.clients[call.publisher.0].set_network(&network, seed);
    call.world.clients[call.viewer.0].set_network(&network, 9);
    call.run(600);
    call.world.clients[call.publisher.0].set_network(&NetemConfig::new(), 1);
    call.world.clients[call.viewer.0].set_network(&NetemConfig::new(), 1);
    call.run(60);
    let packets = call.packets();
    let mut by_sequence = std::collections::BTreeMap::new();
    for packet in &packets {
        let first = by_sequence.entry(packet.sequence).or_insert(packet);
        assert_eq!(first.payload, packet.payload, "two packets of one number");
        assert!(temporal_id(&packet.payload) <= 1);
    }
    let wanted = 690 * PACKETS_PER_FRAME / 2;
    let missing = wanted.saturating_sub(by_sequence.len() as u64);
    assert!(missing * 100 <= wanted, "{missing} of {wanted} missing");
    let highest = by_sequence.keys().last().expect("video flows") + 1 - 17;
    let holes = highest - by_sequence.len() as u64;
    let mut pictures: Vec<u16> = by_sequence
        .values()
        .map(|p| picture_id(&p.payload))
        .collect();
    pictures.dedup();
    for pair in pictures.windows(2) {
        assert!(pair[1] > pair[0], "picture ids grow with the numbers");
    }
    (holes, wanted)
}
