//! Participants flood a room with reliable data while 500 others do not read. Alone in its process,
//! as it looks at its memory.

#[path = "support/messages.rs"]
mod messages;
mod support;

use std::time::Duration;

use kinguicall_netem::{NetemConfig, Probability, RandomLoss, World};
use kinguicall_proto::api::RoomId;
use messages::numbered;
use support::resident_bytes;

const SENDERS: usize = 8;
const STALLED: usize = 500;
/// Shorter than what a stalled reader is given: all of them are still waited for.
const FLOOD: Duration = Duration::from_secs(6);
const MAX_GROWTH: u64 = 64 << 20;

#[test]
fn many_stalled_readers_cost_a_bounded_sum() {
    let mut world = World::new(1);
    let senders: Vec<_> = (0..SENDERS).map(|_| world.connect(0, true)).collect();
    let stalled: Vec<_> = (0..STALLED).map(|_| world.connect(0, true)).collect();
    world.run_until_connected();
    for (number, client) in senders.iter().chain(&stalled).enumerate() {
        world.join_data(RoomId(1), *client, &format!("client{number}"));
    }
    world.run(Duration::from_millis(500));
    let dead = NetemConfig::new().loss(RandomLoss::new(Probability::new(1.0)));
    for client in &stalled {
        world.clients[client.0].set_network(&dead, 1);
    }
    let before = resident_bytes();
    let began = world.now;
    let mut said = 0;
    while world.now < began + FLOOD {
        for sender in &senders {
            // Different lengths leave the reader's bound filled to different degrees.
            let message = numbered(said, 10_000 + 50_000 * (said as usize % 2));
            said += u32::from(world.write_data(*sender, "_reliable", &message));
        }
        world.run(Duration::from_millis(50));
    }
    let grown = resident_bytes().saturating_sub(before);
    assert!(said > 100, "{said}: the senders have tried");
    assert!(grown < MAX_GROWTH, "{} MB", grown >> 20);
    assert!(grown > MAX_GROWTH / 8, "{grown}: the readers have stalled");
}
