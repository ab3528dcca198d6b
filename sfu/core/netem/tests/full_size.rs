//! How soon a viewer who asks for the full size has it, when the publisher has not negotiated RTX and
//! probes the network with hundreds of empty packets a second under the SSRCs of its media.

#[path = "support/camera.rs"]
#[allow(
    dead_code,
    reason = "each test file looks at something else of the viewer"
)]
mod camera;

use std::time::Duration;

use camera::{Camera, LAYERS_BPS, Viewer, run};
use kinguicall_netem::{Bitrate, DataSize, NetemConfig, World};
use kinguicall_proto::api::{Command, SubscriptionSettings};

const TICK: Duration = Duration::from_millis(1);
const SWITCHED: Duration = Duration::from_secs(2);

struct Scene {
    world: World,
    camera: Camera,
    viewer: Viewer,
    /// Of each layer, one empty packet every so many milliseconds.
    padding: [u64; 3],
    ticks: u64,
}

impl Scene {
    fn new(padding: [u64; 3]) -> Self {
        let mut world = World::new(1);
        let publisher = world.connect(0, false);
        let client = world.connect(0, false);
        world.run_until_connected();
        world.send_feedback(client);
        let link = NetemConfig::new()
            .latency(Duration::from_millis(10))
            .link(Bitrate::kbps(20_000), DataSize::bytes(100_000));
        world.clients[client.0].set_network(&link, 1);
        let video = world.publish_without_rtx(publisher, LAYERS_BPS.len() as u8);
        let mut camera = Camera::of(&mut world, publisher, video, &LAYERS_BPS);
        run(&mut world, &mut camera, &mut [], Duration::from_secs(1));
        let video = world.subscribe(client, &camera.video);
        let viewer = Viewer::of(&world, client, video, None);
        Self {
            world,
            camera,
            viewer,
            padding,
            ticks: 0,
        }
    }

    fn run(&mut self, time: Duration) {
        let end = self.world.now + time;
        while self.world.now < end {
            self.ticks += 1;
            for (layer, every) in self.padding.iter().enumerate() {
                if *every > 0 && self.ticks.is_multiple_of(*every) {
                    self.camera.pad(&mut self.world, layer);
                }
            }
            run(
                &mut self.world,
                &mut self.camera,
                &mut [&mut self.viewer],
                TICK,
            );
        }
    }

    fn ask(&mut self, max_layer: u8) {
        let settings = SubscriptionSettings {
            max_layer,
            ..SubscriptionSettings::default()
        };
        let id = self.viewer.subscription;
        self.world
            .command(id.shard(), Command::UpdateSubscription(id, settings));
    }
}

#[test]
fn the_full_size_is_there_two_seconds_after_it_is_asked_for() {
    // 1,000, 700 and 1,000 empty packets a second, on one layer or on all of them.
    for padding in [[1, 0, 0], [0, 0, 1], [4, 4, 5]] {
        let mut scene = Scene::new(padding);
        for turn in 0..4 {
            scene.ask(0);
            scene.run(Duration::from_millis(4_000 + 330 * turn));
            let asked = scene.world.now;
            scene.ask(2);
            scene.run(Duration::from_secs(3));
            let first = scene.viewer.first_of(2, asked);
            let took = first.map(|at| at - asked);
            assert!(
                took.is_some_and(|took| took <= SWITCHED),
                "{padding:?}: {took:?} in turn {turn}"
            );
        }
        let packets = scene.world.clients[scene.viewer.client.0].received.iter();
        let empty = packets.filter(|it| it.payload.is_empty()).count();
        assert_eq!(empty, 0, "padding is not forwarded");
    }
}
