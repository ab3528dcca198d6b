//! Audio on its way to listeners: redundancy (RFC 2198) for those who have negotiated it and for
//! those who have not, and which of many open microphones are heard.

#[path = "support/microphone.rs"]
mod microphone;

use std::time::Duration;

use kinguicall_netem::{
    ClientIndex, NetemConfig, OPUS, Probability, RED, RandomLoss, SentPacket, World,
};
use kinguicall_proto::api::{Command, MediaKind, RoomId, SubscriptionSettings};
use microphone::{FRAME, Microphone, timestamp};

/// Numbers of the frames that a listener without redundancy has got, in order of sequence numbers;
/// checks that each one has its own timestamp and place.
fn heard(world: &World, listener: ClientIndex, ssrc: u32) -> Vec<u64> {
    let mut packets: Vec<_> = world.clients[listener.0].packets(ssrc).collect();
    packets.sort_by_key(|packet| packet.sequence);
    let numbers = packets.iter().map(|packet| {
        assert_eq!(packet.payload_type, OPUS);
        assert_eq!(packet.payload.len(), 60, "a frame by itself");
        let number = packet.payload[..8].try_into().map(u64::from_be_bytes);
        let number = number.expect("eight bytes");
        assert_eq!(packet.timestamp, timestamp(number));
        number
    });
    let numbers: Vec<u64> = numbers.collect();
    for (pair, number) in packets.windows(2).zip(numbers.windows(2)) {
        assert_eq!(
            pair[1].sequence - pair[0].sequence,
            number[1] - number[0],
            "a lost frame leaves its number unused"
        );
    }
    numbers
}

#[test]
fn redundancy_is_passed_on_or_taken_off() {
    for shards in [1, 2] {
        let mut world = World::new(shards);
        let publisher = world.connect(0, false);
        let (modern, plain) = (world.connect(0, false), world.connect(shards - 1, false));
        world.run_until_connected();
        let track = world.publish(publisher, MediaKind::Audio, 1);
        let (_, with_red) = world.subscribe(modern, &track);
        let (_, without) = world.subscribe_without_red(plain, &track);
        let mut microphone = Microphone::new(&track, 1_000);
        for number in 0..100 {
            // A publisher may change between the two whenever it likes.
            microphone.speak(&mut world, if number % 10 == 9 { OPUS } else { RED });
            world.run(FRAME);
        }
        let passed: Vec<_> = world.clients[modern.0].packets(with_red).collect();
        assert_eq!(passed.len(), 100);
        let red = passed.iter().filter(|it| it.payload_type == RED);
        assert_eq!(red.filter(|it| it.payload.len() == 125).count(), 90);
        let all: Vec<u64> = (1_000..1_100).collect();
        assert_eq!(heard(&world, plain, without), all);
    }
}

#[test]
fn lost_frames_come_back_out_of_later_packets() {
    let mut world = World::new(1);
    let publisher = world.connect(0, false);
    let plain = world.connect(0, false);
    world.run_until_connected();
    let track = world.publish(publisher, MediaKind::Audio, 1);
    let (_, ssrc) = world.subscribe_without_red(plain, &track);
    let mut microphone = Microphone::new(&track, 1_000);
    for _ in 0..10 {
        microphone.speak(&mut world, RED);
        world.run(FRAME);
    }
    // So far away that asking for a lost packet again is of no use.
    let far = NetemConfig::new().latency(Duration::from_millis(600));
    let far = far.loss(RandomLoss::new(Probability::new(0.10)));
    world.clients[publisher.0].set_network(&far, 5);
    for _ in 0..1_000 {
        microphone.speak(&mut world, RED);
        world.run(FRAME);
    }
    world.clients[publisher.0].set_network(&NetemConfig::new(), 1);
    for _ in 0..50 {
        microphone.speak(&mut world, RED);
        world.run(FRAME);
    }
    let heard = heard(&world, plain, ssrc);
    let unique: std::collections::BTreeSet<_> = heard.iter().collect();
    assert_eq!(unique.len(), heard.len(), "nothing twice");
    let missing = 1_060 - heard.len();
    assert!(missing <= 20, "{missing} of 1000 frames, at 10 % loss");
}

/// A room of microphones on several shards, and a listener to all of them on the last one.
struct Room {
    world: World,
    listener: ClientIndex,
    microphones: Vec<Microphone>,
    ssrcs: Vec<u32>,
}

/// Loudness of somebody who is silent next to an open microphone, and of speech.
const BACKGROUND: i8 = -70;
const SPEECH: i8 = -25;

