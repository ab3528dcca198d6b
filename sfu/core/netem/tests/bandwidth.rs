//! Narrow, changing and lossy downlinks with fixed seeds: what is sent follows what fits.
//!
//! What must hold on a network is tried with five seeds, each with its own jitter and, where loss
//! is not the matter, its own time of the change.

#[path = "support/camera.rs"]
#[allow(
    dead_code,
    reason = "each test file looks at something else of the camera"
)]
mod camera;

use std::time::{Duration, Instant};

use camera::{Camera, Viewer, run};
use kinguicall_netem::{
    Bitrate, ClientIndex, DataSize, NetemConfig, Probability, RandomLoss, World,
};
use kinguicall_proto::api::{Command, Event, ShardId, SubscriptionId};

const DELAY: Duration = Duration::from_millis(25);
const JITTER: Duration = Duration::from_millis(3);

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Runs a scenario with each seed, side by side.
fn with_seeds(scenario: impl Fn(u64) + Sync) {
    std::thread::scope(|scope| {
        for seed in 1..6 {
            let scenario = &scenario;
            scope.spawn(move || scenario(seed));
        }
    });
}

/// A link with a queue of 300 ms, at least of some packets.
fn link(kbps: u64) -> NetemConfig {
    let queue = (kbps * 1_000 / 8 * 3 / 10).max(12_000);
    NetemConfig::new()
        .latency(DELAY)
        .jitter(JITTER)
        .link(Bitrate::kbps(kbps), DataSize::bytes(queue as i64))
}

/// A camera and a viewer behind `downlink`, who sends transport feedback.
fn scene(downlink: &NetemConfig, seed: u64) -> (World, Camera, Viewer) {
    let mut world = World::new(1);
    let publisher = world.connect(0, false);
    let client = world.connect(0, false);
    world.run_until_connected();
    world.send_feedback(client);
    let mut camera = Camera::new(&mut world, publisher);
    run(&mut world, &mut camera, &mut [], seconds(1));
    world.clients[client.0].set_network(&NetemConfig::new().latency(DELAY), seed);
    world.clients[client.0].set_downlink(downlink, seed);
    let viewer = Viewer::new(&mut world, client, &camera);
    (world, camera, viewer)
}

fn set_downlink(
    world: &mut World,
    client: ClientIndex,
    config: &NetemConfig,
    seed: u64,
) -> Instant {
    world.clients[client.0].set_downlink(config, seed);
    world.now
}

#[test]
fn follows_a_drop_to_150_kbps_and_its_end() {
    with_seeds(drop_and_recover);
}

fn drop_and_recover(seed: u64) {
    // Whatever the time since the last probe.
    let narrow = Duration::from_millis(24_000 + 1_300 * seed);
    let (mut world, mut camera, mut viewer) = scene(&link(2_000), seed);
    run(&mut world, &mut camera, &mut [&mut viewer], seconds(10));
    let top = viewer.first_of(2, world.start).expect("the top layer fits");
    assert!(top - world.start < seconds(6), "{:?}", top - world.start);

    let client = viewer.client;
    let drop = set_downlink(&mut world, client, &link(150), seed);
    run(&mut world, &mut camera, &mut [&mut viewer], narrow);
    let end = set_downlink(&mut world, client, &link(2_000), seed);
    run(&mut world, &mut camera, &mut [&mut viewer], seconds(12));

    let lowest = viewer.first_of(0, drop).expect("the lowest layer fits");
    assert!(lowest - drop <= seconds(3), "{:?}", lowest - drop);
    let settled = drop + seconds(5);
    let [_, middle, high] = viewer.layers(settled, end);
    assert_eq!((middle, high), (0, 0), "nothing but the lowest layer fits");
    assert!(
        viewer.frozen(settled, end) < 0.10,
        "{}",
        viewer.frozen(settled, end)
    );
    let back = viewer.first_of(2, end).expect("the top layer fits again");
    assert!(back - end <= seconds(10), "{:?}", back - end);
    let silence = viewer.longest_silence(drop, world.now);
    assert!(
        silence < Duration::from_millis(800),
        "{silence:?} without audio"
    );
}

