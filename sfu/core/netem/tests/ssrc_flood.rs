//! A hundred thousand SSRCs in one session. Alone in its process, as it looks at its memory.

mod support;

use kinguicall_netem::{OPUS, World};
use kinguicall_proto::api::{MediaKind, ShardId, Ssrc};
use kinguicall_proto::rtp::{OutHeader, write_header};
use kinguicall_proto::stats::DropReason;
use support::{PACKETS_PER_FRAME, Vp8Source, resident_bytes};

const SOURCES: u32 = 100_000;
const MAX_GROWTH: u64 = 10 << 20;

#[test]
fn a_flood_of_sources_is_forgotten() {
    let mut world = World::new(1);
    let publisher = world.connect(0, false);
    let viewer = world.connect(0, false);
    let attacker = world.connect_attacker(0);
    world.run_until_connected();
    let track = world.publish(publisher, MediaKind::Video, 1);
    let (_, ssrc) = world.subscribe(viewer, &track);
    world.publish_attacker(attacker, "x");
    let mut source = Vp8Source::new(&track, 0, 1_000);
    source.run(&mut world, 10);
    let before = resident_bytes();
    for n in 0..SOURCES {
        let mut packet = [0x55; 100];
        let fields = OutHeader {
            payload_type: OPUS,
            marker: false,
            sequence: 1,
            timestamp: 0,
            ssrc: Ssrc(n.wrapping_mul(0x9e37_79b9)),
        };
        // With and without the section's mid: learnt one way and the other.
        let mid = [(4, &b"x"[..])];
        assert_ne!(
            write_header(&mut packet, &fields, &mid[..(n % 2) as usize]),
            0
        );
        world.attackers[attacker].send_rtp(&packet, 0);
        if n % 1_000 == 0 {
            source.run(&mut world, 1);
        }
    }
    source.run(&mut world, 10);
    let grown = resident_bytes().saturating_sub(before);
    let stats = world.shard(ShardId(0)).stats();
    let refused = stats.counters.dropped[DropReason::Srtp as usize];
    assert!(refused > u64::from(SOURCES) / 2, "{:?}", stats.counters);
    assert_eq!(stats.tracks, 2);
    assert!(grown < MAX_GROWTH, "{grown} bytes");
    let seen = world.clients[viewer.0].packets(ssrc).count() as u64;
    assert_eq!(seen, 120 * PACKETS_PER_FRAME, "the others notice nothing");
}
