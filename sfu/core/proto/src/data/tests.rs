//! Two sets of channels talking over a lossy wire, and what a hostile peer may say inside an
//! association that it holds.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::channels::{ChannelEvent, ChannelKind, Channels, MAX_CHANNELS, SendOutcome};
use super::sender::Sender;
use crate::api::{DataDelivery, DtlsRole};

#[allow(clippy::disallowed_methods)]
fn start() -> Instant {
    Instant::now()
}

/// A node's and a peer's channels, joined by a wire with delay and loss.
struct Wire {
    now: Instant,
    node: Channels,
    peer: Channels,
    under_way: Vec<(Instant, bool, Vec<u8>)>,
    loss_percent: u64,
    random: u64,
    node_events: Vec<ChannelEvent>,
    peer_events: Vec<ChannelEvent>,
    /// The peer's last packet, for its tag.
    to_node: Vec<u8>,
    /// The peer's last transmission sequence number.
    last_tsn: u32,
}

impl Wire {
    fn new(node_role: DtlsRole, node_opens: bool, loss_percent: u64) -> Self {
        let peer_role = match node_role {
            DtlsRole::Client => DtlsRole::Server,
            DtlsRole::Server => DtlsRole::Client,
        };
        Self {
            now: start(),
            node: Channels::new(node_role, node_opens),
            peer: Channels::new(peer_role, !node_opens),
            under_way: Vec::new(),
            loss_percent,
            random: 7,
            node_events: Vec::new(),
            peer_events: Vec::new(),
            to_node: Vec::new(),
            last_tsn: 0,
        }
    }

    fn is_lost(&mut self) -> bool {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ self.random >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) % 100 < self.loss_percent
    }

    /// One step of 5 ms; packets take 20 ms.
    fn step(&mut self) {
        self.now += Duration::from_millis(5);
        let (due, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.under_way)
            .into_iter()
            .partition(|(at, ..)| *at <= self.now);
        self.under_way = later;
        for (_, to_node, packet) in due {
            if to_node {
                self.node.handle(self.now, &packet);
                if packet[12] == 0 {
                    self.last_tsn = u32::from_be_bytes(packet[16..20].try_into().unwrap());
                }
                self.to_node = packet;
            } else {
                self.peer.handle(self.now, &packet);
            }
        }
        self.node.handle_timeout(self.now);
        self.peer.handle_timeout(self.now);
        self.collect();
    }

    fn collect(&mut self) {
        let at = self.now + Duration::from_millis(20);
        self.node.hold(self.now);
        while let Some(packet) = self.node.poll_transmit(self.now) {
            assert!(packet.len() <= 1_195, "{} bytes", packet.len());
            if !self.is_lost() {
                self.under_way.push((at, false, packet.to_vec()));
            }
        }
        while let Some(packet) = self.peer.poll_transmit(self.now) {
            if !self.is_lost() {
                self.under_way.push((at, true, packet.to_vec()));
            }
        }
        while let Some(event) = self.node.poll_event() {
            self.node_events.push(event);
        }
        while let Some(event) = self.peer.poll_event() {
            self.peer_events.push(event);
        }
    }

    fn run_until(&mut self, limit: Duration, done: impl Fn(&Self) -> bool) -> bool {
        let end = self.now + limit;
        while self.now < end {
            if done(self) {
                return true;
            }
            self.step();
        }
        done(self)
    }

    fn opened(node_role: DtlsRole, node_opens: bool, loss_percent: u64) -> Self {
        let mut wire = Self::new(node_role, node_opens, loss_percent);
        let both = |wire: &Self| {
            [&wire.node, &wire.peer].iter().all(|side| {
                side.is_open(DataDelivery::Reliable) && side.is_open(DataDelivery::Lossy)
            })
        };
        assert!(
            wire.run_until(Duration::from_secs(60), both),
            "channels do not open"
        );
        wire
    }
}

