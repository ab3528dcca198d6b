//! Reliable data to readers of different speeds: nothing is lost, the sender is slowed, and who
//! takes nothing is given up.

#[path = "support/messages.rs"]
mod messages;
#[path = "support/microphone.rs"]
mod microphone;

use std::time::Duration;

use kinguicall_netem::{
    Bitrate, ClientIndex, DataSize, NetemConfig, OPUS, Probability, RandomLoss, World,
};
use kinguicall_proto::api::{ChannelCloseReason, DataDelivery, Event, MediaKind, RoomId, ShardId};
use messages::{numbered, numbers};
use microphone::{FRAME, Microphone};

const ROOM: RoomId = RoomId(1);
/// What a reader that stalls is given, and some time to notice.
const PATIENCE: Duration = Duration::from_secs(12);

/// A sender on the first shard and readers on the last one, their channels open.
fn room(shards: u8, readers: usize) -> (World, ClientIndex, Vec<ClientIndex>) {
    let mut world = World::new(shards);
    let sender = world.connect(0, true);
    let readers: Vec<_> = (0..readers)
        .map(|_| world.connect(shards - 1, true))
        .collect();
    world.run_until_connected();
    world.join_data(ROOM, sender, "sender");
    for (number, reader) in readers.iter().enumerate() {
        world.join_data(ROOM, *reader, &format!("reader{number}"));
    }
    world.run(Duration::from_millis(500));
    (world, sender, readers)
}

/// Says messages of `len` bytes as fast as the client takes them, from number `from` on.
fn say(world: &mut World, sender: ClientIndex, from: u32, until: u32, len: usize) -> u32 {
    let mut next = from;
    while next < until && world.write_data(sender, "_reliable", &numbered(next, len)) {
        next += 1;
    }
    next
}

/// Says `count` messages and waits until each reader has them all. Returns how long that took.
fn say_all(
    world: &mut World,
    sender: ClientIndex,
    readers: &[ClientIndex],
    count: u32,
    len: usize,
    limit: Duration,
) -> Duration {
    let began = world.now;
    let mut next = 0;
    while world.now < began + limit {
        next = say(world, sender, next, count, len);
        world.run(Duration::from_millis(5));
        let done = |reader: &ClientIndex| world.clients[reader.0].messages.len() == count as usize;
        if next == count && readers.iter().all(done) {
            break;
        }
    }
    world.now - began
}

fn slow(kbps: u64) -> NetemConfig {
    let rate = Bitrate::kbps(kbps);
    NetemConfig::new()
        .latency(Duration::from_millis(30))
        .link(rate, DataSize::bytes(64_000))
}

fn dead() -> NetemConfig {
    NetemConfig::new().loss(RandomLoss::new(Probability::new(1.0)))
}

fn closings(world: &World) -> Vec<ChannelCloseReason> {
    let events = world.events.iter();
    let closed = events.filter_map(|event| match event {
        Event::DataChannelClosed(_, reason) => Some(*reason),
        _ => None,
    });
    closed.collect()
}

#[test]
fn a_slow_reader_gets_everything_and_so_do_the_others() {
    for shards in [1, 2] {
        let (mut world, sender, readers) = room(shards, 3);
        world.clients[readers[1].0].set_downlink(&slow(1_000), 3);
        let limit = Duration::from_secs(60);
        let took = say_all(&mut world, sender, &readers, 25, 60_000, limit);
        let all: Vec<u32> = (0..25).collect();
        for reader in &readers {
            assert_eq!(numbers(&world, *reader), all, "{shards} shards");
        }
        // 1.5 MB at 1 Mbit/s take 12 s and their headers: the slow one is kept busy all the time.
        assert!(took < Duration::from_secs(16), "{took:?}");
        assert!(closings(&world).is_empty(), "it is slow, not stalled");
    }
}

#[test]
fn a_burst_of_many_packets_arrives_without_a_loss_to_repair() {
    let (mut world, sender, readers) = room(1, 1);
    let far = NetemConfig::new().latency(Duration::from_millis(50));
    world.clients[sender.0].set_network(&far, 1);
    world.clients[readers[0].0].set_network(&far, 2);
    let limit = Duration::from_secs(60);
    let took = say_all(&mut world, sender, &readers, 200, 60_000, limit);
    assert_eq!(numbers(&world, readers[0]), (0..200).collect::<Vec<u32>>());
    // 12 MB in windows of 64 to 256 KiB, of which there are some eight a second; packets that are
    // dropped on the way to DTLS would halve them again and again.
    assert!(took < Duration::from_secs(14), "{took:?}");
}

#[test]
fn short_messages_fill_no_window_with_overhead() {
    let (mut world, sender, readers) = room(2, 2);
    world.clients[readers[1].0].set_downlink(&slow(200), 3);
    let limit = Duration::from_secs(120);
    say_all(&mut world, sender, &readers, 8_000, 4, limit);
    let all: Vec<u32> = (0..8_000).collect();
    for reader in &readers {
        assert_eq!(numbers(&world, *reader), all);
    }
}

