//! Routing of data messages among the members of a room, on this shard and on others.

use super::*;

const ROOM: RoomId = RoomId(1);
const HERE: ShardId = ShardId(0);
const ELSEWHERE: ShardId = ShardId(1);

#[allow(clippy::disallowed_methods)]
fn start() -> Instant {
    Instant::now()
}

fn transport(shard: ShardId, serial: u32) -> TransportId {
    TransportId::new(shard, serial)
}

/// Sends on transport `serial`, receives on `serial + 100`.
fn member(shard: ShardId, serial: u32, identity: &str) -> DataMember {
    DataMember {
        room: ROOM,
        sid: format!("PA_{identity}"),
        identity: identity.to_owned(),
        sends_on: transport(shard, serial),
        receives_on: transport(shard, serial + 100),
        can_publish: true,
        hidden: false,
    }
}

fn rooms(members: &[DataMember]) -> DataRooms {
    let mut rooms = DataRooms::new(HERE);
    for member in members {
        rooms.set_member(start(), member.clone());
    }
    rooms
}

/// A user packet with a sequence number and destination identities.
fn packet(sequence: u8, destinations: &[&str]) -> Vec<u8> {
    let mut packet = packet::wrap_raw(b"hi");
    if sequence > 0 {
        packet.extend([0x80, 0x01, sequence]);
    }
    for destination in destinations {
        packet.extend([0x2a, destination.len() as u8]);
        packet.extend(destination.as_bytes());
    }
    packet
}

/// Receiving transports' serials, less 100.
fn delivered(rooms: &mut DataRooms, message: &RoutedData) -> Vec<u32> {
    let mut out = Vec::new();
    rooms.targets(message, |transport| out.push(transport));
    if message.delivery == DataDelivery::Reliable {
        rooms.remember(start(), message);
    }
    out.iter().map(|transport| transport.0 - 100).collect()
}

fn send(rooms: &mut DataRooms, from: u32, packet: &[u8]) -> Result<Vec<u32>, Dropped> {
    let message = rooms.route(transport(HERE, from), DataDelivery::Reliable, packet)?;
    Ok(delivered(rooms, &message))
}

fn three() -> DataRooms {
    rooms(&[
        member(HERE, 1, "ada"),
        member(HERE, 2, "bo"),
        member(HERE, 3, "cy"),
    ])
}

#[test]
fn an_undirected_message_goes_to_all_others() {
    let mut rooms = three();
    assert_eq!(send(&mut rooms, 1, &packet(1, &[])), Ok(vec![2, 3]));
}

#[test]
fn a_directed_message_goes_where_it_says_and_never_back() {
    let mut rooms = three();
    assert_eq!(send(&mut rooms, 1, &packet(1, &["cy"])), Ok(vec![3]));
    assert_eq!(
        send(&mut rooms, 1, &packet(2, &["cy", "ada", "cy"])),
        Ok(vec![3])
    );
    assert_eq!(
        send(&mut rooms, 1, &packet(3, &["nobody"])),
        Err(Dropped::NoDestination)
    );
}

#[test]
fn sids_count_as_destinations() {
    let mut rooms = three();
    let mut user = vec![0x12, 1, b'x', 0x1a, 5];
    user.extend(b"PA_bo");
    let mut packet = vec![0x12, user.len() as u8];
    packet.extend(user);
    assert_eq!(send(&mut rooms, 1, &packet), Ok(vec![2]));
}

#[test]
fn another_shards_members_are_its_own_business() {
    let mut rooms = rooms(&[member(HERE, 1, "ada"), member(ELSEWHERE, 2, "bo")]);
    let from = transport(HERE, 1);
    let message = rooms
        .route(from, DataDelivery::Reliable, &packet(1, &[]))
        .unwrap();
    assert!(delivered(&mut rooms, &message).is_empty());
    let mut other = DataRooms::new(ELSEWHERE);
    other.set_member(start(), member(HERE, 1, "ada"));
    other.set_member(start(), member(ELSEWHERE, 2, "bo"));
    let mut out = Vec::new();
    other.targets(&message, |transport| out.push(transport));
    assert_eq!(out, [transport(ELSEWHERE, 102)]);
}

#[test]
fn who_may_not_publish_is_not_heard() {
    let mut muted = member(HERE, 1, "ada");
    muted.can_publish = false;
    let mut rooms = rooms(&[muted, member(HERE, 2, "bo")]);
    assert_eq!(
        send(&mut rooms, 1, &packet(1, &[])),
        Err(Dropped::NotPermitted)
    );
    assert_eq!(
        send(&mut rooms, 9, &packet(1, &[])),
        Err(Dropped::UnknownSender)
    );
}

#[test]
fn a_hidden_member_is_reached_only_by_name() {
    let mut hidden = member(HERE, 2, "bo");
    hidden.hidden = true;
    let mut rooms = rooms(&[member(HERE, 1, "ada"), hidden]);
    assert_eq!(send(&mut rooms, 1, &packet(1, &[])), Ok(vec![]));
    assert_eq!(send(&mut rooms, 1, &packet(2, &["bo"])), Ok(vec![2]));
    let from = transport(HERE, 2);
    let message = rooms
        .route(from, DataDelivery::Lossy, &packet(0, &[]))
        .unwrap();
    assert!(!message.packet.windows(2).any(|pair| pair == b"bo"));
    assert_eq!(delivered(&mut rooms, &message), [1]);
}