impl Room {
    fn new(shards: u8, places: usize, microphones: usize) -> Self {
        let mut world = World::with_audio_places(shards, places);
        let publishers: Vec<_> = (0..microphones)
            .map(|number| world.connect(number as u8 % shards, false))
            .collect();
        let listener = world.connect(shards - 1, false);
        world.run_until_connected();
        let tracks: Vec<_> = publishers
            .into_iter()
            .map(|publisher| world.publish_microphone(publisher, RoomId(1)))
            .collect();
        let ssrcs = tracks
            .iter()
            .map(|track| world.subscribe_without_red(listener, track).1)
            .collect();
        let microphones = tracks.iter().map(|track| Microphone::new(track, 1_000));
        Self {
            listener,
            microphones: microphones.collect(),
            ssrcs,
            world,
        }
    }

    /// Everybody sends `frames` frames, those in `speakers` loud ones.
    fn run(&mut self, frames: usize, speakers: &[usize]) {
        for _ in 0..frames {
            for (number, microphone) in self.microphones.iter_mut().enumerate() {
                let loud = speakers.contains(&number);
                microphone.send(
                    &mut self.world,
                    RED,
                    Some(if loud { SPEECH } else { BACKGROUND }),
                );
            }
            self.world.run(FRAME);
        }
    }

    /// Forgets what has been heard; returns the frames of each microphone, checked to be numbered
    /// without gaps over everything heard before.
    fn heard(&mut self) -> Vec<Vec<u64>> {
        let numbers = |ssrc: &u32| {
            let packets = self.world.clients[self.listener.0].packets(*ssrc);
            let packets: Vec<_> = packets.collect();
            for pair in packets.windows(2) {
                assert_eq!(pair[1].sequence, pair[0].sequence + 1);
            }
            let number = |it: &&kinguicall_netem::Received| {
                let number = u64::from_be_bytes(it.payload[..8].try_into().expect("eight bytes"));
                assert_eq!(it.timestamp, timestamp(number), "time is the speaker's");
                number
            };
            packets.iter().map(number).collect()
        };
        let all = self.ssrcs.iter().map(numbers).collect();
        self.world.clients[self.listener.0].received.clear();
        all
    }
}

#[test]
fn the_loudest_microphones_are_heard_from_their_first_syllable() {
    for shards in [1, 2, 3] {
        let mut room = Room::new(shards, 3, 9);
        room.run(100, &[0, 1, 2]);
        room.heard();
        room.run(100, &[0, 1, 2]);
        for (number, frames) in room.heard().iter().enumerate() {
            let expected = if number < 3 { 100 } else { 0 };
            assert_eq!(
                frames.len(),
                expected,
                "microphone {number}, {shards} shards"
            );
        }
        room.run(10, &[0, 1]);
        room.heard();
        let onset = room.microphones[5].next;
        room.run(100, &[0, 1, 5]);
        let heard = room.heard();
        assert_eq!(heard[0].len(), 100);
        assert_eq!(heard[1].len(), 100);
        assert!(
            heard[2].len() <= 5,
            "within the exchange: {}",
            heard[2].len()
        );
        let first = heard[5][0];
        assert!(
            (onset - 3..onset).contains(&first),
            "{first}, loud from {onset}"
        );
        assert_eq!(heard[5].last(), Some(&(onset + 99)));
        // Silence keeps its place until somebody else needs it.
        room.run(50, &[]);
        assert_eq!(room.heard()[5].len(), 50);
        room.run(50, &[2]);
        let heard = room.heard();
        assert!(
            heard[2].len() >= 50 && heard[2].len() <= 53,
            "{}",
            heard[2].len()
        );
        let others: usize = [0, 1, 5].map(|number| heard[number].len()).iter().sum();
        assert!(
            (95..=105).contains(&others),
            "one of them gave way: {others}"
        );
    }
}

#[test]
fn what_is_no_microphone_or_tells_no_level_is_always_heard() {
    let mut room = Room::new(2, 1, 3);
    let screen = room.world.connect(0, false);
    let mute = room.world.connect(1, false);
    room.world.run_until_connected();
    let music = room.world.publish(screen, MediaKind::Audio, 1);
    let telephone = room.world.publish_microphone(mute, RoomId(1));
    for track in [&music, &telephone] {
        let (_, ssrc) = room.world.subscribe_without_red(room.listener, track);
        room.ssrcs.push(ssrc);
    }
    let mut music = Microphone::new(&music, 1_000);
    let mut telephone = Microphone::new(&telephone, 1_000);
    for _ in 0..100 {
        music.send(&mut room.world, OPUS, Some(BACKGROUND));
        telephone.send(&mut room.world, OPUS, None);
        room.run(1, &[1]);
    }
    let heard: Vec<_> = room.heard().iter().map(Vec::len).collect();
    assert_eq!(heard[3..], [100, 100]);
    assert!(
        heard[0] <= 5 && heard[1] >= 99 && heard[2] <= 5,
        "{heard:?}"
    );
}