fn messages(events: &[ChannelEvent], wanted: ChannelKind) -> Vec<Vec<u8>> {
    let events = events.iter();
    let events = events.filter_map(|event| match event {
        ChannelEvent::Message { kind, bytes, .. } if *kind == wanted => Some(bytes.clone()),
        _ => None,
    });
    events.collect()
}

#[test]
fn channels_open_whoever_opens_them() {
    for role in [DtlsRole::Client, DtlsRole::Server] {
        for node_opens in [true, false] {
            let mut wire = Wire::opened(role, node_opens, 0);
            wire.run_until(Duration::from_secs(1), |_| false);
            for events in [&wire.node_events, &wire.peer_events] {
                let opened: Vec<_> = events
                    .iter()
                    .map(|event| match event {
                        ChannelEvent::Opened { id, label, .. } => (*id % 2, label.as_str()),
                        other => panic!("{other:?}"),
                    })
                    .collect();
                let opener_is_client = (role == DtlsRole::Client) == node_opens;
                let parity = u16::from(!opener_is_client);
                let expected = ["_reliable", "_lossy", "_data_track"].map(|label| (parity, label));
                assert_eq!(opened, expected);
            }
        }
    }
}

#[test]
fn reliable_messages_survive_loss_in_order() {
    let mut wire = Wire::opened(DtlsRole::Server, true, 10);
    let sent: Vec<Vec<u8>> = (0..200_u32)
        .map(|number| {
            let mut message = number.to_be_bytes().to_vec();
            message.resize(4 + (number as usize * 37) % 3_000, 9);
            message
        })
        .collect();
    for message in &sent {
        let outcome = wire.node.send(DataDelivery::Reliable, message);
        assert_eq!(outcome, SendOutcome::Queued);
    }
    let count = |wire: &Wire| messages(&wire.peer_events, ChannelKind::Reliable).len();
    wire.run_until(Duration::from_secs(120), |wire| count(wire) == sent.len());
    assert_eq!(messages(&wire.peer_events, ChannelKind::Reliable), sent);
}

/// Messages of `len` bytes to a node that holds them, until the peer has no more to say or to send.
fn held(len: usize, count: u32) -> Wire {
    let mut wire = Wire::opened(DtlsRole::Server, true, 0);
    wire.run_until(Duration::from_secs(1), |_| false);
    wire.node.sender.expect_taken(usize::MAX, 1);
    let mut said = 0;
    for _ in 0..2_000 {
        while said < count {
            let mut message = said.to_be_bytes().to_vec();
            message.resize(len, 9);
            if wire.peer.send(DataDelivery::Reliable, &message) != SendOutcome::Queued {
                break;
            }
            said += 1;
        }
        wire.step();
    }
    assert!(messages(&wire.node_events, ChannelKind::Reliable).is_empty());
    wire
}

#[test]
fn a_held_peer_is_slowed_by_its_window_and_goes_on_at_once() {
    for (len, count) in [(30_000, 25), (4, 20_000)] {
        let mut wire = held(len, count);
        let cost = wire.node.inbox.cost();
        assert!(cost < 400 * 1_024, "{cost} bytes are held");
        wire.node.sender = Sender::default();
        let before = wire.now;
        let got = |wire: &Wire| messages(&wire.node_events, ChannelKind::Reliable);
        wire.run_until(Duration::from_secs(5), |wire| {
            got(wire).len() == count as usize
        });
        let numbers = got(&wire).into_iter().map(|message| {
            let number = message.first_chunk::<4>().copied();
            number.map_or(u32::MAX, u32::from_be_bytes)
        });
        assert!(numbers.eq(0..count), "{count} of {len} bytes, in order");
        // After ten seconds without a window the peer's timer alone would let it wait for three.
        let took = wire.now - before;
        assert!(took < Duration::from_secs(2), "{took:?}");
    }
}

#[test]
fn what_a_held_peer_says_lossily_is_heard() {
    let mut wire = held(4_000, 10);
    wire.peer.send(DataDelivery::Lossy, b"now");
    wire.run_until(Duration::from_secs(1), |_| false);
    assert_eq!(messages(&wire.node_events, ChannelKind::Lossy), [b"now"]);
}

