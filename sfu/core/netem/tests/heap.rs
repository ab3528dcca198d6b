//! What a node keeps on the heap for somebody who watches one picture. Alone in its process, as it
//! looks at its memory.

mod support;

use kinguicall_netem::{ClientIndex, World};
use kinguicall_proto::api::MediaKind;
use support::{PACKETS_PER_FRAME, Vp8Source};

const VIEWERS: usize = 200;
const FRAMES: u32 = 150;
/// 21.7 and 29.2 kB were measured; two histories of two seconds alone would be 6 more.
const WITHOUT_DATA_BYTES: usize = 22_000;
const WITH_DATA_BYTES: usize = 30_000;
/// A debug build remembers every packet that it encrypts, in a tree and a queue.
const DEBUG_BYTES: usize = if cfg!(debug_assertions) {
    62 * (FRAMES as usize + 20) * PACKETS_PER_FRAME as usize
} else {
    0
};

type Connect = fn(&mut World) -> ClientIndex;

/// What the shard of a camera with so many viewers keeps, the crypto library's contexts among it.
fn heap_of(viewers: usize, connect: Connect) -> usize {
    let mut world = World::new(1);
    let publisher = world.connect(0, true);
    let viewers: Vec<_> = (0..viewers).map(|_| connect(&mut world)).collect();
    world.run_until_connected();
    let camera = world.publish(publisher, MediaKind::Video, 1);
    for viewer in viewers {
        world.send_feedback(viewer);
        world.subscribe(viewer, &camera);
    }
    Vp8Source::new(&camera, 0, 1_000).run(&mut world, FRAMES);
    let before = allocated_bytes();
    world.end_shards();
    before - allocated_bytes()
}

fn allocated_bytes() -> usize {
    // SAFETY: takes no pointers and may be called at any time.
    let heap = unsafe { libc::mallinfo2() };
    heap.uordblks + heap.hblkhd
}

#[test]
fn a_viewer_costs_little_memory() {
    let ways: [(&str, Connect, usize); 2] = [
        (
            "without data",
            |world| world.connect_without_data(0, true),
            WITHOUT_DATA_BYTES,
        ),
        ("with data", |world| world.connect(0, true), WITH_DATA_BYTES),
    ];
    for (way, connect, most_bytes) in ways {
        let (one, many) = (heap_of(1, connect), heap_of(1 + VIEWERS, connect));
        let each = (many - one) / VIEWERS;
        assert!(
            each < most_bytes + DEBUG_BYTES,
            "{way}: {each} bytes a viewer"
        );
        assert!(each > most_bytes / 2, "{way}: {each} bytes cannot be all");
    }
}