#[test]
fn uses_a_steady_link_of_500_kbps() {
    with_seeds(use_500_kbps);
}

fn use_500_kbps(seed: u64) {
    let (mut world, mut camera, mut viewer) = scene(&link(500), seed);
    run(&mut world, &mut camera, &mut [&mut viewer], seconds(10));
    let from = world.now;
    run(&mut world, &mut camera, &mut [&mut viewer], seconds(30));
    let used = viewer.bitrate_bps(from, world.now) / 500_000.0;
    // Audio and the middle layer are 407 kbit/s; the top layer does not fit.
    assert!(used >= 0.8, "{used}");
    assert!(viewer.frozen(from, world.now) < 0.02);
}

#[test]
fn two_viewers_share_a_link_fairly() {
    with_seeds(share_a_link);
}

fn share_a_link(seed: u64) {
    // How frames, probes and reports happen to meet decides who falls when a probe fails.
    let later = Duration::from_millis(143 * seed * seed);
    let mut world = World::new(1);
    let publisher = world.connect(0, false);
    let clients = [world.connect(0, false), world.connect(0, false)];
    world.run_until_connected();
    let mut camera = Camera::new(&mut world, publisher);
    run(&mut world, &mut camera, &mut [], seconds(1));
    for client in clients {
        world.send_feedback(client);
        world.clients[client.0].set_network(&NetemConfig::new().latency(DELAY), 3);
    }
    world.share_downlink(&clients, link(950).seed(seed));
    let mut first = Viewer::new(&mut world, clients[0], &camera);
    run(
        &mut world,
        &mut camera,
        &mut [&mut first],
        seconds(10) + later,
    );
    let mut second = Viewer::new(&mut world, clients[1], &camera);
    let both = &mut [&mut first, &mut second];
    run(&mut world, &mut camera, both, seconds(12));
    let from = world.now;
    run(&mut world, &mut camera, both, seconds(25));
    let bitrates = [&first, &second].map(|it| it.bitrate_bps(from, world.now));
    let (less, more) = (bitrates[0].min(bitrates[1]), bitrates[0].max(bitrates[1]));
    assert!(less / more >= 0.8, "{bitrates:?}");
    // Both middle layers with audio are 86 % of the link.
    assert!(less + more >= 950_000.0 * 0.8, "{bitrates:?}");
    for viewer in [&first, &second] {
        let frozen = viewer.frozen(from, world.now);
        assert!(frozen < 0.02, "{frozen}");
    }
}

#[test]
fn survives_random_loss() {
    with_seeds(|seed| {
        for (loss, most_frozen) in [(0.05, 0.01), (0.10, 0.03), (0.20, 0.10)] {
            lose(loss, most_frozen, seed);
        }
    });
}

fn lose(loss: f32, most_frozen: f64, seed: u64) {
    let lossy = link(5_000).loss(RandomLoss::new(Probability::new(loss)));
    let (mut world, mut camera, mut viewer) = scene(&link(5_000), seed);
    run(&mut world, &mut camera, &mut [&mut viewer], seconds(5));
    let client = viewer.client;
    let from = set_downlink(&mut world, client, &lossy, seed);
    run(&mut world, &mut camera, &mut [&mut viewer], seconds(25));
    let frozen = viewer.frozen(from, world.now);
    assert!(frozen <= most_frozen, "{frozen} frozen at {loss} of loss");
}

#[test]
fn a_picture_above_the_first_guess_is_not_paused_on_a_wide_link() {
    for bps in [450_000, 600_000, 1_500_000] {
        let mut world = World::new(1);
        let publisher = world.connect(0, false);
        let client = world.connect(0, false);
        world.run_until_connected();
        world.send_feedback(client);
        let mut camera = Camera::with_layers(&mut world, publisher, &[bps]);
        run(&mut world, &mut camera, &mut [], seconds(3));
        let mut viewer = Viewer::new(&mut world, client, &camera);
        let from = world.now + seconds(1);
        run(&mut world, &mut camera, &mut [&mut viewer], seconds(12));
        assert_eq!(paused(&world, viewer.subscription), None, "{bps} bit/s");
        assert!(viewer.frozen(from, world.now) < 0.01);
    }
}

