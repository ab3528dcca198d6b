//! Tracks that come from a neighbour: who feeds whom is told with each order, not by the track's id.

#[path = "support/camera.rs"]
#[allow(dead_code, reason = "each test binary uses its part")]
mod camera;
mod support;

use std::time::Duration;

use camera::Camera;
use kinguicall_netem::{ClientIndex, Track, World};
use kinguicall_proto::api::{
    Command, Layer, MediaKind, NeighbourId, ShardId, SubscriptionId, SubscriptionSettings,
};
use support::scalable::{Format, Mode, ScalableSource, layers};
use support::{PACKETS_PER_FRAME, Vp8Source};

const ORIGIN: ShardId = ShardId(0);
const MIDDLE: ShardId = ShardId(1);
const LEAF: ShardId = ShardId(2);

/// A publisher on the origin, a viewer in the middle, and one behind it.
struct Chain {
    world: World,
    publisher: ClientIndex,
    track: Track,
    middle: (ClientIndex, SubscriptionId, u32),
    leaf: (ClientIndex, SubscriptionId, u32),
}

impl Chain {
    fn new() -> Self {
        let mut world = World::new(3);
        let clients = [0, 1, 2].map(|shard| world.connect(shard, false));
        world.run_until_connected();
        let [publisher, middle, leaf] = clients;
        let track = world.publish(publisher, MediaKind::Video, 1);
        world.parents.insert(LEAF, MIDDLE.into());
        let mut subscribe = |client| {
            let (id, ssrc) = world.subscribe(client, &track);
            world.run(Duration::from_millis(5));
            (client, id, ssrc)
        };
        let (middle, leaf) = (subscribe(middle), subscribe(leaf));
        Self {
            world,
            publisher,
            track,
            middle,
            leaf,
        }
    }

    fn seen(&self, viewer: (ClientIndex, SubscriptionId, u32)) -> u64 {
        self.world.clients[viewer.0.0].packets(viewer.2).count() as u64
    }

    fn copies(&self) -> [usize; 3] {
        [ORIGIN, MIDDLE, LEAF].map(|shard| self.world.shard(shard).stats().tracks)
    }
}

#[test]
fn a_track_comes_by_the_parent_that_is_named() {
    let mut chain = Chain::new();
    let mut source = Vp8Source::new(&chain.track, 0, 1_000);
    source.run(&mut chain.world, 60);
    let expected = 60 * PACKETS_PER_FRAME;
    assert_eq!(chain.seen(chain.middle), expected);
    assert_eq!(chain.seen(chain.leaf), expected);
    // A key frame that the leaf asks for is asked of the publisher, by way of the middle.
    chain.world.run(Duration::from_secs(1));
    chain.world.clients[chain.publisher.0].key_frame_requests = 0;
    let (leaf, _, ssrc) = chain.leaf;
    chain.world.clients[leaf.0].request_key_frame(ssrc);
    chain.world.run(Duration::from_millis(100));
    assert_eq!(chain.world.clients[chain.publisher.0].key_frame_requests, 1);
}

#[test]
fn the_publishers_clock_reaches_the_leaf() {
    let mut chain = Chain::new();
    let mut source = Vp8Source::new(&chain.track, 0, 1_000);
    source.run(&mut chain.world, 200);
    for (client, _, ssrc) in [chain.middle, chain.leaf] {
        let last = chain.world.clients[client.0].packets(ssrc).last();
        assert!(last.and_then(|it| it.reported_rtp).is_some());
    }
}

#[test]
fn a_copy_lives_as_long_as_somebody_wants_it() {
    let mut chain = Chain::new();
    let mut source = Vp8Source::new(&chain.track, 0, 1_000);
    source.run(&mut chain.world, 10);
    chain
        .world
        .command(MIDDLE, Command::Unsubscribe(chain.middle.1));
    source.run(&mut chain.world, 10);
    assert_eq!(chain.copies(), [1, 1, 1]);
    assert_eq!(chain.seen(chain.leaf), 20 * PACKETS_PER_FRAME);
    chain
        .world
        .command(LEAF, Command::Unsubscribe(chain.leaf.1));
    chain.world.run(Duration::from_millis(10));
    assert_eq!(chain.copies(), [1, 0, 0]);
}

