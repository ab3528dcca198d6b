//! One picture in two codecs: a viewer changes over from one track to the other, and sees one stream.

mod support;

use std::time::Duration;

use kinguicall_netem::{
    ClientIndex, NetemConfig, Probability, RandomLoss, Received, Track, VP9, World,
};
use kinguicall_proto::api::{
    ChangeTrack, Codec, Command, Event, MediaKind, SendCodec, SubscriptionId, SubscriptionSettings,
};
use support::scalable::{Format, Mode, ScalableSource};
use support::{PACKETS_PER_FRAME, Vp8Source};

const VP8: u8 = 96;
/// Of one frame in the clock of video.
const FRAME_TICKS: u32 = 3_000;

/// A publisher with VP9 and VP8 on one shard, and a viewer on another.
struct Call {
    world: World,
    publisher: ClientIndex,
    viewer: ClientIndex,
    scalable: Track,
    vp8: Track,
    scalable_source: ScalableSource,
    vp8_source: Vp8Source,
    id: SubscriptionId,
    ssrc: u32,
}

/// What the publisher sends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sends {
    Vp9,
    Vp8,
    Both,
}

fn call() -> Call {
    let mut world = World::new(2);
    let publisher = world.connect(0, false);
    let viewer = world.connect(1, false);
    world.run_until_connected();
    let scalable = world.publish(publisher, MediaKind::Video, 1);
    let vp8 = world.publish(publisher, MediaKind::Video, 3);
    let (id, ssrc) = world.subscribe(viewer, &scalable);
    Call {
        scalable_source: ScalableSource::new(&scalable, Format::Vp9, Mode::Key),
        vp8_source: Vp8Source::new(&vp8, 1, 900),
        world,
        publisher,
        viewer,
        scalable,
        vp8,
        id,
        ssrc,
    }
}

impl Call {
    fn run(&mut self, sends: Sends, frames: u32) -> Vec<Received> {
        let before = self.packets().len();
        for _ in 0..frames {
            let asked = self.world.clients[self.publisher.0].key_frame_requests > 0;
            if sends == Sends::Both {
                self.vp8_source.frame(&mut self.world, asked);
            }
            match sends {
                Sends::Vp8 => self.vp8_source.run(&mut self.world, 1),
                Sends::Vp9 | Sends::Both => self.scalable_source.run(&mut self.world, 1),
            }
        }
        self.packets().split_off(before)
    }

    fn change(&mut self, to: &Track, paused: bool) {
        let codecs =
            [(VP8, Codec::Vp8), (VP9, Codec::Vp9)].map(|(payload_type, codec)| SendCodec {
                from_payload_type: payload_type,
                payload_type,
                rtx_payload_type: Some(payload_type + 1),
                codec,
                clock_rate_hz: 90_000,
            });
        let request = ChangeTrack {
            id: self.id,
            track: to.id,
            via: (to.id.shard() != self.id.shard()).then(|| to.id.shard().into()),
            codecs: codecs.to_vec(),
            settings: SubscriptionSettings {
                paused,
                ..SubscriptionSettings::default()
            },
        };
        let command = Command::ChangeTrack(Box::new(request));
        self.world.command(self.id.shard(), command);
    }

    fn changes(&mut self) -> Vec<u32> {
        self.world.run(Duration::from_millis(1));
        let events = std::mem::take(&mut self.world.events);
        let changed = events.iter().filter_map(|event| match event {
            Event::TrackChanged {
                subscription,
                track,
            } if *subscription == self.id => Some(track.0),
            _ => None,
        });
        changed.collect()
    }

    fn packets(&self) -> Vec<Received> {
        let viewer = &self.world.clients[self.viewer.0];
        viewer.packets(self.ssrc).cloned().collect()
    }
}

fn payload_types(packets: &[Received]) -> Vec<u8> {
    let mut types: Vec<u8> = packets.iter().map(|p| p.payload_type).collect();
    types.dedup();
    types
}

fn assert_one_stream(packets: &[Received]) {
    for pair in packets.windows(2) {
        assert_eq!(pair[1].sequence, pair[0].sequence + 1, "a hole");
        let step = pair[1].timestamp.wrapping_sub(pair[0].timestamp);
        assert!(step <= 2 * FRAME_TICKS, "time leaps by {step}");
        if pair[1].payload_type != pair[0].payload_type {
            assert!(step > 0, "two pictures of one time");
        }
    }
}

