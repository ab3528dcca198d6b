//! Audio on its way to listeners: redundancy (RFC 2198) for those who have negotiated it and for
//! those who have not.

use std::time::Duration;

use kinguicall_netem::{
    ClientIndex, NetemConfig, OPUS, Probability, RED, RandomLoss, SentPacket, Track, World,
};
use kinguicall_proto::api::MediaKind;

const FRAME: Duration = Duration::from_millis(20);
const FRAME_TICKS: u32 = 960;

/// A microphone: a frame every 20 ms that tells its number, with a copy of the frame before it.
struct Microphone {
    track: Track,
    next: u64,
}

impl Microphone {
    fn new(track: &Track, first: u64) -> Self {
        Self {
            track: track.clone(),
            next: first,
        }
    }

    fn speak(&mut self, world: &mut World, payload_type: u8) {
        let number = self.next;
        self.next += 1;
        let payload = match payload_type {
            RED => {
                let copy = frame(number - 1);
                let header = 0x8000_0000 | u32::from(OPUS) << 24 | FRAME_TICKS << 10;
                let header = (header | copy.len() as u32).to_be_bytes();
                [&header[..], &[OPUS], &copy, &frame(number)].concat()
            }
            _ => frame(number),
        };
        let packet = SentPacket {
            sequence: number,
            timestamp: timestamp(number),
            marker: false,
            payload: &payload,
            audio_level: Some(-20),
        };
        world.send_as(&self.track, 0, &packet, payload_type);
    }
}

fn frame(number: u64) -> Vec<u8> {
    let mut frame = vec![0x78; 60];
    frame[..8].copy_from_slice(&number.to_be_bytes());
    frame
}

fn timestamp(number: u64) -> u32 {
    (number as u32).wrapping_mul(FRAME_TICKS)
}

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
