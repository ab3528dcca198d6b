//! Tests of connections over loopback, without a shard.

use std::net::TcpListener;

use kinguicall_proto::egress::TrafficClass;
use kinguicall_proto::transport::connection::{Frame, first_frame};

use super::*;

/// A connection that has proved itself, and its other end.
fn connected(connections: &mut Connections) -> (usize, SocketIndex, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (stream, from) = listener.accept().unwrap();
    stream.set_nonblocking(true).unwrap();
    let now = Instant::now();
    let deadline = now + Duration::from_secs(5);
    let accepted = Accepted {
        stream,
        from,
        deadline,
    };
    connections.add(now, accepted);
    let number = connections.open.iter().next_back().unwrap().0;
    connections.judge(number, true);
    (number, SocketIndex::connection(number).unwrap(), client)
}

/// RTP of one frame each, whose first byte after the header counts.
fn video(batch: &mut Batch, socket: SocketIndex, to: SocketAddr, frame: u32) {
    let space = batch.space();
    space[..1_200].fill(0);
    space[4..8].copy_from_slice(&frame.to_be_bytes());
    batch.commit(socket, to, 1_200, TrafficClass::Video, None);
}

fn frames(bytes: &[u8]) -> Vec<u32> {
    let mut found = Vec::new();
    let mut rest = bytes;
    while let Frame::Message(message) = first_frame(rest) {
        let packet = &rest[message.clone()];
        assert_eq!(packet.len(), 1_200, "no frame is cut");
        found.push(u32::from_be_bytes(packet[4..8].try_into().unwrap()));
        rest = &rest[message.end..];
    }
    assert!(rest.is_empty());
    found
}

#[test]
fn a_reader_that_stops_costs_bounded_memory_and_gets_whole_packets_later() {
    let mut connections = Connections::new(false).unwrap();
    let (number, socket, mut client) = connected(&mut connections);
    let to = client.local_addr().unwrap();
    let mut counts = SendCounts::default();
    for frame in 0..40_000 {
        let mut batch = Batch::new(1);
        video(&mut batch, socket, to, frame);
        connections.send(&batch, &mut counts);
    }
    assert!(connections.queue_full > 0);
    assert!(connections.open[number].queue.waiting().len() <= 192 * 1_024);
    client.set_nonblocking(true).unwrap();
    let mut read = Vec::new();
    let mut readable = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(5);
    while !connections.open[number].queue.waiting().is_empty()
        || connections.open[number].is_blocked
    {
        assert!(Instant::now() < deadline);
        let _ = client.read_to_end(&mut read);
        connections.poll(&mut readable);
    }
    connections.fail(number);
    assert_eq!(connections.close_failed(), Some((socket, to)));
    client.set_nonblocking(false).unwrap();
    client.read_to_end(&mut read).unwrap();
    let found = frames(&read);
    assert_eq!(found.len() as u64, counts.datagrams);
    assert_eq!(found.len() as u64 + connections.queue_full, 40_000);
    assert!(found.is_sorted());
}

#[test]
fn a_datagram_for_a_connection_that_has_gone_goes_nowhere() {
    let mut connections = Connections::new(true).unwrap();
    let (number, socket, client) = connected(&mut connections);
    let elsewhere = SocketAddr::from(([127, 0, 0, 1], 9));
    let mut batch = Batch::new(2);
    video(&mut batch, socket, elsewhere, 1);
    let mut counts = SendCounts::default();
    connections.send(&batch, &mut counts);
    assert_eq!((counts.datagrams, counts.refused), (0, 1));
    drop(client);
    assert_eq!(connections.read(number, &mut [0; 2_048]), Reading::Ended);
}

#[test]
fn those_that_prove_nothing_are_closed_in_time_and_by_number() {
    let mut connections = Connections::new(false).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let now = Instant::now();
    let mut clients = Vec::new();
    for _ in 0..=MAX_UNPROVEN {
        clients.push(TcpStream::connect(listener.local_addr().unwrap()).unwrap());
        let (stream, from) = listener.accept().unwrap();
        let deadline = now + Duration::from_secs(5);
        let accepted = Accepted {
            stream,
            from,
            deadline,
        };
        connections.add(now, accepted);
    }
    assert!(connections.close_failed().is_some(), "the oldest gave way");
    assert!(connections.close_failed().is_none());
    let (proven, ..) = connected(&mut connections);
    while connections.close_failed().is_some() {}
    connections.handle_timeout(now + Duration::from_secs(6), |_, _| true);
    let closed = std::iter::from_fn(|| connections.close_failed()).count();
    assert_eq!(closed, MAX_UNPROVEN - 1);
    assert!(connections.source(proven).is_some());
    assert_eq!(
        connections.poll_timeout(),
        Some(now + Duration::from_secs(11))
    );
    connections.handle_timeout(now + Duration::from_secs(11), |_, _| false);
    assert!(connections.close_failed().is_some(), "its peer has gone");
}
