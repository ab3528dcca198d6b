//! Tracks that come from a neighbour: who feeds whom is told with each order, not by the track's id.

mod support;

use std::time::Duration;

use kinguicall_netem::{ClientIndex, Track, World};
use kinguicall_proto::api::{
    Command, Layer, LayerSet, MediaKind, NeighbourId, PeerMessage, ShardId, SubscriptionId, Want,
};
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
        world.parents.insert(LEAF, MIDDLE);
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

#[test]
fn a_neighbour_gets_the_layers_that_it_wants() {
    let mut chain = Chain::new();
    let mut source = Vp8Source::new(&chain.track, 0, 1_000);
    source.run(&mut chain.world, 10);
    let mut want = |layer| {
        let mut layers = LayerSet::default();
        layers.insert(Layer(layer));
        let message = PeerMessage::Attach {
            track: chain.track.id,
            from: NeighbourId::from(MIDDLE),
            want: Want {
                layers,
                ..Want::ALL
            },
        };
        chain.world.message(ORIGIN, message);
        source.run(&mut chain.world, 10);
        chain.seen(chain.middle)
    };
    assert_eq!(want(1), 10 * PACKETS_PER_FRAME, "nothing of layer 0");
    assert_eq!(want(0), 20 * PACKETS_PER_FRAME, "and again");
}
