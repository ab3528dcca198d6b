//! One UDP port for several threads, against a whole engine.

mod support;

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use kinguicall_net::{Engine, EngineConfig, LocalDescription, ThreadStats};
use support::{check, loopback};

const PEERS: usize = 24;
const PACKETS: u64 = 200;

fn answered(client: &UdpSocket, local: &LocalDescription, port: u16) -> bool {
    let request = check(local, &local.ice.password);
    let sent = client.send_to(&request, (loopback(), port));
    sent.expect("loopback takes it");
    let mut buffer = [0; 200];
    client.recv(&mut buffer).is_ok() && buffer[..2] == [0x01, 0x01]
}

#[test]
fn peers_of_both_threads_share_a_port_and_nothing_is_lost() {
    let engine = Engine::start(&EngineConfig {
        threads: 2,
        single_udp_port: true,
        bind_addresses: vec![loopback()],
        ..EngineConfig::default()
    });
    let engine = engine.unwrap();
    let port = engine.udp_ports()[0];
    assert_eq!(engine.udp_ports(), [port, port]);
    let mut clients = Vec::new();
    for _ in 0..PEERS {
        let local = engine.open_transport(None, false).unwrap();
        let client = UdpSocket::bind((loopback(), 0)).unwrap();
        let timeout = Some(Duration::from_secs(3));
        client.set_read_timeout(timeout).unwrap();
        assert!(answered(&client, &local, port));
        clients.push(client);
    }
    // RTP of known peers that have no keys yet: each is counted where its peer is.
    let rtp = [0x80, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1];
    for _ in 0..PACKETS {
        for client in &clients {
            client.send_to(&rtp, (loopback(), port)).unwrap();
        }
        std::thread::sleep(Duration::from_micros(500));
    }
    let stranger = UdpSocket::bind((loopback(), 0)).unwrap();
    stranger.send_to(&rtp, (loopback(), port)).unwrap();

    let dropped = |stats: &ThreadStats, name: &str| {
        let all = kinguicall_proto::stats::DropReason::ALL.iter();
        let mut found = all.zip(stats.shard.counters.dropped);
        found.find(|((_, known), _)| *known == name).unwrap().1
    };
    let expected = PACKETS * PEERS as u64 / 2;
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let stats = engine.stats();
        let counted: Vec<u64> = stats.iter().map(|it| dropped(it, "srtp")).collect();
        let strangers: u64 = stats.iter().map(|it| dropped(it, "unknown_source")).sum();
        if counted == [expected, expected] && strangers == 1 {
            let handed_over: u64 = stats.iter().map(|it| it.io.handed_over).sum();
            assert!(
                handed_over > 0,
                "the kernel's hash does not know our shards"
            );
            break;
        }
        assert!(
            Instant::now() < deadline,
            "{counted:?}, {strangers} from strangers"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}
