//! A picture that has been paused comes back once the path is good again: whatever has paused it, and
//! whatever there is to find that out with.
//!
//! Each way is tried at several times within the cycle in which a path is looked at.

#[path = "support/camera.rs"]
#[allow(
    dead_code,
    reason = "each test file looks at something else of the viewer"
)]
mod camera;

use std::time::{Duration, Instant};

use camera::{Camera, LAYERS_BPS, Viewer, run};
use kinguicall_netem::{Bitrate, DataSize, NetemConfig, Probability, RandomLoss, Repairs, World};
use kinguicall_proto::api::{Event, ShardId, SubscriptionId};

const DELAY: Duration = Duration::from_millis(25);
/// In which a picture must be back.
const BACK: Duration = Duration::from_secs(5);
const TICK: Duration = Duration::from_millis(1);
const HERE: ShardId = ShardId(0);

fn link(kbps: u64) -> NetemConfig {
    let queue = (kbps * 1_000 / 8 * 3 / 10).max(6_000);
    NetemConfig::new()
        .latency(DELAY)
        .link(Bitrate::kbps(kbps), DataSize::bytes(queue as i64))
}

/// What there is to find out with what the path carries.
#[derive(Debug, Clone, Copy)]
struct Viewing {
    repairs: Repairs,
    with_audio: bool,
    /// A picture larger than what is assumed of a path at first.
    is_large: bool,
}

impl Viewing {
    fn all() -> impl Iterator<Item = Self> {
        let repairs = [Repairs::ByRtx, Repairs::ByRtxUnheard, Repairs::None];
        repairs.into_iter().flat_map(|repairs| {
            [(false, true), (true, false)].map(|(with_audio, is_large)| Self {
                repairs,
                with_audio,
                is_large,
            })
        })
    }

    /// A publisher, and a viewer who has not subscribed yet.
    fn scene(self) -> (World, Camera) {
        let mut world = World::new(1);
        let publisher = world.connect(0, false);
        let client = world.connect(0, false);
        world.run_until_connected();
        world.send_feedback(client);
        let layers: &[u32] = match self.is_large {
            true => &[700_000],
            false => &LAYERS_BPS,
        };
        let mut camera = Camera::with_layers(&mut world, publisher, layers);
        run(&mut world, &mut camera, &mut [], Duration::from_secs(2));
        world.clients[client.0].set_network(&NetemConfig::new().latency(DELAY), 1);
        (world, camera)
    }

    fn subscribe(self, world: &mut World, camera: &Camera) -> Viewer {
        let client = kinguicall_netem::ClientIndex(1);
        let audio = self
            .with_audio
            .then(|| world.subscribe(client, &camera.audio).1);
        let video = world.subscribe_with(client, &camera.video, self.repairs);
        Viewer::of(world, client, video, audio)
    }
}

/// Runs a scenario in each way, side by side.
fn in_every_way(scenario: impl Fn(Viewing, Duration) + Sync) {
    std::thread::scope(|scope| {
        for viewing in Viewing::all() {
            let scenario = &scenario;
            scope.spawn(move || {
                for phase in 0..2 {
                    scenario(viewing, Duration::from_millis(1_700) * phase);
                }
            });
        }
    });
}

#[test]
fn after_a_narrow_path() {
    in_every_way(|viewing, phase| {
        let (mut world, mut camera) = viewing.scene();
        let mut viewer = viewing.subscribe(&mut world, &camera);
        let wide = Duration::from_secs(5);
        run(&mut world, &mut camera, &mut [&mut viewer], wide);
        let kbps = if viewing.is_large { 100 } else { 50 };
        world.clients[viewer.client.0].set_downlink(&link(kbps), 1);
        let narrow = Duration::from_secs(12) + phase;
        run(&mut world, &mut camera, &mut [&mut viewer], narrow);
        assert!(was_paused(&world, viewer.subscription), "{viewing:?}");
        world.clients[viewer.client.0].set_downlink(&link(20_000), 1);
        comes_back(&mut world, &mut camera, &mut viewer, viewing);
    });
}

#[test]
fn after_a_path_that_carried_nothing() {
    in_every_way(|viewing, phase| {
        let (mut world, mut camera) = viewing.scene();
        let mut viewer = viewing.subscribe(&mut world, &camera);
        let wide = Duration::from_secs(5);
        run(&mut world, &mut camera, &mut [&mut viewer], wide);
        let dead = NetemConfig::new().loss(RandomLoss::new(Probability::new(1.0)));
        world.clients[viewer.client.0].set_downlink(&dead, 1);
        let gone = Duration::from_secs(12) + phase;
        run(&mut world, &mut camera, &mut [&mut viewer], gone);
        world.clients[viewer.client.0].set_downlink(&link(20_000), 1);
        comes_back(&mut world, &mut camera, &mut viewer, viewing);
    });
}

#[test]
fn after_overload_in_which_somebody_joins_or_has_just_joined() {
    for joined_before in [Duration::ZERO, Duration::from_millis(200)] {
        in_every_way(|viewing, phase| {
            let (mut world, mut camera) = viewing.scene();
            let mut viewer = viewing.subscribe(&mut world, &camera);
            run(&mut world, &mut camera, &mut [&mut viewer], joined_before);
            let end = world.now + Duration::from_secs(3) + phase;
            while world.now < end {
                world.fall_behind(HERE, Duration::from_millis(80));
                run(&mut world, &mut camera, &mut [&mut viewer], TICK);
            }
            while world.shard(HERE).stats().shedding_level > 0 {
                world.fall_behind(HERE, Duration::ZERO);
                run(&mut world, &mut camera, &mut [&mut viewer], TICK);
            }
            comes_back(&mut world, &mut camera, &mut viewer, viewing);
        });
    }
}

