//! What a participant with a valid session can do to the others, and what it gets out of the node.

mod support;

use std::time::Duration;

use kinguicall_netem::World;
use kinguicall_proto::api::{MediaKind, Ssrc};
use kinguicall_proto::rtcp::write;
use support::{PACKETS_PER_FRAME, Vp8Source};

const FRAME: Duration = Duration::from_millis(33);
const FRAMES: u64 = 600;

/// A publisher, a viewer and an attacker that subscribes to the same video.
struct Call {
    world: World,
    publisher: usize,
    viewer: usize,
    viewer_ssrc: u32,
    attacker: usize,
    attacker_ssrc: u32,
    source: Vp8Source,
    key_frames_asked: usize,
}

impl Call {
    fn new() -> Self {
        let mut world = World::new(1);
        let publisher = world.connect(0, false);
        let viewer = world.connect(0, false);
        let attacker = world.connect_attacker(0);
        world.run_until_connected();
        let track = world.publish(publisher, MediaKind::Video, 1);
        let (_, viewer_ssrc) = world.subscribe(viewer, &track);
        let attacker_ssrc = world.subscribe_attacker(attacker, &track);
        Self {
            publisher: publisher.0,
            viewer: viewer.0,
            viewer_ssrc,
            attacker,
            attacker_ssrc,
            source: Vp8Source::new(&track, 0, 1_000),
            key_frames_asked: 0,
            world,
        }
    }

    /// Video for twenty seconds; every millisecond the attacker sends what `attack` makes of the
    /// newest sequence number it has received.
    fn run(&mut self, mut attack: impl FnMut(&mut Vec<u8>, u16, u32)) {
        let mut compound = Vec::new();
        for _ in 0..FRAMES {
            let requests = &mut self.world.clients[self.publisher].key_frame_requests;
            let asked = std::mem::take(requests);
            self.key_frames_asked += asked;
            self.source.frame(&mut self.world, asked > 0);
            let end = self.world.now + FRAME;
            while self.world.now < end {
                self.world.run(Duration::from_millis(1));
                let attacker = &mut self.world.attackers[self.attacker];
                let received = attacker.received.iter().rev();
                let newest = received
                    .filter(|packet| packet.ssrc == self.attacker_ssrc)
                    .map(|packet| packet.sequence)
                    .next();
                compound.clear();
                attack(&mut compound, newest.unwrap_or(17), self.attacker_ssrc);
                attacker.send_rtcp(&compound);
            }
        }
    }

    fn assert_the_viewer_has_everything(&self) {
        let packets = self.world.clients[self.viewer].packets(self.viewer_ssrc);
        let sequences: std::collections::BTreeSet<_> = packets.map(|it| it.sequence).collect();
        assert_eq!(sequences.len() as u64, FRAMES * PACKETS_PER_FRAME);
    }
}

#[test]
fn asking_for_everything_again_does_not_double_the_media() {
    let mut call = Call::new();
    let mut round = 0u16;
    call.run(|compound, newest, ssrc| {
        // 17 numbers a millisecond, over and over the whole buffer.
        round = (round + 17) % 512;
        let lost: Vec<u16> = (0..17)
            .map(|n| newest.wrapping_sub(round).wrapping_sub(n))
            .collect();
        write::nack(compound, Ssrc(1), Ssrc(ssrc), &lost);
    });
    call.assert_the_viewer_has_everything();
    let received = &call.world.attackers[call.attacker].received;
    let media = received.iter().filter(|it| it.ssrc == call.attacker_ssrc);
    let media: usize = media.map(|it| it.wire_len).sum();
    let all: usize = received.iter().map(|it| it.wire_len).sum();
    assert!(
        all > media + media / 2,
        "the attack has been answered at all"
    );
    assert!(all <= 2 * media, "{all} bytes for {media} of media");
}

#[test]
fn key_frame_requests_are_passed_on_twice_a_second() {
    let mut call = Call::new();
    let mut command = 0u8;
    call.run(|compound, _, ssrc| {
        command = command.wrapping_add(1);
        if command.is_multiple_of(2) {
            write::pli(compound, Ssrc(1), Ssrc(ssrc));
        } else {
            write::fir(compound, Ssrc(1), Ssrc(ssrc), command);
        }
    });
    call.assert_the_viewer_has_everything();
    let seconds = FRAMES as f64 * FRAME.as_secs_f64();
    let most = 2.0 * seconds + 2.0;
    let asked = call.key_frames_asked;
    assert!(
        (2..=most as usize).contains(&asked),
        "{asked} in {seconds} s"
    );
}
