//! Playing a clip: numbers and times go on over loops and key frames, and packets can be repeated.

use kinguicall_proto::api::ExtensionId;
use kinguicall_proto::receive::rtx;
use kinguicall_proto::rtp::Header;
use kinguicall_proto::rtp::payload::{is_switch_point, vp8::Descriptor};

use super::*;
use crate::clip::SourceFrame;

const FRAME: Duration = Duration::from_millis(40);
const TICKS: u32 = 3_600;

struct Player {
    outgoing: Outgoing,
    extensions: ExtensionMap,
    clock: NtpClock,
    transport_sequence: u16,
    start: Instant,
}

impl Player {
    /// So many frames of 1,500 bytes, hence of two packets, again and again.
    fn new(frames: u32, rid: Option<Rid>) -> Self {
        let mut key = vec![1; 1_500];
        key[..6].copy_from_slice(&[0x10, 0, 0, 0x9d, 0x01, 0x2a]);
        let mut delta = key.clone();
        delta[0] = 0x11;
        let source: Vec<_> = (0..frames)
            .map(|frame| SourceFrame {
                timestamp: frame * TICKS,
                level_dbov: SILENT,
                data: if frame == 0 { &key } else { &delta },
            })
            .collect();
        let clip = Clip::new(Codec::Vp8, 90_000, frames * TICKS, &source).unwrap();
        let encoding = EncodingConfig {
            clip: Arc::new(clip),
            rid,
            ssrc: Ssrc(1),
            rtx_ssrc: Some(Ssrc(2)),
        };
        let config = SendConfig {
            track: 0,
            mid: Mid::new(b"0").unwrap(),
            payload_type: 96,
            rtx_payload_type: Some(97),
            encodings: vec![encoding],
            offset: Duration::ZERO,
        };
        let kinds = [
            ExtensionKind::Mid,
            ExtensionKind::Rid,
            ExtensionKind::TransportCc,
            ExtensionKind::AbsCaptureTime,
            ExtensionKind::RepairedRid,
        ];
        let ids: Vec<_> = (1..)
            .zip(kinds)
            .map(|(id, kind)| ExtensionId { id, kind })
            .collect();
        let start = Instant::now();
        Self {
            outgoing: Outgoing::new(start, config, &mut Random::new(3)),
            extensions: ExtensionMap::new(&ids),
            clock: NtpClock::new(start, Duration::from_secs(1_700_000_000)),
            transport_sequence: 0,
            start,
        }
    }

    fn play(&mut self, now: Instant) -> Vec<Vec<u8>> {
        let mut context = PacketContext {
            extensions: &self.extensions,
            clock: self.clock,
            transport_sequence: &mut self.transport_sequence,
        };
        let (mut buffer, mut sent) = ([0; 1_500], Vec::new());
        while self
            .outgoing
            .send_due(now, &mut context, &mut buffer, |packet, plain| {
                sent.push(packet[..plain.len].to_vec());
            })
            .is_some()
        {}
        sent
    }

    fn send_again(&mut self, sequence: u16) -> Option<Vec<u8>> {
        let mut context = PacketContext {
            extensions: &self.extensions,
            clock: self.clock,
            transport_sequence: &mut self.transport_sequence,
        };
        let mut buffer = [0; 1_500];
        let again = self
            .outgoing
            .send_again(Ssrc(1), sequence, &mut context, &mut buffer);
        again.map(|plain| buffer[..plain.len].to_vec())
    }
}

fn header(packet: &[u8]) -> Header {
    Header::parse(packet).unwrap()
}

fn payload(packet: &[u8]) -> &[u8] {
    &packet[header(packet).header_len..]
}

#[test]
fn numbers_and_times_go_on_when_the_clip_begins_again() {
    let mut player = Player::new(5, None);
    let mut sent = Vec::new();
    for frame in 0..12 {
        assert_eq!(
            player.outgoing.poll_timeout(),
            Some(player.start + FRAME * frame)
        );
        sent.extend(player.play(player.start + FRAME * frame));
    }
    assert_eq!(sent.len(), 24);
    for (one, next) in sent.iter().zip(&sent[1..]) {
        assert_eq!(header(next).sequence, header(one).sequence.wrapping_add(1));
        let step = header(next).timestamp.wrapping_sub(header(one).timestamp);
        let pictures = [one, next].map(|p| Descriptor::parse(payload(p)).unwrap().picture_id);
        let [before, after] = pictures.map(|id| id.unwrap().value);
        let is_new = header(one).marker;
        assert_eq!(step, if is_new { TICKS } else { 0 });
        assert_eq!(after, (before + u16::from(is_new)) & 0x7fff);
    }
    let keys = sent.iter().map(|p| is_switch_point(Codec::Vp8, payload(p)));
    let keys: Vec<_> = keys
        .enumerate()
        .filter(|(_, key)| *key)
        .map(|(at, _)| at)
        .collect();
    assert_eq!(keys, [0, 10, 20]);
}

#[test]
fn a_key_frame_comes_with_the_next_frame_but_not_too_soon_after_another() {
    let mut player = Player::new(100, None);
    let mut keys = Vec::new();
    for frame in 0..20 {
        // Asked for in every frame: 300 ms are seven and a half frames.
        assert!(player.outgoing.want_key_frame(Ssrc(1)));
        let sent = player.play(player.start + FRAME * frame);
        if is_switch_point(Codec::Vp8, payload(&sent[0])) {
            keys.push(frame);
        }
    }
    assert_eq!(keys, [0, 8, 16]);
    assert!(!player.outgoing.want_key_frame(Ssrc(9)));
}

#[test]
fn a_packet_is_sent_again_as_a_retransmission_with_its_own_time() {
    let mut player = Player::new(5, Rid::new(b"h"));
    let first = player.play(player.start);
    player.play(player.start + FRAME);
    let wanted = header(&first[1]).sequence;
    let again = player.send_again(wanted).unwrap();
    let read = player.extensions.read(&again, &header(&again));
    let original = player.extensions.read(&first[1], &header(&first[1]));
    assert_eq!(
        (header(&again).ssrc, header(&again).payload_type),
        (Ssrc(2), 97)
    );
    assert_eq!(
        (original.rid, original.repaired_rid),
        (Rid::new(b"h"), None)
    );
    assert_eq!((read.rid, read.repaired_rid), (None, Rid::new(b"h")));
    assert_eq!(read.abs_capture_time, original.abs_capture_time);
    assert_eq!(read.transport_cc, Some(4));
    assert_eq!(
        rtx::unwrap(payload(&again)),
        Some((wanted, payload(&first[1])))
    );
    assert_eq!(player.send_again(wanted.wrapping_add(9)), None);
    assert_eq!(player.send_again(wanted.wrapping_sub(9)), None);
}

#[test]
fn a_sender_that_was_held_up_goes_on_from_now_and_an_inactive_one_is_silent() {
    let mut player = Player::new(5, None);
    player.play(player.start);
    let late = player.start + Duration::from_secs(7);
    assert_eq!(player.play(late).len(), 2);
    player.outgoing.set_active(late, 0, false);
    assert_eq!(player.outgoing.poll_timeout(), None);
    let later = late + Duration::from_secs(1);
    assert!(player.play(later).is_empty());
    player.outgoing.set_active(later, 0, true);
    let sent = player.play(later);
    assert!(is_switch_point(Codec::Vp8, payload(&sent[0])));
}