#[test]
fn a_message_longer_than_the_window_ends_the_association_for_both() {
    let mut wire = Wire::opened(DtlsRole::Server, true, 0);
    wire.peer.set_longest(1 << 20);
    wire.peer
        .send(DataDelivery::Reliable, &vec![1; 400 * 1_024]);
    let closed = |events: &[ChannelEvent]| {
        let closed = |event: &&ChannelEvent| matches!(event, ChannelEvent::Closed { .. });
        events.iter().filter(closed).count()
    };
    wire.run_until(Duration::from_secs(10), |_| false);
    assert_eq!(
        [closed(&wire.node_events), closed(&wire.peer_events)],
        [3, 3]
    );
}

#[test]
fn lossy_messages_are_not_repeated() {
    let mut wire = Wire::opened(DtlsRole::Server, true, 20);
    for number in 0..500_u32 {
        wire.node.send(DataDelivery::Lossy, &number.to_be_bytes());
        wire.step();
    }
    wire.run_until(Duration::from_secs(10), |_| false);
    let received = messages(&wire.peer_events, ChannelKind::Lossy).len();
    assert!((300..500).contains(&received), "{received} of 500");
}

#[test]
fn a_reader_that_does_not_read_costs_a_bounded_buffer() {
    let mut wire = Wire::opened(DtlsRole::Server, true, 0);
    let message = vec![1; 60_000];
    let send = |wire: &mut Wire, delivery| {
        let sent = (0..200).map(|_| wire.node.send(delivery, &message));
        sent.filter(|outcome| *outcome == SendOutcome::Queued)
            .count()
    };
    assert_eq!(
        send(&mut wire, DataDelivery::Reliable),
        512 * 1_024 / 60_000
    );
    assert_eq!(send(&mut wire, DataDelivery::Lossy), 1);
    assert!(wire.node.dropped() > 300);
}

#[test]
fn messages_that_are_too_long_are_refused() {
    let mut wire = Wire::opened(DtlsRole::Server, true, 0);
    let too_long = vec![0; 64 * 1_024 + 1];
    let outcome = wire.node.send(DataDelivery::Reliable, &too_long);
    assert_eq!(outcome, SendOutcome::TooLarge);
    assert_eq!(
        wire.node.send(DataDelivery::Reliable, &[]),
        SendOutcome::TooLarge
    );
}

#[test]
fn nothing_is_sent_before_a_channel_is_open() {
    let mut channels = Channels::new(DtlsRole::Server, true);
    assert_eq!(
        channels.send(DataDelivery::Reliable, b"x"),
        SendOutcome::NoChannel
    );
}

#[test]
fn a_peer_may_not_open_more_than_its_share() {
    let mut wire = Wire::opened(DtlsRole::Server, false, 0);
    while wire.peer.open("more", true, None) {}
    // The peer counts for itself; the node must, too.
    let many = Wire::opened(DtlsRole::Server, true, 0);
    drop(many);
    wire.run_until(Duration::from_secs(2), |_| false);
    let opened = wire.node_events.iter();
    let opened = opened.filter(|event| matches!(event, ChannelEvent::Opened { .. }));
    assert_eq!(opened.count(), MAX_CHANNELS);
    assert!(!wire.node.open("one too many", true, None));
    assert!(!wire.node.open(&"x".repeat(65), true, None));
}

fn corpus(kind: &str) -> Vec<Vec<u8>> {
    let root = std::env::var("KINGUICALL_CORPORA").map_or_else(
        |_| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../../shared/corpora"),
        PathBuf::from,
    );
    let Ok(entries) = std::fs::read_dir(root.join(kind)) else {
        return Vec::new();
    };
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
        .iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect()
}

/// CRC-32C, as SCTP wants it (RFC 9260, appendix A).
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = !0_u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 {
                crc >> 1 ^ 0x82f6_3b78
            } else {
                crc >> 1
            };
        }
    }
    !crc
}