#[test]
fn repeated_numbers_are_dropped_even_after_an_update_of_the_member() {
    let mut rooms = three();
    assert!(send(&mut rooms, 1, &packet(5, &[])).is_ok());
    rooms.set_member(start(), member(HERE, 1, "ada"));
    assert_eq!(send(&mut rooms, 1, &packet(5, &[])), Err(Dropped::Repeated));
    assert_eq!(send(&mut rooms, 1, &packet(4, &[])), Err(Dropped::Repeated));
    assert!(send(&mut rooms, 1, &packet(6, &[])).is_ok());
    assert!(
        send(&mut rooms, 1, &packet(0, &[])).is_ok(),
        "0 is no number"
    );
    assert!(
        send(&mut rooms, 2, &packet(1, &[])).is_ok(),
        "each sender counts for itself"
    );
}

#[test]
fn the_servers_messages_go_to_all_or_the_named() {
    let mut rooms = three();
    let route = |rooms: &DataRooms, packet: &[u8]| {
        rooms.route_from_server(ROOM, DataDelivery::Reliable, packet)
    };
    let message = route(&rooms, &packet(0, &[])).unwrap();
    assert_eq!(delivered(&mut rooms, &message), [1, 2, 3]);
    let message = route(&rooms, &packet(0, &["bo"])).unwrap();
    assert_eq!(delivered(&mut rooms, &message), [2]);
    let nowhere = rooms.route_from_server(RoomId(2), DataDelivery::Reliable, &packet(0, &[]));
    assert_eq!(nowhere.err(), Some(Dropped::NoDestination));
}

#[test]
fn who_has_left_is_gone() {
    let mut rooms = three();
    rooms.remove_member(ROOM, "PA_bo");
    assert_eq!(send(&mut rooms, 1, &packet(1, &[])), Ok(vec![3]));
    assert_eq!(
        send(&mut rooms, 1, &packet(2, &["bo"])),
        Err(Dropped::NoDestination)
    );
    assert_eq!(
        send(&mut rooms, 2, &packet(1, &[])),
        Err(Dropped::UnknownSender)
    );
    rooms.remove_member(ROOM, "PA_ada");
    rooms.remove_member(ROOM, "PA_cy");
    assert!(rooms.rooms.is_empty() && rooms.senders.is_empty() && rooms.receivers.is_empty());
}

fn replayed(rooms: &mut DataRooms, now: Instant, serial: u32) -> usize {
    let mut count = 0;
    rooms.replay(now, transport(HERE, serial + 100), |_| count += 1);
    count
}

#[test]
fn channels_that_open_late_get_what_they_missed_once() {
    let now = start();
    let mut rooms = rooms(&[]);
    rooms.set_member(now, member(HERE, 1, "ada"));
    let say = |rooms: &mut DataRooms, at: Instant, number: u8, to: &[&str]| {
        let from = transport(HERE, 1);
        let message = rooms
            .route(from, DataDelivery::Reliable, &packet(number, to))
            .unwrap();
        rooms.remember(at, &message);
    };
    say(&mut rooms, now, 1, &[]);
    let joined = now + Duration::from_millis(500);
    rooms.set_member(joined, member(HERE, 2, "bo"));
    rooms.set_member(joined, member(HERE, 3, "cy"));
    say(&mut rooms, joined, 2, &[]);
    say(&mut rooms, joined + Duration::from_secs(1), 3, &[]);
    say(&mut rooms, joined + Duration::from_secs(1), 4, &["cy"]);
    let open = joined + Duration::from_millis(2_500);
    assert_eq!(
        replayed(&mut rooms, open, 2),
        1,
        "number 3: 1 is older than bo, 2 too old"
    );
    assert_eq!(replayed(&mut rooms, open, 2), 0, "only once");
    assert_eq!(replayed(&mut rooms, open, 1), 0, "nobody hears himself");
    assert_eq!(replayed(&mut rooms, open, 3), 2);
    assert_eq!(replayed(&mut rooms, open, 77), 0);
}

#[test]
fn what_waits_is_bounded() {
    let now = start();
    let mut rooms = three();
    let big = packet::wrap_raw(&vec![0; 60 * 1_024]);
    for _ in 0..20 {
        let from = transport(HERE, 1);
        let message = rooms.route(from, DataDelivery::Reliable, &big).unwrap();
        rooms.remember(now, &message);
    }
    let room = &rooms.rooms[&ROOM];
    assert_eq!(room.recent.len(), 1);
    assert!(room.recent_bytes <= REPLAY_BYTES);
}

#[test]
fn nobody_is_refused_in_a_large_room() {
    let listener = |n: u32| DataMember {
        can_publish: false,
        ..member(
            if n.is_multiple_of(2) { HERE } else { ELSEWHERE },
            n,
            &n.to_string(),
        )
    };
    let members: Vec<_> = (1_001..=41_000).map(listener).collect();
    let mut rooms = rooms(&members);
    rooms.set_member(start(), member(HERE, 1, "ada"));
    let all = send(&mut rooms, 1, &packet(1, &[])).expect("ada may speak");
    assert_eq!(all.len(), 20_000, "all of this shard's");
    let one = send(&mut rooms, 1, &packet(2, &["41000"])).expect("ada may speak");
    assert_eq!(one, [41_000]);
}
