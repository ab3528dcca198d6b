//! A participant floods its room with data while another one does not read. Alone in its process,
//! as it looks at its memory.

mod support;

use std::time::Duration;

use kinguicall_netem::{NetemConfig, Probability, RandomLoss, World};
use kinguicall_proto::api::RoomId;
use support::resident_bytes;

/// A message of this size every millisecond is 10 Mbit/s.
const MESSAGE_BYTES: usize = 1_250;
/// With the ten seconds that a stalled reader is given, shorter than what ends consent: then it
/// would be gone, with its buffers.
const MESSAGES: usize = 15_000;
const MAX_GROWTH: u64 = 4 << 20;

#[test]
fn a_reader_that_stalls_costs_itself_only() {
    let mut world = World::new(1);
    let [sender, reader, stalled] = [(); 3].map(|()| world.connect(0, true));
    world.run_until_connected();
    for (client, name) in [sender, reader, stalled]
        .iter()
        .zip(["awa", "binta", "cheick"])
    {
        world.join_data(RoomId(1), *client, name);
    }
    world.run(Duration::from_millis(500));
    let mut message = vec![0x12, 0, 0, 0x12, 0, 0];
    // Lengths of the two nested fields, as two-byte varints (`DataPacket { user: { payload } }`).
    let varint = |len: usize| [(len & 0x7f) as u8 | 0x80, (len >> 7) as u8];
    message[1..3].copy_from_slice(&varint(MESSAGE_BYTES + 3));
    message[4..6].copy_from_slice(&varint(MESSAGE_BYTES));
    message.resize(6 + MESSAGE_BYTES, 7);
    let dead = NetemConfig::new().loss(RandomLoss::new(Probability::new(1.0)));
    world.clients[stalled.0].set_network(&dead, 1);
    let before = resident_bytes();
    let (mut sent, mut received) = (0, 0);
    while sent < MESSAGES {
        sent += usize::from(world.write_data(sender, "_reliable", &message));
        world.run(Duration::from_millis(1));
        received += world.clients[reader.0].messages.drain(..).count();
    }
    let took = world.now - world.start;
    let grown = resident_bytes().saturating_sub(before);
    world.run(Duration::from_secs(1));
    received += world.clients[reader.0].messages.drain(..).count();
    assert_eq!(received, MESSAGES, "the other one gets everything");
    assert!(
        took < Duration::from_secs(28),
        "{took:?}: the stalled one is still there"
    );
    assert!(grown < MAX_GROWTH, "{grown} bytes");
}
