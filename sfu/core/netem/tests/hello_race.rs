//! The race for the first ClientHello (CVE-2023-49786): somebody off the path sends hellos that no
//! handshake can follow, from addresses of their own and from the joining client's, before it is
//! known, while it connects and afterwards. Every join has to succeed, and as fast as without.

use std::net::SocketAddr;
use std::time::Duration;

use kinguicall_netem::{ClientIndex, NetemConfig, World};
use kinguicall_proto::api::ShardId;

const JOINS: u64 = 200;
/// One way.
const LATENCY: Duration = Duration::from_millis(15);
const STEP: Duration = Duration::from_millis(1);
const LIMIT: Duration = Duration::from_secs(5);
const SHARD: ShardId = ShardId(0);

/// DTLS 1.2 with a ClientHello that offers TLS_NULL_WITH_NULL_NULL and nothing else.
fn hello(random: u64) -> Vec<u8> {
    let mut body = vec![0xfe, 0xfd];
    body.extend([random.to_be_bytes(); 4].concat());
    body.extend([0, 0, 0, 2, 0, 0, 1, 0]);
    let length = [0, 0, body.len() as u8];
    let mut message = vec![1];
    message.extend(length);
    message.extend([0; 5]);
    message.extend(length);
    message.extend(body);
    let mut record = vec![22, 0xfe, 0xff];
    record.extend([0; 9]);
    record.push(message.len() as u8);
    record.extend(message);
    record
}

/// How long each of the joins took, sorted. `attack` runs every millisecond with the number of the
/// join and the address of who joins.
fn join_times(mut attack: impl FnMut(&mut World, u64, SocketAddr)) -> Vec<Duration> {
    let mut world = World::new(1);
    let mut times = Vec::new();
    for join in 0..JOINS {
        let ClientIndex(client) = world.connect(SHARD.0, false);
        let network = NetemConfig::new().latency(LATENCY);
        world.clients[client].set_network(&network, join);
        let address = world.clients[client].address;
        let start = world.now;
        while !world.clients[client].connected && world.now < start + LIMIT {
            attack(&mut world, join, address);
            world.run(STEP);
        }
        assert!(world.clients[client].connected, "join {join} failed");
        assert_eq!(world.clients[client].alerts, 0, "join {join}");
        times.push(world.now - start);
        // Nobody waits for it any longer; the node still has the transport.
        world.clients.clear();
    }
    times.sort_unstable();
    times
}

#[test]
fn two_hundred_joins_succeed_and_take_no_longer() {
    let p95 = |times: &[Duration]| times[times.len() * 95 / 100];
    let quiet = join_times(|_, _, _| ());
    let mut sent = 0u64;
    let raced = join_times(|world, join, victim| {
        let stranger = SocketAddr::from(([203, 0, 113, join as u8], 40_000 + sent as u16 % 999));
        for from in [stranger, victim] {
            world.inject(SHARD, from, hello(sent));
            sent += 1;
        }
    });
    assert!(sent > 10 * JOINS, "{sent} hellos are no race");
    assert!(
        p95(&raced) <= p95(&quiet) * 6 / 5,
        "{:?} instead of {:?}",
        p95(&raced),
        p95(&quiet)
    );
}
