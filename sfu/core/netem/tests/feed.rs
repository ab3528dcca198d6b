//! A feed that no peer sends: decrypted packets go through reception alone, and what it makes of them goes
//! to a shard as a neighbour's packets do. So a link to another node will feed one.

use std::time::Duration;

use kinguicall_netem::{ClientIndex, VP8, World};
use kinguicall_proto::api::{
    Codec, Layer, LayerSet, MediaKind, NeighbourId, PeerMessage, ReceiveCodec, ShardId, Ssrc,
    Supply, TrackId, Want,
};
use kinguicall_proto::receive::{Incoming, Ingest};

const HERE: ShardId = ShardId(1);
/// Beyond the shards: a link.
const LINK: NeighbourId = NeighbourId(300);
const LAYER: Layer = Layer(0);

/// A viewer, and the packets of a sender that is no peer.
struct Fed {
    world: World,
    track: TrackId,
    viewer: (ClientIndex, u32),
    ingest: Ingest,
}

impl Fed {
    fn new() -> Self {
        let mut world = World::new(2);
        let elsewhere = world.connect(0, false);
        let viewer = world.connect(1, false);
        world.run_until_connected();
        let track = world.publish(elsewhere, MediaKind::Video, 1);
        world.parents.insert(HERE, LINK);
        let (_, ssrc) = world.subscribe(viewer, &track);
        let mut fed = Self {
            world,
            track: track.id,
            viewer: (viewer, ssrc),
            ingest: Ingest::new(track.id, MediaKind::Video, true),
        };
        fed.tell_supply();
        fed
    }

    fn tell_supply(&mut self) {
        let supply = Supply {
            active: LayerSet::from_iter([LAYER]),
            bitrates_bps: [Some(100_000), None, None],
        };
        let track = self.track;
        self.world
            .message(HERE, PeerMessage::Supply { track, supply });
    }

    /// A frame of one packet under `ssrc`.
    fn send(&mut self, ssrc: u32, sequence: u16, is_key: bool, is_repeat: bool) {
        let predicted = u8::from(!is_key);
        let start = [0x90, 0xe0, 0x80, sequence as u8, 0, 0x20, 0x10 | predicted];
        let mut payload = start.to_vec();
        payload.extend([0, 0, 0x9d, 0x01, 0x2a, 0, 0, 0, 0, sequence as u8]);
        let packet = Incoming {
            ssrc: Ssrc(ssrc),
            sequence,
            timestamp: u32::from(sequence) * 3_000,
            marker: true,
            codec: Some(ReceiveCodec {
                payload_type: VP8,
                codec: Codec::Vp8,
                clock_rate_hz: 90_000,
                rtx_payload_type: None,
            }),
            payload: &payload,
            has_padding: false,
            is_repeat,
            descriptor: None,
            abs_capture_time: None,
        };
        let taken = self.ingest.on_packet(self.world.now, LAYER, &packet);
        let taken = taken.expect("taken");
        let (track, layer) = (self.track, LAYER);
        if taken.restarted {
            let message = PeerMessage::SourceRestarted { track, layer };
            self.world.message(HERE, message);
        }
        let packet = taken.packet.expect("media");
        self.world.feed(HERE, &packet.meta, packet.payload);
        self.world.run(Duration::from_millis(33));
    }

    /// What is asked of the sender.
    fn lost(&mut self) -> Vec<(Ssrc, u16)> {
        let mut lost = Vec::new();
        let round_trip = Duration::from_millis(30);
        let numbers = &mut Vec::new();
        self.ingest
            .poll_nacks(self.world.now, round_trip, numbers, |ssrc, numbers| {
                lost.extend(numbers.iter().map(|number| (ssrc, *number)));
            });
        lost
    }

    /// The last byte of each packet that the viewer has, in the order of their numbers.
    fn seen(&self) -> Vec<u8> {
        let (client, ssrc) = self.viewer;
        let client = &self.world.clients[client.0];
        let mut packets: Vec<_> = client.packets(ssrc).collect();
        packets.sort_by_key(|it| it.sequence);
        for pair in packets.windows(2) {
            assert_eq!(pair[1].sequence, pair[0].sequence + 1, "a hole");
        }
        let last = |payload: &[u8]| payload.last().copied().expect("a payload");
        packets.iter().map(|it| last(&it.payload)).collect()
    }
}

#[test]
fn a_link_is_told_what_is_wanted() {
    let mut fed = Fed::new();
    fed.world.run(Duration::from_millis(10));
    let mut wants = fed.world.outside.iter().filter_map(|it| match it {
        PeerMessage::Attach { want, .. } => Some(*want),
        _ => None,
    });
    assert_eq!(wants.next(), Some(Want::ALL));
    let is_asked = |it: &PeerMessage| matches!(it, PeerMessage::KeyFrameWanted { .. });
    assert!(fed.world.outside.iter().any(is_asked));
}

#[test]
fn packets_without_a_peer_are_numbered_repaired_and_forwarded() {
    let mut fed = Fed::new();
    fed.send(7, 100, true, false);
    for sequence in [101, 102, 104] {
        fed.send(7, sequence, false, false);
    }
    fed.world.run(Duration::from_millis(30));
    assert_eq!(fed.lost(), [(Ssrc(7), 103)]);
    fed.send(7, 103, false, true);
    // The sender begins anew: numbers go on at its key frame.
    fed.send(8, 30_000, true, false);
    fed.send(8, 30_001, false, false);
    let tags = [100, 101, 102, 103, 104, 30_000_u16 as u8, 30_001_u16 as u8];
    assert_eq!(fed.seen(), tags);
    assert_eq!(fed.ingest.report_blocks(fed.world.now).count(), 1);
}
