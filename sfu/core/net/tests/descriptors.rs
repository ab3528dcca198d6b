//! A process that has used up its file descriptors. Alone in its process, as the limit is everybody's.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Mutex;
use std::thread::sleep;
use std::time::{Duration, Instant};

use kinguicall_net::{Engine, EngineConfig};
use socket2::{Domain, Socket, Type};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Lines;

impl log::Log for Lines {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let mut lines = LINES.lock().expect("no test panics with it");
        lines.push(record.args().to_string());
    }

    fn flush(&self) {}
}

fn limit_descriptors(most: libc::rlim_t) {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is a valid place for the result, and then a valid value.
    let result = unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
        limit.rlim_cur = most;
        libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit)
    };
    assert_eq!(result, 0);
}

fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let limit = Instant::now() + Duration::from_secs(5);
    while !is_so() {
        assert!(Instant::now() < limit, "{what}");
        sleep(Duration::from_millis(5));
    }
}

#[test]
fn used_up_descriptors_are_counted_and_logged_once_and_pass() {
    log::set_logger(&Lines).expect("the first logger");
    log::set_max_level(log::LevelFilter::Warn);
    let engine = Engine::start(&EngineConfig {
        threads: 1,
        bind_addresses: vec![LOOPBACK],
        tcp_port: Some(0),
        ..EngineConfig::default()
    })
    .expect("free ports on loopback");
    let port = engine.tcp_port().expect("TCP is on");
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a descriptor");
    limit_descriptors(100);
    let mut files = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        files.push(file);
    }
    let started = Instant::now();
    let address = SocketAddr::new(LOOPBACK, port);
    socket
        .connect(&address.into())
        .expect("the kernel takes it");
    eventually("failures are counted", || engine.accept_failures() >= 3);
    let most = 1 + started.elapsed().as_millis() as u64 / 100;
    assert!(engine.accept_failures() <= most, "it does not spin");
    drop(files);
    // Accepted now: what is no check is closed.
    let mut stream = TcpStream::from(socket);
    stream.write_all(&[0xff; 64]).expect("connected");
    eventually("the connection is closed", || {
        stream.read(&mut [0; 8]).map_or(true, |count| count == 0)
    });
    let lines = LINES.lock().expect("no test panics with it");
    let lines = lines.iter().filter(|it| it.contains("accepted"));
    assert_eq!(lines.count(), 1);
}