#[test]
fn a_reader_that_stalls_is_given_up_and_comes_back_with_a_new_channel() {
    for shards in [1, 2] {
        let (mut world, sender, readers) = room(shards, 2);
        let [reader, stalled] = [readers[0], readers[1]];
        world.clients[stalled.0].set_network(&dead(), 1);
        let began = world.now;
        let count = 100;
        say_all(&mut world, sender, &[reader], count, 30_000, PATIENCE);
        assert_eq!(numbers(&world, reader), (0..count).collect::<Vec<u32>>());
        assert_eq!(closings(&world), [ChannelCloseReason::Stalled]);
        assert!(world.now - began > Duration::from_secs(10));

        world.clients[stalled.0].set_network(&NetemConfig::new(), 1);
        world.run(Duration::from_secs(12));
        let before = numbers(&world, stalled);
        let whole: Vec<u32> = (0..before.len() as u32).collect();
        assert_eq!(before, whole, "in order up to where its channel closed");
        assert!(before.len() < count as usize);
        say(&mut world, sender, 1_000, 1_001, 10);
        world.run(Duration::from_secs(1));
        assert_eq!(numbers(&world, stalled).last(), Some(&1_000));
        assert_eq!(numbers(&world, reader).last(), Some(&1_000));
    }
}

#[test]
fn a_short_interruption_loses_nothing() {
    let (mut world, sender, readers) = room(1, 2);
    let reader = readers[1];
    world.clients[reader.0].set_network(&dead(), 1);
    let mut next = 0;
    for _ in 0..70 {
        next = say(&mut world, sender, next, 100, 30_000);
        world.run(Duration::from_millis(100));
    }
    world.clients[reader.0].set_network(&NetemConfig::new(), 1);
    let began = world.now;
    while world.clients[reader.0].messages.len() < 100 && world.now < began + PATIENCE {
        next = say(&mut world, sender, next, 100, 30_000);
        world.run(Duration::from_millis(10));
    }
    assert_eq!(numbers(&world, reader), (0..100).collect::<Vec<u32>>());
    assert!(closings(&world).is_empty());
    let took = world.now - began;
    assert!(
        took < Duration::from_secs(5),
        "{took:?} after the path is good"
    );
}

#[test]
fn one_sender_that_fills_a_reader_does_not_keep_the_others_from_speaking() {
    let (mut world, flooder, readers) = room(1, 3);
    let [stalled, speaker, listener] = [readers[0], readers[1], readers[2]];
    world.clients[stalled.0].set_network(&dead(), 1);
    let mut next = 0;
    for _ in 0..100 {
        next = say(&mut world, flooder, next, 1_000, 10_000);
        world.run(Duration::from_millis(10));
    }
    assert!(world.write_data(speaker, "_reliable", &numbered(5_000, 100)));
    world.run(Duration::from_millis(100));
    assert!(numbers(&world, listener).contains(&5_000));
}

#[test]
fn what_the_server_says_is_not_held_up_and_not_lost_without_a_word() {
    let (mut world, sender, readers) = room(1, 2);
    let [reader, stalled] = [readers[0], readers[1]];
    world.clients[stalled.0].set_network(&dead(), 1);
    let mut from_server = 0;
    for number in 0..60 {
        let packet = numbered(number, 30_000);
        world.send_data(ShardId(0), ROOM, DataDelivery::Reliable, &packet);
        world.run(Duration::from_millis(20));
        from_server += 1;
    }
    world.run(Duration::from_secs(1));
    let all: Vec<u32> = (0..from_server).collect();
    assert_eq!(numbers(&world, reader), all);
    assert_eq!(numbers(&world, sender), all);
    assert_eq!(closings(&world), [ChannelCloseReason::Stalled]);
}

#[test]
fn a_message_that_cannot_be_passed_on_closes_its_senders_channel() {
    let (mut world, sender, readers) = room(1, 1);
    // What descriptions announce, the sender's names and all, and the least of what is too long.
    let announced = 64_512 - numbered(0, 60_000).len() + 60_000;
    assert_eq!(say(&mut world, sender, 0, 1, announced), 1);
    world.run(Duration::from_secs(1));
    assert_eq!(numbers(&world, readers[0]), [0]);
    assert_eq!(say(&mut world, sender, 1, 2, 65_520), 2);
    world.run(Duration::from_secs(2));
    assert_eq!(numbers(&world, readers[0]), [0]);
    assert_eq!(closings(&world), [ChannelCloseReason::MessageTooLong]);
    let left = world.clients[sender.0].channels.iter();
    assert_eq!(left.filter(|(_, label)| label == "_reliable").count(), 0);
}

#[test]
fn a_flood_to_a_full_room_is_paced_and_breaks_no_voice() {
    for len in [4, 60_000] {
        let (mut world, flooder, readers) = room(2, 12);
        let track = world.publish(readers[0], MediaKind::Audio, 1);
        let listeners = readers[1..].iter();
        let heard: Vec<_> = listeners
            .map(|reader| (*reader, world.subscribe_without_red(*reader, &track).1))
            .collect();
        let mut microphone = Microphone::new(&track, 1_000);
        let sum = |world: &World| -> u64 {
            let bytes = readers.iter().map(|r| world.clients[r.0].wire_bytes);
            bytes.sum()
        };
        let before = sum(&world);
        let mut next = 0;
        for _ in 0..100 {
            microphone.speak(&mut world, OPUS);
            for _ in 0..4 {
                next = say(&mut world, flooder, next, 10_000_000, len);
                world.run(FRAME / 4);
            }
        }
        let per_second = (sum(&world) - before) / 2;
        assert!(per_second < 20 << 20, "{per_second} bytes a second");
        world.run(Duration::from_millis(50));
        for (listener, ssrc) in heard {
            let packets = world.clients[listener.0].packets(ssrc);
            let numbers: Vec<u64> = packets.map(|packet| packet.sequence).collect();
            assert_eq!(numbers.len(), 100, "{len} bytes");
            assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1));
        }
        let got = numbers(&world, readers[0]);
        assert_eq!(got, (0..got.len() as u32).collect::<Vec<u32>>());
        assert!(got.len() * len > 500_000 || got.len() > 2_000, "{len}");
    }
}
