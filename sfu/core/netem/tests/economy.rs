//! What costs a node processor time beside the packets themselves: messages to the kernel, and
//! timers that wake a thread.

mod support;

use std::time::Duration;

use kinguicall_netem::{SentPacket, Track, World};
use kinguicall_proto::api::{MediaKind, ShardId};
use support::Vp8Source;

const VIEWERS: usize = 20;
const STEP: Duration = Duration::from_millis(1);
const SHARD: ShardId = ShardId(0);

fn call() -> (World, Track) {
    let mut world = World::new(1);
    let viewers: Vec<_> = (0..VIEWERS).map(|_| world.connect(0, false)).collect();
    let publisher = world.connect(0, false);
    world.run_until_connected();
    let camera = world.publish(publisher, MediaKind::Video, 1);
    for viewer in viewers {
        world.subscribe(viewer, &camera);
    }
    (world, camera)
}

#[test]
fn the_packets_of_a_frame_leave_to_each_subscriber_in_one_piece() {
    let (mut world, camera) = call();
    Vp8Source::new(&camera, 0, 1_000).run(&mut world, 3);
    let before = world.host(SHARD).batch_ends.len();
    // Not a divisor of what a batch holds.
    for part in 0..7 {
        let packet = SentPacket {
            sequence: 1_009 + part,
            timestamp: 9_000,
            marker: part == 6,
            payload: &[0x10, 1, 0, 0, 0, 0],
            audio_level: None,
        };
        world.send(&camera, 0, &packet);
    }
    world.run(Duration::from_millis(10));
    let ends = &world.host(SHARD).batch_ends[before..];
    assert!(ends.len() > 1, "more than one batch holds: {ends:?}");
    for pair in ends.windows(2) {
        assert_ne!(pair[0].1, pair[1].0, "a frame is torn between two batches");
    }
}

#[test]
fn few_timers_wake_a_thread_while_nothing_is_lost() {
    let (mut world, camera) = call();
    let mut source = Vp8Source::new(&camera, 0, 1_000);
    source.run(&mut world, 90);
    let (mut wakes, seconds) = (0, 5);
    let mut next_frame = world.now;
    for _ in 0..seconds * 1_000 {
        if world.now >= next_frame {
            source.frame(&mut world, false);
            next_frame += Duration::from_millis(33);
        }
        let due = world.shard(SHARD).poll_timeout();
        wakes += usize::from(due.is_some_and(|at| at <= world.now + STEP));
        world.run(STEP);
    }
    // Levels are summed up two and a half times a second, and what the publisher and the viewers are told
    // leaves with the frames. The rest is allocation.
    assert!(wakes / seconds < 25, "{wakes} in {seconds} s");
}
