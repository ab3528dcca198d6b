//! Data messages between members of a room, over one shard and over two.

use std::time::Duration;

use kinguicall_netem::World;
use kinguicall_proto::api::{DataDelivery, RoomId, ShardId};

#[test]
fn messages_reach_the_others_and_name_their_sender() {
    for shards in [1, 2] {
        let mut world = World::new(shards);
        let clients = [
            world.connect(0, true),
            world.connect(shards - 1, true),
            world.connect(0, true),
        ];
        world.run_until_connected();
        for (client, name) in clients.iter().zip(["awa", "binta", "cheick"]) {
            world.join_data(RoomId(5), *client, name);
        }
        world.run(Duration::from_millis(500));
        for label in ["_reliable", "_lossy"] {
            assert!(world.write_data(clients[0], label, &user_packet(b"bonjour")));
            world.run(Duration::from_millis(200));
        }
        for receiver in &clients[1..] {
            let messages = &world.clients[receiver.0].messages;
            assert_eq!(messages.len(), 2, "{shards} shards");
            for (_, message) in messages {
                assert!(contains(message, b"bonjour"));
                assert!(contains(message, b"PA_awa"), "attributed to its sender");
                assert!(contains(message, b"awa"));
            }
        }
        assert!(world.clients[clients[0].0].messages.is_empty(), "no echo");
    }
}

#[test]
fn the_server_speaks_to_everybody() {
    let mut world = World::new(2);
    let clients = [world.connect(0, true), world.connect(1, true)];
    world.run_until_connected();
    world.join_data(RoomId(1), clients[0], "awa");
    world.join_data(RoomId(1), clients[1], "binta");
    world.run(Duration::from_millis(500));
    world.send_data(
        ShardId(0),
        RoomId(1),
        DataDelivery::Reliable,
        &user_packet(b"annonce"),
    );
    world.run(Duration::from_millis(300));
    for client in clients {
        assert_eq!(world.clients[client.0].messages.len(), 1);
    }
}

/// `DataPacket { user: UserPacket { payload } }`.
fn user_packet(payload: &[u8]) -> Vec<u8> {
    let mut user = vec![0x12, payload.len() as u8];
    user.extend_from_slice(payload);
    let mut packet = vec![0x12, user.len() as u8];
    packet.extend(user);
    packet
}

fn contains(message: &[u8], part: &[u8]) -> bool {
    message.windows(part.len()).any(|window| window == part)
}