#[test]
fn what_flows_goes_on_until_the_other_codec_has_a_key_frame() {
    let mut call = call();
    assert_eq!(payload_types(&call.run(Sends::Vp9, 30)), [VP9]);
    let (scalable, vp8) = (call.scalable.clone(), call.vp8.clone());
    call.change(&vp8, false);
    assert_eq!(
        payload_types(&call.run(Sends::Vp9, 30)),
        [VP9],
        "there is no VP8 yet"
    );
    assert_eq!(call.changes(), []);
    let changed = call.run(Sends::Both, 30);
    assert_eq!(payload_types(&call.packets()), [VP9, VP8]);
    assert_eq!(call.changes(), [vp8.id.0]);
    let first = changed.iter().find(|p| p.payload_type == VP8);
    let first = first.expect("it has changed over");
    assert_eq!(first.payload[6] & 1, 0, "it begins with a key frame");
    let alone = call.run(Sends::Vp8, 30);
    assert_eq!(alone.len() as u64, 30 * PACKETS_PER_FRAME);

    call.change(&scalable, false);
    call.run(Sends::Both, 30);
    assert_eq!(payload_types(&call.packets()), [VP9, VP8, VP9]);
    assert_eq!(call.changes(), [scalable.id.0]);
    assert_one_stream(&call.packets());
}

#[test]
fn a_change_that_is_taken_back_leaves_the_stream_alone() {
    let mut call = call();
    call.run(Sends::Vp9, 10);
    let (scalable, vp8) = (call.scalable.clone(), call.vp8.clone());
    call.change(&vp8, false);
    call.run(Sends::Vp9, 5);
    call.change(&scalable, false);
    assert_eq!(call.changes(), [scalable.id.0]);
    assert_eq!(payload_types(&call.run(Sends::Both, 30)), [VP9]);
    assert_one_stream(&call.packets());
    let stats = call.world.shard(call.id.shard()).stats();
    assert_eq!(stats.tracks, 1, "the copy of the VP8 track is given up");
}

#[test]
fn a_track_that_ends_hands_its_viewers_over() {
    let mut call = call();
    call.run(Sends::Both, 10);
    let (scalable, vp8) = (call.scalable.clone(), call.vp8.clone());
    call.change(&vp8, false);
    call.world
        .command(scalable.id.shard(), Command::Unpublish(scalable.id));
    assert_eq!(call.changes(), [vp8.id.0]);
    assert_eq!(payload_types(&call.run(Sends::Vp8, 30)), [VP8]);
    assert_one_stream(&call.packets());
    // And a track that ends before anybody has come to it keeps nobody from going on.
    let other = call.world.publish(call.publisher, MediaKind::Video, 1);
    call.change(&other, false);
    call.world
        .command(other.id.shard(), Command::Unpublish(other.id));
    assert_eq!(
        call.run(Sends::Vp8, 10).len() as u64,
        10 * PACKETS_PER_FRAME
    );
    call.world
        .command(call.id.shard(), Command::Unsubscribe(call.id));
    assert!(call.run(Sends::Vp8, 10).is_empty());
    let stats = call.world.shard(call.id.shard()).stats();
    assert_eq!((stats.tracks, stats.subscriptions), (0, 0));
}

#[test]
fn who_is_paused_changes_over_at_once() {
    let mut call = call();
    call.run(Sends::Both, 10);
    let vp8 = call.vp8.clone();
    call.change(&vp8, true);
    assert_eq!(call.changes(), [vp8.id.0]);
    assert!(call.run(Sends::Both, 10).is_empty());
    let command = Command::UpdateSubscription(call.id, SubscriptionSettings::default());
    call.world.command(call.id.shard(), command);
    assert_eq!(payload_types(&call.run(Sends::Both, 30)), [VP8]);
}

/// Each number stands for the same bytes, whatever is lost and sent again around a change.
#[test]
fn retransmission_does_not_mix_up_the_codecs() {
    let mut call = call();
    call.run(Sends::Both, 30);
    let network = NetemConfig::new()
        .latency(Duration::from_millis(20))
        .loss(RandomLoss::new(Probability::new(0.05)));
    call.world.clients[call.viewer.0].set_network(&network, 9);
    let tracks = [call.vp8.clone(), call.scalable.clone()];
    for round in 0..8 {
        call.change(&tracks[round % 2], false);
        call.run(Sends::Both, 40);
    }
    assert_eq!(call.changes().len(), 8);
    let mut by_sequence = std::collections::BTreeMap::new();
    for packet in &call.packets() {
        let seen = (packet.payload_type, packet.payload.clone());
        let first = by_sequence.entry(packet.sequence).or_insert(seen.clone());
        assert_eq!(*first, seen, "two packets of one number");
    }
}
