//! How much of redundant audio (RFC 2198, one block) a listener behind a lossy downlink hears.
//!
//! The listener asks again for what is lost, as our offers invite it to (`a=rtcp-fb:111 nack`). A
//! frame is concealed if neither its packet, nor a repeat of that, nor the next packet with a copy
//! of the frame comes before the jitter buffer needs it.

#[allow(dead_code, reason = "each test file speaks in its own way")]
#[path = "support/microphone.rs"]
mod microphone;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use kinguicall_netem::{NetemConfig, Probability, RED, RandomLoss, World};
use kinguicall_proto::api::MediaKind;
use microphone::{FRAME, Microphone};

/// One way, so that a repeat takes 50 ms and what the listener waits before it asks.
const DELAY: Duration = Duration::from_millis(25);
/// How long a frame may come after those that were not lost.
const JITTER_BUFFER: Duration = Duration::from_millis(200);
const FIRST: u64 = 1_000;
/// 30 seconds.
const FRAMES: u64 = 1_500;

/// When the first frame was sent, and when each was there, by its number.
fn listen(loss: f32, seed: u64) -> (Instant, BTreeMap<u64, Instant>) {
    let mut world = World::new(1);
    let publisher = world.connect(0, false);
    let listener = world.connect(0, false);
    world.run_until_connected();
    world.send_feedback(listener);
    let track = world.publish(publisher, MediaKind::Audio, 1);
    let (_, ssrc) = world.subscribe(listener, &track);
    let clean = NetemConfig::new().latency(DELAY);
    let lossy = clean.loss(RandomLoss::new(Probability::new(loss)));
    world.clients[listener.0].set_network(&clean, seed);
    let mut microphone = Microphone::new(&track, FIRST - 50);
    let mut speak = |world: &mut World, frames| {
        for _ in 0..frames {
            microphone.speak(world, RED);
            world.run(FRAME);
        }
    };
    speak(&mut world, 50);
    world.clients[listener.0].set_downlink(&lossy, seed);
    let start = world.now;
    // And some that show whether the last ones are missing.
    speak(&mut world, FRAMES + 50);
    let mut heard = BTreeMap::new();
    for packet in world.clients[listener.0].packets(ssrc) {
        for number in frames_of(&packet.payload) {
            let at: &mut Instant = heard.entry(number).or_insert(packet.at);
            *at = packet.at.min(*at);
        }
    }
    (start, heard)
}

/// Numbers of the frames of a packet. The copy is left out while nothing is lost: then a packet is a
/// frame of 60 bytes, else two of them after headers of four bytes and one.
fn frames_of(payload: &[u8]) -> Vec<u64> {
    let places: &[usize] = match payload.len() {
        60 => &[0],
        125 => &[5, 65],
        other => panic!("a payload of {other} bytes"),
    };
    let number = |at: &usize| payload[*at..at + 8].try_into().map(u64::from_be_bytes);
    let numbers = places.iter().map(number);
    numbers.map(|it| it.expect("eight bytes")).collect()
}

/// Share of the frames that come too late or not at all.
fn concealed(loss: f32, seed: u64) -> f64 {
    let (start, heard) = listen(loss, seed);
    let is_concealed = |number: &u64| {
        let due = start + FRAME * (number - FIRST) as u32 + DELAY + JITTER_BUFFER;
        heard.get(number).is_none_or(|at| *at > due)
    };
    let concealed = (FIRST..FIRST + FRAMES).filter(is_concealed).count();
    concealed as f64 / FRAMES as f64
}

#[test]
fn redundancy_and_repeats_hide_random_loss() {
    for (loss, most) in [(0.05, 0.005), (0.10, 0.01), (0.20, 0.03)] {
        let shares: Vec<f64> = std::thread::scope(|scope| {
            let runs: Vec<_> = (1..6)
                .map(|seed| scope.spawn(move || concealed(loss, seed)))
                .collect();
            runs.into_iter()
                .map(|run| run.join().expect("a run that does not panic"))
                .collect()
        });
        assert!(
            shares.iter().all(|share| *share <= most),
            "{shares:?} of the frames concealed at {loss} of loss"
        );
    }
}
