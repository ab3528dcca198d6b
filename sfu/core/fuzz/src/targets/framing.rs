//! RFC 4571: the first bytes of a TCP connection, its frames, and the queue for a slow reader.

use std::collections::VecDeque;

use kinguicall_proto::egress::TrafficClass;
use kinguicall_proto::transport::connection::{
    FRAME_HEADER, FirstBytes, Frame, MAX_MESSAGE, Queued, SendQueue, first_frame, judge_first_bytes,
};

use crate::input::Input;

/// Most bytes that a queue may hold, whatever waits.
const MAX_WAITING: usize = 256 * 1_024;

pub fn run(data: &[u8]) {
    judge(data);
    frames(data);
    queue(Input(data));
}

/// What has been told once stays true when more bytes come, and each wish is for more.
fn judge(data: &[u8]) {
    let verdict = judge_first_bytes(data);
    if let FirstBytes::Need(count) = verdict {
        assert!(count > data.len() && count <= FRAME_HEADER + 1_024);
    }
    for end in 0..data.len().min(64) {
        match judge_first_bytes(&data[..end]) {
            FirstBytes::Need(count) => assert!(count > end),
            early => assert_eq!(early, verdict),
        }
    }
}

fn frames(data: &[u8]) {
    let mut rest = data;
    loop {
        match first_frame(rest) {
            Frame::Message(range) => {
                assert_eq!(range.start, FRAME_HEADER);
                assert!(range.end <= rest.len() && range.len() <= MAX_MESSAGE);
                let cut = first_frame(&rest[..range.end - 1]);
                assert_eq!(cut, Frame::Incomplete);
                rest = &rest[range.end..];
            }
            Frame::Incomplete => {
                assert!(rest.len() < FRAME_HEADER + MAX_MESSAGE);
                return;
            }
            Frame::TooLong => return,
        }
    }
}

/// Whatever is dropped, the reader gets whole messages in order.
fn queue(mut input: Input<'_>) {
    let mut queue = SendQueue::default();
    let mut expected = VecDeque::new();
    let mut stream = Vec::new();
    for _ in 0..64 {
        if input.is_empty() {
            break;
        }
        let action = input.byte();
        let class = match action & 3 {
            0 => TrafficClass::Control,
            1 => TrafficClass::Audio,
            2 => TrafficClass::Video,
            _ => {
                let count = usize::from(input.u16()).min(queue.waiting().len());
                stream.extend_from_slice(&queue.waiting()[..count]);
                queue.written(count);
                continue;
            }
        };
        let mut message = input.take(16).to_vec();
        message.resize(usize::from(action >> 2) << 10, action);
        let before = queue.waiting().len();
        let outcome = queue.push(class, &message);
        let grown = queue.waiting().len() - before;
        if outcome == Queued::Waits {
            assert_eq!(grown, FRAME_HEADER + message.len());
            expected.push_back(message);
        } else {
            assert_eq!(grown, 0);
            assert_eq!(outcome == Queued::Full, class == TrafficClass::Control);
        }
        assert!(queue.waiting().len() <= MAX_WAITING);
    }
    stream.extend_from_slice(queue.waiting());
    let mut rest = &stream[..];
    for message in expected {
        let (head, tail) = rest.split_at(FRAME_HEADER);
        let (body, tail) = tail.split_at(usize::from(u16::from_be_bytes([head[0], head[1]])));
        assert_eq!(body, message);
        rest = tail;
    }
    assert!(rest.is_empty());
}