#[test]
fn speech_is_cheap_and_silence_costs_nothing() {
    let mut world = World::new(1);
    let publisher = world.connect(0, false);
    let listener = world.connect(0, false);
    world.run_until_connected();
    world.send_feedback(listener);
    let track = world.publish(publisher, MediaKind::Audio, 1);
    let (_, ssrc) = world.subscribe(listener, &track);
    let mut bytes = 0;
    let mut measure = |world: &World| {
        let before = std::mem::replace(&mut bytes, world.clients[listener.0].wire_bytes);
        bytes - before
    };
    // A minute of Opus at 16 kbit/s in frames of 60 ms; then discontinuous transmission, which is
    // one short frame in 400 ms; then a muted microphone.
    let send = |world: &mut World, number: u64, at_ms: u64, payload: &[u8]| {
        let packet = SentPacket {
            sequence: 1_000 + number,
            timestamp: at_ms as u32 * 48,
            marker: false,
            payload,
            audio_level: Some(-30),
        };
        world.send(&track, 0, &packet);
    };
    world.run(Duration::from_secs(1));
    measure(&world);
    for n in 0..1_000 {
        send(&mut world, n, n * 60, &[0x78; 120]);
        world.run(Duration::from_millis(60));
    }
    let speech = measure(&world) * 8 / 60;
    for n in 0..75 {
        send(&mut world, 1_000 + n, 60_000 + n * 400, &[0x78]);
        world.run(Duration::from_millis(400));
    }
    let pause = measure(&world) * 8 / 30;
    assert_eq!(world.clients[listener.0].packets(ssrc).count(), 1_075);
    world.run(Duration::from_secs(10));
    measure(&world);
    world.run(Duration::from_secs(30));
    let muted = measure(&world) * 8 / 30;
    assert!(speech <= 24_000, "{speech} bit/s");
    assert!(pause <= 2_500, "{pause} bit/s");
    assert!(muted <= 600, "{muted} bit/s, for connectivity checks alone");
}

/// Stamps let a receiver report how packets arrive, which decides what video is sent to it: without
/// video they, and the reports, would be bytes for nothing.
#[test]
fn audio_is_measured_only_beside_video() {
    let mut world = World::new(1);
    let publisher = world.connect(0, false);
    let listener = world.connect(0, false);
    world.run_until_connected();
    world.send_feedback(listener);
    let track = world.publish(publisher, MediaKind::Audio, 1);
    let mut microphone = Microphone::new(&track, 1_000);
    let camera = world.publish(publisher, MediaKind::Video, 1);
    let (_, voice) = world.subscribe(listener, &track);
    let mut speak = |world: &mut World| {
        let before = world.clients[listener.0].packets(voice).count();
        for _ in 0..10 {
            microphone.send(world, OPUS, None);
            world.run(Duration::from_millis(20));
        }
        let heard = world.clients[listener.0].packets(voice).skip(before);
        let stamped = heard.map(|packet| packet.transport_sequence.is_some());
        stamped.collect::<Vec<_>>()
    };
    assert_eq!(speak(&mut world), [false; 10]);
    let (picture, _) = world.subscribe(listener, &camera);
    assert_eq!(speak(&mut world), [true; 10]);
    let hidden = SubscriptionSettings {
        paused: true,
        ..SubscriptionSettings::default()
    };
    let command = Command::UpdateSubscription(picture, hidden);
    world.command(camera.id.shard(), command);
    assert_eq!(speak(&mut world), [false; 10]);
}

/// Audio is never held back for want of bandwidth, so whoever sends too much of it is cut short.
#[test]
fn a_flood_on_a_microphone_costs_listeners_little() {
    let mut world = World::new(1);
    let publisher = world.connect(0, false);
    let listener = world.connect(0, false);
    world.run_until_connected();
    let track = world.publish(publisher, MediaKind::Audio, 1);
    world.subscribe(listener, &track);
    world.run(Duration::from_millis(200));
    let (before, from) = (world.clients[listener.0].wire_bytes, world.now);
    for number in 0..4_000 {
        let packet = SentPacket {
            sequence: 1_000 + number,
            timestamp: number as u32 * 48,
            marker: false,
            payload: &[0x55; 1_000],
            audio_level: Some(-20),
        };
        world.send(&track, 0, &packet);
        world.run(Duration::from_millis(1));
    }
    let seconds = (world.now - from).as_secs_f64();
    let sent_bps = (world.clients[listener.0].wire_bytes - before) as f64 * 8.0 / seconds;
    assert!(
        (1.5e6..2.4e6).contains(&sent_bps),
        "{sent_bps} bit/s of 8 million"
    );
}