/// Makes `packet` one that the node's association takes for its peer's.
fn sealed(wire: &Wire, mut packet: Vec<u8>) -> Vec<u8> {
    packet[..8].copy_from_slice(&wire.to_node[..8]);
    packet[8..12].fill(0);
    let checksum = crc32c(&packet);
    packet[8..12].copy_from_slice(&checksum.to_le_bytes());
    packet
}

/// What the node still does for a peer that has behaved until now.
fn still_answers(wire: &mut Wire) -> bool {
    wire.node_events.clear();
    wire.peer.send(DataDelivery::Reliable, b"still there?");
    wire.run_until(Duration::from_secs(30), |wire| {
        !messages(&wire.node_events, ChannelKind::Reliable).is_empty()
    })
}

#[test]
fn hostile_packets_inside_an_association_are_survived() {
    for sample in corpus("sctp") {
        let body = sample.get(12..sample.len().min(1_500)).unwrap_or(&[]);
        for cut in (0..=body.len())
            .step_by(1 + body.len() / 24)
            .chain([body.len()])
        {
            let mut wire = Wire::opened(DtlsRole::Server, true, 0);
            wire.run_until(Duration::from_millis(100), |_| false);
            let mut packet = vec![0; 12];
            packet.extend(&body[..cut]);
            let packet = sealed(&wire, packet);
            let now = wire.now;
            wire.node.handle(now, &packet);
            wire.run_until(Duration::from_millis(200), |_| false);
        }
    }
}

#[test]
fn a_chunk_without_length_does_not_hold_the_node() {
    let mut wire = Wire::opened(DtlsRole::Server, true, 0);
    wire.run_until(Duration::from_millis(100), |_| false);
    for kind in 0..=255 {
        let mut packet = vec![0; 12];
        packet.extend([kind, 0, 0, 0, 0, 0, 0, 0]);
        let packet = sealed(&wire, packet);
        let now = wire.now;
        wire.node.handle(now, &packet);
    }
    assert!(still_answers(&mut wire));
}

#[test]
#[allow(clippy::disallowed_methods)]
fn opening_every_stream_costs_little() {
    let mut wire = Wire::opened(DtlsRole::Server, false, 0);
    wire.run_until(Duration::from_millis(500), |_| false);
    let began = Instant::now();
    let open = b"\x03\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00x";
    let mut accepted = 0;
    for id in 0..=u16::MAX {
        let mut packet = vec![0; 12];
        packet.extend([0, 3, 0, 16 + open.len() as u8]);
        let tsn = wire.last_tsn.wrapping_add(1 + u32::from(id));
        packet.extend(tsn.to_be_bytes());
        packet.extend(id.to_be_bytes());
        packet.extend([0, 0, 0, 0, 0, 50]);
        packet.extend(open);
        packet.extend([0; 3]);
        let packet = sealed(&wire, packet);
        let now = wire.now;
        wire.node.handle(now, &packet);
        while wire.node.poll_transmit(now).is_some() {}
        while let Some(event) = wire.node.poll_event() {
            accepted += usize::from(matches!(event, ChannelEvent::Opened { .. }));
        }
    }
    assert!(accepted <= MAX_CHANNELS, "{accepted}");
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "{:?}",
        began.elapsed()
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_chunks_are_survived(
        chunks in proptest::collection::vec(
            (any::<u8>(), any::<u8>(), proptest::collection::vec(any::<u8>(), 0..60)), 1..6),
    ) {
        let mut wire = Wire::opened(DtlsRole::Server, true, 0);
        let mut packet = vec![0; 12];
        for (kind, flags, body) in chunks {
            let kind = if kind < 128 { kind % 16 } else { kind };
            packet.extend([kind, flags]);
            packet.extend((4 + body.len() as u16).to_be_bytes());
            packet.extend(&body);
            packet.resize(packet.len().next_multiple_of(4), 0);
        }
        let packet = sealed(&wire, packet);
        let now = wire.now;
        wire.node.handle(now, &packet);
        wire.run_until(Duration::from_millis(300), |_| false);
    }
}
