//! Bad networks with fixed seeds: what a viewer and a listener still get.

mod support;

use std::time::Duration;

use kinguicall_netem::{
    ClientIndex, GilbertElliot, LossModel, NetemConfig, Probability, RandomLoss, World,
};
use kinguicall_proto::api::MediaKind;
use support::{PACKETS_PER_FRAME, Vp8Source};

const FRAMES: u32 = 600;

/// Share of packets that a viewer has got within the run, everybody behind the same network.
fn delivered(loss: impl Into<LossModel>, both_sides: bool) -> f64 {
    let config = NetemConfig::new()
        .latency(Duration::from_millis(30))
        .jitter(Duration::from_millis(5))
        .loss(loss);
    let mut world = World::new(1);
    let publisher = world.connect(0, false);
    let viewer = world.connect(0, false);
    world.run_until_connected();
    let track = world.publish(publisher, MediaKind::Video, 1);
    let (_, ssrc) = world.subscribe(viewer, &track);
    let mut source = Vp8Source::new(&track, 0, 1_000);
    source.run(&mut world, 30);
    world.clients[viewer.0].set_network(&config, 7);
    if both_sides {
        world.clients[publisher.0].set_network(&config, 77);
    }
    source.run(&mut world, FRAMES);
    world.clients[publisher.0].set_network(&NetemConfig::new(), 1);
    world.clients[viewer.0].set_network(&NetemConfig::new(), 1);
    source.run(&mut world, 60);
    let sequences = sequences(&world, viewer, ssrc);
    let expected = u64::from(FRAMES + 90) * PACKETS_PER_FRAME;
    sequences.len() as f64 / expected as f64
}

fn sequences(world: &World, viewer: ClientIndex, ssrc: u32) -> std::collections::BTreeSet<u64> {
    let packets = world.clients[viewer.0].packets(ssrc);
    packets.map(|packet| packet.sequence).collect()
}

#[test]
fn retransmission_repairs_ten_percent_of_loss() {
    let share = delivered(RandomLoss::new(Probability::new(0.10)), false);
    assert!(share >= 0.999, "{share}");
}

#[test]
fn retransmission_repairs_loss_on_both_sides() {
    let share = delivered(RandomLoss::new(Probability::new(0.05)), true);
    assert!(share >= 0.999, "{share}");
}

#[test]
fn retransmission_repairs_bursts() {
    let share = delivered(GilbertElliot::cellular(), true);
    assert!(share >= 0.998, "{share}");
}
