//! Sizes of what leaves a node: nothing that it makes, and nothing that it makes larger, exceeds
//! what a path is sure to carry.

use std::time::Duration;

use kinguicall_netem::{
    ClientIndex, NetemConfig, Probability, RandomLoss, SentPacket, Track, World,
};
use kinguicall_proto::api::{DataDelivery, MediaKind, RoomId, ShardId};
use kinguicall_proto::egress::{MAX_DATAGRAM, MAX_MEDIA_PAYLOAD, MAX_OWN_DATAGRAM};

/// RTP header and the tag of AES-GCM.
const BARE_OVERHEAD: usize = 12 + 16;
/// What a retransmission adds.
const RTX_GROWTH: usize = 2;

fn call() -> (World, Track, ClientIndex, u32) {
    let mut world = World::new(1);
    let publisher = world.connect(0, true);
    let viewer = world.connect(0, true);
    world.run_until_connected();
    let track = world.publish(publisher, MediaKind::Video, 1);
    let (_, ssrc) = world.subscribe(viewer, &track);
    (world, track, viewer, ssrc)
}

/// VP8 key frames of one packet each.
fn send(world: &mut World, track: &Track, sequences: std::ops::Range<u64>, len: usize) {
    let mut payload = vec![0x10, 0x10, 0, 0, 0x9d, 0x01, 0x2a];
    payload.resize(len, 7);
    for sequence in sequences {
        let packet = SentPacket {
            sequence,
            timestamp: sequence as u32 * 3_000,
            marker: true,
            payload: &payload,
            audio_level: None,
        };
        world.send(track, 0, &packet);
        world.run(Duration::from_millis(10));
    }
}

#[test]
fn the_largest_packet_fits_and_fits_again_when_it_is_repeated() {
    let (mut world, track, viewer, ssrc) = call();
    send(&mut world, &track, 100..110, MAX_MEDIA_PAYLOAD);
    world.run(Duration::from_millis(200));
    let bare = MAX_MEDIA_PAYLOAD + BARE_OVERHEAD;
    let longest = world.clients[viewer.0].longest_datagram;
    assert!(
        (bare..=MAX_DATAGRAM - RTX_GROWTH).contains(&longest),
        "{longest}"
    );

    let lossy = NetemConfig::new()
        .latency(Duration::from_millis(10))
        .loss(RandomLoss::new(Probability::new(0.3)));
    world.clients[viewer.0].set_network(&lossy, 3);
    send(&mut world, &track, 110..160, MAX_MEDIA_PAYLOAD);
    world.clients[viewer.0].set_network(&NetemConfig::new(), 1);
    send(&mut world, &track, 160..180, MAX_MEDIA_PAYLOAD);
    world.run(Duration::from_millis(500));
    let client = &world.clients[viewer.0];
    assert!(
        client.longest_datagram >= bare + RTX_GROWTH,
        "something was repeated"
    );
    assert!(
        client.longest_datagram <= MAX_DATAGRAM,
        "{}",
        client.longest_datagram
    );
    let numbers: std::collections::BTreeSet<u64> =
        client.packets(ssrc).map(|packet| packet.sequence).collect();
    assert!(numbers.len() >= 79, "{} of 80 packets", numbers.len());
}

#[test]
fn a_larger_packet_goes_no_further() {
    let (mut world, track, viewer, ssrc) = call();
    send(&mut world, &track, 100..101, 500);
    send(&mut world, &track, 101..102, MAX_MEDIA_PAYLOAD + 1);
    send(&mut world, &track, 102..103, 500);
    world.run(Duration::from_millis(200));
    let packets: Vec<usize> = world.clients[viewer.0]
        .packets(ssrc)
        .map(|packet| packet.payload.len())
        .collect();
    assert_eq!(packets, [500, 500]);
    assert!(world.clients[viewer.0].longest_datagram <= MAX_OWN_DATAGRAM);
}

#[test]
fn handshakes_reports_and_long_messages_fit_any_path() {
    let mut world = World::new(1);
    let member = world.connect(0, true);
    world.run_until_connected();
    world.join_data(RoomId(1), member, "awa");
    world.run(Duration::from_millis(500));
    // DataPacket { user: UserPacket { payload } } of 40,000 bytes.
    let length = |len: usize| {
        [
            (len & 0x7f) as u8 | 0x80,
            (len >> 7 & 0x7f) as u8 | 0x80,
            (len >> 14) as u8,
        ]
    };
    let mut packet = vec![0x12];
    packet.extend(length(40_004));
    packet.push(0x12);
    packet.extend(length(40_000));
    packet.resize(packet.len() + 40_000, 9);
    world.send_data(ShardId(0), RoomId(1), DataDelivery::Reliable, &packet);
    world.run(Duration::from_secs(2));
    let client = &world.clients[member.0];
    assert_eq!(client.messages.len(), 1);
    let longest = client.longest_datagram;
    assert!((1_000..=MAX_OWN_DATAGRAM).contains(&longest), "{longest}");
}