#[test]
fn pauses_what_does_not_fit_and_says_so() {
    let (mut world, mut camera, mut viewer) = scene(&link(60), 1);
    run(&mut world, &mut camera, &mut [&mut viewer], seconds(10));
    assert_eq!(paused(&world, viewer.subscription), Some(true));
    let from = world.now - seconds(5);
    assert_eq!(viewer.layers(from, world.now), [0, 0, 0]);
    assert!(viewer.longest_silence(from, world.now) < Duration::from_millis(200));
    let client = viewer.client;
    set_downlink(&mut world, client, &link(3_000), 1);
    run(&mut world, &mut camera, &mut [&mut viewer], seconds(10));
    assert_eq!(paused(&world, viewer.subscription), Some(false));
    assert!(viewer.first_of(2, from).is_some());
}

#[test]
fn a_limit_holds_on_a_wide_link_and_without_feedback() {
    let mut world = World::new(1);
    let publisher = world.connect(0, false);
    let client = world.connect(0, false);
    world.run_until_connected();
    let mut camera = Camera::new(&mut world, publisher);
    run(&mut world, &mut camera, &mut [], seconds(1));
    let mut viewer = Viewer::new(&mut world, client, &camera);
    run(&mut world, &mut camera, &mut [&mut viewer], seconds(3));
    assert!(
        viewer.first_of(2, world.start).is_some(),
        "nothing limits yet"
    );
    let transport = world.clients[client.0].transport;
    let limit = |bps| Command::LimitBitrate(transport, bps);
    world.command(ShardId(0), limit(Some(400_000)));
    run(&mut world, &mut camera, &mut [&mut viewer], seconds(2));
    let from = world.now;
    run(&mut world, &mut camera, &mut [&mut viewer], seconds(10));
    let bitrate = viewer.bitrate_bps(from, world.now);
    assert!(bitrate <= 400_000.0 * 1.05, "{bitrate}");
    assert_eq!(viewer.layers(from, world.now)[2], 0);
    world.command(ShardId(0), limit(None));
    let from = world.now;
    run(&mut world, &mut camera, &mut [&mut viewer], seconds(3));
    assert!(
        viewer.first_of(2, from).is_some(),
        "the limit has been lifted"
    );
}

#[test]
fn an_estimate_falls_while_nothing_is_acknowledged() {
    with_seeds(|seed| {
        let (mut world, mut camera, mut viewer) = scene(&link(3_000), seed);
        run(&mut world, &mut camera, &mut [&mut viewer], seconds(10));
        let estimate = |world: &World| {
            let stats = world.shard(ShardId(0)).stats();
            let estimates = stats.transport_stats.iter();
            estimates.filter_map(|it| it.estimate_bps).sum::<u64>() as f64
        };
        let before = estimate(&world);
        let client = viewer.client;
        let deaf = NetemConfig::new().loss(RandomLoss::new(Probability::new(1.0)));
        world.clients[client.0].set_network(&deaf, seed);
        let from = set_downlink(&mut world, client, &link(3_000), seed);
        run(&mut world, &mut camera, &mut [&mut viewer], seconds(12));
        // Eight to ten seconds of falling, by when it is looked at.
        let left = estimate(&world) / before;
        assert!((0.10..0.17).contains(&left), "{left} of {before} is left");
        assert!(viewer.first_of(0, from).is_some(), "a lower layer flows");
        world.clients[client.0].set_network(&NetemConfig::new().latency(DELAY), seed);
        let end = set_downlink(&mut world, client, &link(3_000), seed);
        run(&mut world, &mut camera, &mut [&mut viewer], seconds(6));
        let back = viewer.first_of(2, end).expect("the top layer fits again");
        assert!(back - end <= seconds(5), "{:?}", back - end);
    });
}

/// What was last said about a subscription.
fn paused(world: &World, of: SubscriptionId) -> Option<bool> {
    world.events.iter().rev().find_map(|event| match event {
        Event::StreamState {
            subscription,
            paused,
        } if *subscription == of => Some(*paused),
        _ => None,
    })
}
