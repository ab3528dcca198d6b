//! Which SSRCs of a publisher are taken, over a long session.

mod support;

use std::time::Duration;

use kinguicall_netem::{ClientIndex, OPUS, Published, SentPacket, Track, World};
use kinguicall_proto::api::{Command, MediaKind, Ssrc, SubscriptionId};
use kinguicall_proto::rtp::{OutHeader, write_header};
use support::vp8_payload;

const MID: u8 = 4;

/// One frame on every layer.
fn send(world: &mut World, track: &Track, frame: u16) {
    for layer in 0..track.published.ssrcs.len() {
        let payload = vp8_payload(frame, true, true);
        let packet = SentPacket {
            sequence: 1_000 + u64::from(frame),
            timestamp: u32::from(frame) * 3_000,
            marker: true,
            payload: &payload,
            audio_level: None,
        };
        world.send(track, layer, &packet);
    }
    world.run(Duration::from_millis(20));
}

#[test]
fn a_camera_of_three_layers_is_published_forty_times_in_a_session() {
    let mut world = World::new(1);
    let publisher = world.connect(0, false);
    let viewer = world.connect(0, false);
    world.run_until_connected();
    for publication in 0..40 {
        let track = world.publish(publisher, MediaKind::Video, 3);
        let (id, ssrc) = world.subscribe(viewer, &track);
        for frame in 0..3 {
            send(&mut world, &track, frame);
        }
        let seen = world.clients[viewer.0].packets(ssrc).count();
        assert!(seen >= 2, "publication {publication}: {seen} packets");
        let shard = track.id.shard();
        world.command(shard, Command::Unpublish(track.id));
        world.command(shard, Command::Unsubscribe(id));
    }
}

/// A microphone whose sender takes a new SSRC every so often, as one does that starts anew.
fn restarting_microphone(mid: bool, every: Duration, times: u32) -> usize {
    let mut world = World::new(1);
    let listener = world.connect(0, false);
    let sender = world.connect_attacker(0);
    world.run_until_connected();
    let id = world.publish_attacker(sender, "x");
    let (_, ssrc) = subscribe(&mut world, listener, id);
    for n in 0..times {
        let mut packet = [0x55; 60];
        let fields = OutHeader {
            payload_type: OPUS,
            marker: false,
            sequence: 1,
            timestamp: n * 960,
            ssrc: Ssrc(5_000 + n),
        };
        let extensions = [(MID, &b"x"[..])];
        assert_ne!(
            write_header(&mut packet, &fields, &extensions[..usize::from(mid)]),
            0
        );
        world.attackers[sender].send_rtp(&packet, 0);
        world.run(every);
    }
    world.clients[listener.0].packets(ssrc).count()
}

fn subscribe(
    world: &mut World,
    listener: ClientIndex,
    id: kinguicall_proto::api::TrackId,
) -> (SubscriptionId, u32) {
    let published = Published {
        client: listener,
        kind: MediaKind::Audio,
        ssrcs: Vec::new(),
    };
    world.subscribe(listener, &Track { id, published })
}

#[test]
fn the_silent_make_room_for_those_who_come() {
    let every = Duration::from_millis(600);
    for mid in [true, false] {
        assert_eq!(restarting_microphone(mid, every, 250), 250, "mid: {mid}");
    }
}

#[test]
fn who_changes_its_ssrc_all_the_time_is_held_to_twice_a_second() {
    let heard = restarting_microphone(true, Duration::from_millis(10), 300);
    assert!((5..=8).contains(&heard), "{heard} in three seconds");
}
