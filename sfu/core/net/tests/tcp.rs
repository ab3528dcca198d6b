//! ICE over TCP against a whole engine: who gets in, and what those cost that do not.

mod support;

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use kinguicall_net::{Engine, EngineConfig, LocalDescription};
use support::loopback;

const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);

fn engine(threads: usize, address: IpAddr) -> Engine {
    Engine::start(&EngineConfig {
        threads,
        bind_addresses: vec![address],
        tcp_port: Some(0),
        ..EngineConfig::default()
    })
    .expect("free ports on loopback")
}

/// A framed connectivity check (RFC 4571).
fn check(local: &LocalDescription, password: &str) -> Vec<u8> {
    let message = support::check(local, password);
    let mut frame = (message.len() as u16).to_be_bytes().to_vec();
    frame.extend(message);
    frame
}

fn connect(engine: &Engine, address: IpAddr) -> TcpStream {
    let port = engine.tcp_port().expect("TCP is on");
    let stream = TcpStream::connect(SocketAddr::new(address, port)).expect("it listens");
    let set = stream.set_read_timeout(Some(ANSWER_TIMEOUT));
    set.expect("a valid timeout");
    stream
}

/// Whether a Binding success response comes back, framed.
fn is_answered(stream: &mut TcpStream) -> bool {
    let mut head = [0; 4];
    stream.read_exact(&mut head).is_ok() && head[2..] == [0x01, 0x01] && {
        let length = usize::from(u16::from_be_bytes([head[0], head[1]]));
        stream.read_exact(&mut vec![0; length - 2]).is_ok()
    }
}

/// Whether the engine has closed the connection, in less time than a silent one would have.
fn is_closed(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0; 64]) {
        Ok(count) => count == 0,
        // It had sent more than was read.
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

#[test]
fn checks_reach_the_thread_of_their_transport_over_both_families() {
    for address in [loopback(), IpAddr::from(Ipv6Addr::LOCALHOST)] {
        if TcpStream::connect((address, 9))
            .is_err_and(|error| error.raw_os_error() == Some(libc::EADDRNOTAVAIL))
        {
            continue; // This machine has no IPv6.
        }
        let engine = engine(2, address);
        let locals = [(); 2].map(|()| engine.open_transport(None, false).unwrap());
        assert_ne!(locals[0].id.shard(), locals[1].id.shard());
        for local in &locals {
            let port = engine.tcp_port().unwrap();
            let expected = format!(" tcp 1520434943 {address} {port} typ host tcptype passive");
            assert!(
                local.candidates[1].ends_with(&expected),
                "{}",
                local.candidates[1]
            );
            let mut stream = connect(&engine, address);
            for _ in 0..2 {
                stream
                    .write_all(&check(local, &local.ice.password))
                    .unwrap();
                assert!(is_answered(&mut stream));
            }
        }
        let dropped = |name: usize| engine.stats()[name].shard.counters.dropped;
        assert_eq!(dropped(0), dropped(1), "nothing went to the wrong thread");
    }
}

#[test]
fn a_check_may_arrive_in_pieces() {
    let engine = engine(1, loopback());
    let local = engine.open_transport(None, false).unwrap();
    let mut stream = connect(&engine, loopback());
    stream.set_nodelay(true).unwrap();
    for _ in 0..2 {
        for piece in check(&local, &local.ice.password).chunks(9) {
            stream.write_all(piece).unwrap();
            std::thread::sleep(Duration::from_millis(2));
        }
        assert!(is_answered(&mut stream));
    }
}

#[test]
fn rubbish_ends_a_connection_at_once() {
    let engine = engine(1, loopback());
    let local = engine.open_transport(None, false).unwrap();
    let mut nobody = local.clone();
    nobody.ice.ufrag = "ffNOBODY".to_owned();
    let foreign = check(&nobody, "password");
    let wrong = check(&local, "wrong password").repeat(8);
    let samples: [&[u8]; 5] = [
        b"GET / HTTP/1.1\r\n",
        &[0xff, 0xff],
        &[0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0],
        &foreign,
        &wrong,
    ];
    for (index, sample) in samples.into_iter().enumerate() {
        let mut stream = connect(&engine, loopback());
        stream.write_all(sample).unwrap();
        assert!(is_closed(&mut stream), "sample {index}");
    }
    let mut proven = connect(&engine, loopback());
    proven
        .write_all(&check(&local, &local.ice.password))
        .unwrap();
    assert!(is_answered(&mut proven));
    proven.write_all(&[0xff; 10]).unwrap();
    assert!(is_closed(&mut proven), "after a check that passed");
}

#[test]
fn http_on_a_shared_port_is_handed_on_untouched_and_checks_are_not() {
    let engine = Engine::start(&EngineConfig {
        threads: 1,
        bind_addresses: vec![loopback()],
        web_port: Some((vec![IpAddr::from([0, 0, 0, 0])], 0)),
        ..EngineConfig::default()
    });
    let engine = engine.unwrap();
    let port = engine.web_port().unwrap();
    assert_eq!(engine.tcp_port(), None);
    let local = engine.open_transport(None, false).unwrap();
    let expected = format!(" {} {port} typ host tcptype passive", loopback());
    assert!(local.candidates[1].ends_with(&expected));
    let open = || TcpStream::connect((loopback(), port)).unwrap();
    let (mut media, mut web) = (open(), open());
    media
        .write_all(&check(&local, &local.ice.password))
        .unwrap();
    assert!(is_answered(&mut media));
    for request in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\x16\x03\x01\x02"] {
        web.write_all(request).unwrap();
        let deadline = Instant::now() + ANSWER_TIMEOUT;
        let mut taken = loop {
            assert!(Instant::now() < deadline);
            if let Some(stream) = engine.take_web_connections().pop_front() {
                break stream;
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let mut found = vec![0; request.len()];
        taken.read_exact(&mut found).unwrap();
        assert_eq!(found, request);
        taken.write_all(b"answer").unwrap();
        let mut answer = [0; 6];
        web.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"answer");
        web = open();
    }
}

#[test]
fn a_crowd_that_says_nothing_keeps_nobody_out() {
    let engine = engine(1, loopback());
    let local = engine.open_transport(None, false).unwrap();
    let mut silent: Vec<TcpStream> = (0..300).map(|_| connect(&engine, loopback())).collect();
    for stream in silent.iter_mut().step_by(2) {
        stream.write_all(&[0]).unwrap();
    }
    let began = Instant::now();
    let mut stream = connect(&engine, loopback());
    stream
        .write_all(&check(&local, &local.ice.password))
        .unwrap();
    assert!(is_answered(&mut stream));
    assert!(began.elapsed() < Duration::from_secs(1));
    assert!(is_closed(&mut silent[0]), "the oldest had to go");
}