/// What a receiver tells of its path by itself.
struct Receiver {
    attacker: usize,
    ssrc: u32,
    next: Instant,
    bitrate_bps: u64,
    seen: usize,
}

impl Receiver {
    const INTERVAL: Duration = Duration::from_millis(200);

    fn tell(&self, world: &mut World) {
        let bps = self.bitrate_bps.min(0x3_ffff << 6) >> 6;
        let mut remb = vec![0x8f, 206, 0, 5, 0, 0, 0, 1, 0, 0, 0, 0];
        remb.extend(*b"REMB");
        remb.extend([1, 6 << 2 | (bps >> 16) as u8, (bps >> 8) as u8, bps as u8]);
        remb.extend(self.ssrc.to_be_bytes());
        world.attackers[self.attacker].send_rtcp(&remb);
    }

    /// As receivers estimate: by what arrives, growing by 8 % a second, up to a bound.
    fn tick(&mut self, world: &mut World, carries_bps: u64) {
        if world.now < self.next {
            return;
        }
        self.next = world.now + Self::INTERVAL;
        let received = &world.attackers[self.attacker].received;
        let bytes: usize = received[self.seen..].iter().map(|it| it.wire_len).sum();
        self.seen = received.len();
        if bytes > 0 {
            let arriving_bps = bytes as u64 * 8 * 5;
            let most = (arriving_bps * 3 / 2 + 10_000).min(carries_bps);
            let grown = self.bitrate_bps + self.bitrate_bps * 8 / 500;
            self.bitrate_bps = grown.min(most.max(self.bitrate_bps)).min(carries_bps);
            self.tell(world);
        }
    }
}

#[test]
fn after_a_receiver_has_said_that_little_fits() {
    for (with_audio, goes_on_telling) in
        [(false, false), (true, false), (false, true), (true, true)]
    {
        let mut world = World::new(1);
        let publisher = world.connect(0, false);
        let attacker = world.connect_attacker(0);
        world.run_until_connected();
        let mut camera = Camera::new(&mut world, publisher);
        if with_audio {
            world.subscribe_attacker(attacker, &camera.audio);
        }
        let mut receiver = Receiver {
            attacker,
            ssrc: world.subscribe_attacker(attacker, &camera.video),
            next: world.now,
            bitrate_bps: 50_000,
            seen: 0,
        };
        run(&mut world, &mut camera, &mut [], Duration::from_secs(3));
        receiver.tell(&mut world);
        let mut listen = |world: &mut World, time: Duration, carries_bps: u64| {
            let end = world.now + time;
            while world.now < end {
                if goes_on_telling {
                    receiver.tick(world, carries_bps);
                }
                run(world, &mut camera, &mut [], TICK);
            }
            let from = world.attackers[attacker].received.len();
            (from, receiver.ssrc)
        };
        let what = format!("audio {with_audio}, goes on {goes_on_telling}");
        listen(&mut world, Duration::from_secs(8), 50_000);
        let told = |event: &Event| matches!(event, Event::StreamState { paused: true, .. });
        assert!(world.events.iter().any(told) || !goes_on_telling, "{what}");
        let (from, ssrc) = listen(&mut world, Duration::ZERO, u64::MAX);
        listen(&mut world, BACK, u64::MAX);
        let pictures = |world: &World, from: usize| {
            let received = world.attackers[attacker].received[from..].iter();
            received.filter(|it| it.ssrc == ssrc).count()
        };
        assert!(pictures(&world, from) > 0, "{what}: still black");
        for second in 0..10 {
            let (from, _) = listen(&mut world, Duration::ZERO, u64::MAX);
            listen(&mut world, Duration::from_secs(1), u64::MAX);
            assert!(
                pictures(&world, from) > 20,
                "{what}: black again after {second} s"
            );
        }
    }
}

/// A picture is there in time, and stays.
fn comes_back(world: &mut World, camera: &mut Camera, viewer: &mut Viewer, viewing: Viewing) {
    let good = world.now;
    run(world, camera, &mut [viewer], BACK + Duration::from_secs(7));
    let shown = viewer.shown.iter().filter(|shown| shown.at > good);
    let back = shown.map(|shown| shown.at).min();
    let took = back.map(|at| at - good);
    assert!(
        took.is_some_and(|took| took <= BACK),
        "{viewing:?}: black for {took:?}"
    );
    let settled = good + BACK;
    let frozen = viewer.frozen(settled, world.now - Duration::from_millis(300));
    assert!(frozen < 0.02, "{viewing:?}: {frozen} frozen");
    assert!(!is_paused(world, viewer.subscription), "{viewing:?}");
}

fn states(world: &World, of: SubscriptionId) -> impl DoubleEndedIterator<Item = bool> {
    world.events.iter().filter_map(move |event| match event {
        Event::StreamState {
            subscription,
            paused,
        } if *subscription == of => Some(*paused),
        _ => None,
    })
}

fn is_paused(world: &World, of: SubscriptionId) -> bool {
    states(world, of).next_back().unwrap_or(false)
}

fn was_paused(world: &World, of: SubscriptionId) -> bool {
    states(world, of).any(|paused| paused)
}
