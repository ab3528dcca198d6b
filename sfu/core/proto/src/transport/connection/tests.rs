//! Tests of framing, of first bytes and of what waits for a slow reader.

use proptest::prelude::*;

use super::*;

/// A framed Binding request whose USERNAME is the only attribute.
fn check(username: &[u8]) -> Vec<u8> {
    let mut attribute = vec![0x00, 0x06];
    attribute.extend((username.len() as u16).to_be_bytes());
    attribute.extend(username);
    attribute.resize(attribute.len().next_multiple_of(4), 0);
    let mut message = STUN_BINDING_REQUEST.to_vec();
    message.extend((attribute.len() as u16).to_be_bytes());
    message.extend(STUN_MAGIC_COOKIE);
    message.extend([7; 12]);
    message.extend(attribute);
    let mut frame = (message.len() as u16).to_be_bytes().to_vec();
    frame.extend(message);
    frame
}

/// An RTP packet of `len` bytes that begins or goes on with a frame.
fn packet(timestamp: u32, ssrc: u32, len: usize) -> Vec<u8> {
    let mut packet = vec![0x80, 96, 0, 1];
    packet.extend(timestamp.to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.resize(len, 1);
    packet
}

#[test]
fn a_check_is_known_when_it_is_whole_and_not_before() {
    let bytes = check(b"0aSERVER:client");
    for end in 0..bytes.len() {
        let FirstBytes::Need(wanted) = judge_first_bytes(&bytes[..end]) else {
            panic!("decided after {end} bytes");
        };
        assert!(wanted > end && wanted <= bytes.len());
    }
    assert_eq!(judge_first_bytes(&bytes), FirstBytes::Check(ShardId(10)));
    let mut more = bytes;
    more.extend([0, 200, 1]);
    assert_eq!(judge_first_bytes(&more), FirstBytes::Check(ShardId(10)));
}

#[test]
fn web_protocols_are_known_by_their_first_byte() {
    for first in [&b"GET / HTTP/1.1"[..], b"P", b"\x16\x03\x01"] {
        assert_eq!(judge_first_bytes(first), FirstBytes::Web);
    }
}

#[test]
fn everything_else_is_refused_at_once() {
    let mut other_message = check(b"0aSERVER:client");
    other_message[3] = 0x11;
    let mut no_cookie = check(b"0aSERVER:client");
    no_cookie[6] = 0;
    let mut too_long = check(b"0aSERVER:client");
    too_long[..2].copy_from_slice(&1_025_u16.to_be_bytes());
    let nobody = check(b"noshard:client");
    for bytes in [
        &other_message[..10],
        &no_cookie,
        &too_long,
        &nobody,
        b"ssh-",
        &[0xff],
    ] {
        assert_eq!(judge_first_bytes(bytes), FirstBytes::Unknown);
    }
}

#[test]
fn a_frame_that_announces_too_much_is_refused_before_it_arrives() {
    assert_eq!(first_frame(&[0x07, 0xff]), Frame::TooLong);
    assert_eq!(first_frame(&[0x07, 0xfe]), Frame::Incomplete);
    assert_eq!(first_frame(&[0, 0, 9]), Frame::Message(2..2));
}

#[test]
fn video_gives_way_first_by_whole_frames_then_audio_and_last_the_rest() {
    let mut queue = SendQueue::default();
    let mut accepted = 0;
    while queue.push(TrafficClass::Video, &packet(1, 5, 1_200)) == Queued::Waits {
        accepted += 1;
    }
    assert_eq!(accepted, MAX_WAITING_VIDEO / 1_202);
    queue.written(10 * 1_202);
    // There is room again, but the frame has a hole already; another stream's has none.
    let push = |queue: &mut SendQueue, class, message: &[u8]| queue.push(class, message);
    let rest = push(&mut queue, TrafficClass::Video, &packet(1, 5, 100));
    assert_eq!(rest, Queued::Dropped);
    let next = push(&mut queue, TrafficClass::Video, &packet(2, 5, 100));
    assert_eq!(next, Queued::Waits);
    let other = push(&mut queue, TrafficClass::Video, &packet(1, 6, 100));
    assert_eq!(other, Queued::Waits);
    while push(&mut queue, TrafficClass::Audio, &packet(3, 7, 1_000)) == Queued::Waits {}
    assert!(queue.waiting().len() > MAX_WAITING_VIDEO);
    let video = push(&mut queue, TrafficClass::Video, &packet(4, 5, 100));
    assert_eq!(video, Queued::Dropped);
    while push(&mut queue, TrafficClass::Control, &[9; 1_000]) == Queued::Waits {}
    assert!(queue.waiting().len() > MAX_WAITING_AUDIO);
    assert_eq!(queue.push(TrafficClass::Control, &[9; 1_000]), Queued::Full);
    assert!(queue.waiting().len() <= MAX_WAITING);
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..2_100)) {
        if let FirstBytes::Need(wanted) = judge_first_bytes(&bytes) {
            prop_assert!(wanted > bytes.len() && wanted <= FRAME_HEADER + MAX_CHECK);
        }
        if let Frame::Message(range) = first_frame(&bytes) {
            prop_assert!(range.end <= bytes.len());
        }
    }

    #[test]
    fn what_is_queued_comes_out_in_order_however_it_is_cut(
        messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 1..40),
        cuts in proptest::collection::vec(1_usize..700, 1..60),
    ) {
        let mut queue = SendQueue::default();
        let mut wire = Vec::new();
        let mut cuts = cuts.iter().cycle();
        for message in &messages {
            prop_assert_eq!(queue.push(TrafficClass::Control, message), Queued::Waits);
            let count = queue.waiting().len().min(*cuts.next().unwrap());
            wire.extend_from_slice(&queue.waiting()[..count]);
            queue.written(count);
        }
        wire.extend_from_slice(queue.waiting());
        let mut found = Vec::new();
        let mut rest = &wire[..];
        while let Frame::Message(range) = first_frame(rest) {
            found.push(rest[range.clone()].to_vec());
            rest = &rest[range.end..];
        }
        prop_assert_eq!(found, messages);
        prop_assert!(rest.is_empty());
    }
}