#[test]
fn a_track_that_ends_ends_along_the_chain() {
    let mut chain = Chain::new();
    chain
        .world
        .command(ORIGIN, Command::Unpublish(chain.track.id));
    chain.world.run(Duration::from_millis(10));
    assert_eq!(chain.copies(), [0, 0, 0]);
}

/// A camera of three layers on the origin, and who watches it there, in the middle and behind that.
struct Watched {
    world: World,
    camera: Camera,
    viewers: [(ClientIndex, SubscriptionId, u32); 3],
}

impl Watched {
    fn new() -> Self {
        let mut watched = Self::before_the_first_packet();
        watched.run(1_000);
        watched
    }

    fn before_the_first_packet() -> Self {
        let mut world = World::new(3);
        let [publisher, near, middle, leaf] = [0, 0, 1, 2].map(|it| world.connect(it, false));
        world.run_until_connected();
        let camera = Camera::new(&mut world, publisher);
        world.parents.insert(LEAF, MIDDLE.into());
        let viewers = [near, middle, leaf].map(|client| {
            let (id, ssrc) = world.subscribe(client, &camera.video);
            world.run(Duration::from_millis(5));
            (client, id, ssrc)
        });
        Self {
            world,
            camera,
            viewers,
        }
    }

    fn run(&mut self, ms: u32) {
        for _ in 0..ms {
            self.camera.tick(&mut self.world);
            self.world.run(Duration::from_millis(1));
        }
    }

    fn set(&mut self, viewer: usize, settings: SubscriptionSettings) {
        let id = self.viewers[viewer].1;
        let command = Command::UpdateSubscription(id, settings);
        self.world.command(id.shard(), command);
    }

    fn limit(&mut self, viewer: usize, max_layer: u8) {
        let settings = SubscriptionSettings {
            max_layer,
            ..SubscriptionSettings::default()
        };
        self.set(viewer, settings);
    }

    /// Packets of each layer that go to a shard within a second.
    fn packets_to(&mut self, shard: ShardId) -> [usize; 3] {
        self.world.crossed.clear();
        self.run(1_000);
        let to = NeighbourId::from(shard);
        [0, 1, 2].map(|layer| {
            let crossed = self.world.crossed.iter();
            crossed
                .filter(|it| (it.0, it.1) == (to, Layer(layer)))
                .count()
        })
    }

    fn last_layer(&self, viewer: usize) -> Option<u8> {
        let (client, _, ssrc) = self.viewers[viewer];
        let last = self.world.clients[client.0].packets(ssrc).last()?;
        last.payload.get(12).copied()
    }

    /// How long it takes from `change` until a viewer gets the top layer.
    fn ms_to_top(&mut self, viewer: usize, change: impl FnOnce(&mut Self)) -> u32 {
        // In step with the frames.
        let before = self.frames_seen(viewer);
        while self.frames_seen(viewer) == before {
            self.run(1);
        }
        change(self);
        let ms = (0..2_000).find(|_| {
            self.run(1);
            self.last_layer(viewer) == Some(2)
        });
        ms.expect("the top layer never comes")
    }

    fn frames_seen(&self, viewer: usize) -> usize {
        let (client, _, ssrc) = self.viewers[viewer];
        self.world.clients[client.0].packets(ssrc).count()
    }
}

#[test]
fn the_first_key_frame_of_every_layer_reaches_those_who_wait_for_it() {
    let mut watched = Watched::before_the_first_packet();
    watched.run(25);
    assert_eq!([0, 1, 2].map(|it| watched.last_layer(it)), [Some(2); 3]);
}

#[test]
fn layers_that_nobody_behind_a_link_wants_do_not_go_over_it() {
    let mut watched = Watched::new();
    for viewer in [1, 2] {
        watched.limit(viewer, 0);
    }
    watched.run(6_000);
    for shard in [MIDDLE, LEAF] {
        let [low, middle, top] = watched.packets_to(shard);
        assert!(low >= 30, "{low}");
        assert_eq!((middle, top), (0, 0));
    }
    // Asked for by the leaf alone, it passes the middle, whose own viewer does not get it.
    watched.limit(2, 2);
    watched.run(6_000);
    let [low, middle, top] = watched.packets_to(MIDDLE);
    assert!(low >= 30 && top >= 30, "{low} {top}");
    assert_eq!(middle, 0);
    let [low, middle, top] = watched.packets_to(LEAF);
    assert!(top >= 30, "{top}");
    assert_eq!((low, middle), (0, 0));
    assert_eq!(watched.last_layer(1), Some(0));
}

