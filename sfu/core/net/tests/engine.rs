//! Starting, driving and stopping whole engines. One test binary of its own, so that the threads
//! of this process are the engine's and the test harness's only.

use std::io;
use std::net::{IpAddr, UdpSocket};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use kinguicall_net::{CommandError, Engine, EngineConfig};
use kinguicall_proto::api::{Command, ShardId, TransportId};

/// Tests that count threads must not overlap with others that start some.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> std::sync::MutexGuard<'static, ()> {
    ALONE
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn loopback() -> IpAddr {
    IpAddr::from([127, 0, 0, 1])
}

fn config(threads: usize, udp_port: u16) -> EngineConfig {
    EngineConfig {
        udp_port,
        threads,
        bind_addresses: vec![loopback()],
        ..EngineConfig::default()
    }
}

fn media_threads() -> usize {
    std::fs::read_dir("/proc/self/task")
        .expect("Linux lists a process's threads")
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok())
        .filter(|name| name.starts_with("sfu-media"))
        .count()
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while !condition() {
        assert!(Instant::now() < deadline, "timed out waiting until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn twenty_starts_and_stops_leave_no_thread_and_no_port_behind() {
    let _alone = alone();
    let first = Engine::start(&config(2, 0)).unwrap();
    let ports = first.udp_ports().to_vec();
    first.stop();
    for _ in 0..20 {
        for port in &ports {
            UdpSocket::bind((loopback(), *port)).unwrap();
        }
        let engine = Engine::start(&config(2, ports[0]));
        let Ok(engine) = engine else {
            // Thread 1 needs the next port, which somebody else may hold just now.
            assert_eq!(engine.err().unwrap().kind(), io::ErrorKind::AddrInUse);
            continue;
        };
        assert_eq!(engine.udp_ports(), [ports[0], ports[0] + 1]);
        wait_until("both threads run", || media_threads() == 2);
        engine.stop();
        engine.stop();
        wait_until("no thread is left", || media_threads() == 0);
    }
}

#[test]
fn dropping_an_engine_stops_it() {
    let _alone = alone();
    let engine = Engine::start(&config(3, 0)).unwrap();
    wait_until("all threads run", || media_threads() == 3);
    drop(engine);
    wait_until("no thread is left", || media_threads() == 0);
}

#[test]
fn a_port_in_use_leaves_nothing_running() {
    let _alone = alone();
    let taken = UdpSocket::bind((loopback(), 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let error = Engine::start(&config(1, port)).err().unwrap();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    assert!(error.to_string().contains(&format!("127.0.0.1:{port}")));
    wait_until("no thread is left", || media_threads() == 0);
}

#[test]
fn impossible_configurations_are_refused() {
    let _alone = alone();
    for (threads, port) in [(0, 0), (129, 0), (2, 65_535)] {
        let error = Engine::start(&config(threads, port)).err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}

#[test]
fn datagrams_are_counted_by_the_thread_whose_port_they_reach() {
    let _alone = alone();
    let mut config = config(2, 0);
    config.pin_threads = true;
    let engine = Engine::start(&config).unwrap();
    let sender = UdpSocket::bind((loopback(), 0)).unwrap();
    let port = engine.udp_ports()[1];
    for _ in 0..100 {
        sender.send_to(&[0xff; 40], (loopback(), port)).unwrap();
    }
    let received = |shard: usize| engine.stats()[shard].shard.counters.packets_received;
    wait_until("the thread has counted them", || received(1) == 100);
    assert_eq!(received(0), 0);
    assert_eq!(engine.stats()[1].shard.counters.bytes_received, 4_000);
}

#[test]
fn transports_get_candidates_of_their_own_thread() {
    let _alone = alone();
    let mut config = config(2, 0);
    config.public_addresses = vec!["203.0.113.9".parse().unwrap()];
    let engine = Engine::start(&config).unwrap();
    let first = engine.open_transport(None, false).unwrap();
    let second = engine.open_transport(None, false).unwrap();
    assert_ne!(first.id.shard(), second.id.shard());
    for transport in [&first, &second] {
        let port = engine.udp_ports()[usize::from(transport.id.shard().0)];
        let expected = format!("candidate:1 1 udp 2130706431 203.0.113.9 {port} typ host");
        assert_eq!(transport.candidates, [expected]);
    }
    let near = engine.open_transport(Some(second.id), false).unwrap();
    assert_eq!(near.id.shard(), second.id.shard());
    let restarted = engine.restart_ice(near.id).unwrap();
    assert_eq!(restarted.id, near.id);
    assert_ne!(restarted.ice, near.ice);
}

#[test]
fn commands_are_refused_for_foreign_identifiers_and_after_the_stop() {
    let _alone = alone();
    let engine = Engine::start(&config(1, 0)).unwrap();
    let foreign = TransportId::new(ShardId(4), 0);
    let close = Command::CloseTransport(foreign);
    assert_eq!(
        engine.command(close.clone()),
        Err(CommandError::UnknownId(foreign.0))
    );
    engine.stop();
    assert_eq!(engine.command(close), Err(CommandError::Stopped));
    assert_eq!(
        engine.open_transport(None, false).err(),
        Some(CommandError::Stopped)
    );
}