#[test]
fn a_layer_that_is_wanted_anew_comes_as_soon_as_where_it_is_received() {
    let mut watched = Watched::new();
    for viewer in [0, 1, 2] {
        watched.limit(viewer, 0);
    }
    watched.run(6_000);
    let raised = [0, 1, 2].map(|viewer| {
        watched.limit(viewer, 0);
        watched.run(6_000);
        let ms = watched.ms_to_top(viewer, |it| it.limit(viewer, 2));
        watched.limit(viewer, 0);
        ms
    });
    let [near, middle, leaf] = raised;
    assert!(middle <= near + 2 && leaf <= near + 4, "{raised:?}");
}

#[test]
fn nothing_goes_over_a_link_while_all_behind_it_have_paused() {
    let mut watched = Watched::new();
    let paused = SubscriptionSettings {
        paused: true,
        ..SubscriptionSettings::default()
    };
    watched.set(1, paused);
    watched.set(2, paused);
    watched.run(6_000);
    assert_eq!(watched.packets_to(MIDDLE), [0, 0, 0]);
    assert_eq!(watched.packets_to(LEAF), [0, 0, 0]);
    watched.limit(2, 2);
    watched.run(500);
    assert_eq!(watched.last_layer(2), Some(2));
}

#[test]
fn quality_that_goes_to_and_fro_asks_for_nothing_again_and_again() {
    let mut watched = Watched::new();
    watched.limit(1, 0);
    watched.limit(2, 0);
    watched.run(6_000);
    watched.limit(1, 2);
    watched.run(600);
    let attached = |it: &Watched| it.world.attached;
    let before = attached(&watched);
    for round in 0..20 {
        watched.limit(1, if round % 2 == 0 { 0 } else { 2 });
        watched.run(600);
    }
    assert_eq!(attached(&watched), before);
}

/// A stream of three temporal layers that comes over two links to one who wants few frames.
fn spared(format: Format) {
    let mut world = World::new(3);
    let [publisher, middle, leaf] = [0, 1, 2].map(|it| world.connect(it, false));
    world.run_until_connected();
    let track = world.publish(publisher, MediaKind::Video, 1);
    world.parents.insert(LEAF, MIDDLE.into());
    let mut source = ScalableSource::new(&track, format, Mode::Full);
    let [_, (id, ssrc)] = [middle, leaf].map(|client| {
        let subscribed = world.subscribe(client, &track);
        let low = SubscriptionSettings {
            max_temporal_layer: 0,
            ..SubscriptionSettings::default()
        };
        let command = Command::UpdateSubscription(subscribed.0, low);
        world.command(subscribed.0.shard(), command);
        world.run(Duration::from_millis(5));
        subscribed
    });
    let bytes_of = |world: &mut World, source: &mut ScalableSource| {
        world.crossed.clear();
        source.run(world, 40);
        let bytes = |shard: ShardId| {
            let to = NeighbourId::from(shard);
            let crossed = world.crossed.iter().filter(move |it| it.0 == to);
            crossed.map(|it| it.2).sum::<usize>()
        };
        (bytes(MIDDLE), bytes(LEAF))
    };
    let all = bytes_of(&mut world, &mut source);
    source.run(&mut world, 160);
    let few = bytes_of(&mut world, &mut source);
    assert!(few.0 * 3 < all.0 && few.1 * 3 < all.1, "{few:?} of {all:?}");
    let command = Command::UpdateSubscription(id, SubscriptionSettings::default());
    world.command(LEAF, command);
    source.run(&mut world, 8);
    let seen = world.clients[leaf.0].packets(ssrc).count();
    source.run(&mut world, 40);
    let packets: Vec<_> = world.clients[leaf.0].packets(ssrc).collect();
    let fast = packets[seen..].iter().filter(|it| layers(it) == (2, 2));
    assert_eq!(fast.count(), 40, "{format:?}");
    for pair in packets.windows(2) {
        assert_eq!(pair[1].sequence, pair[0].sequence + 1, "a hole");
    }
}

#[test]
fn temporal_layers_that_nobody_behind_a_link_wants_are_spared_and_come_back() {
    spared(Format::Av1);
    spared(Format::Vp9);
}
