//! Data messages that can be told apart on arrival.
#![allow(dead_code, reason = "each test binary uses its part")]

use kinguicall_netem::{ClientIndex, World};

/// `DataPacket { user: UserPacket { payload } }` with a payload of `len` bytes, the first four of
/// which are its number.
pub(crate) fn numbered(number: u32, len: usize) -> Vec<u8> {
    let mut payload = number.to_be_bytes().to_vec();
    payload.resize(len, 7);
    let user = field(2, &payload);
    field(2, &user)
}

/// Numbers of the messages that a client has got, in order of arrival.
pub(crate) fn numbers(world: &World, client: ClientIndex) -> Vec<u32> {
    let messages = world.clients[client.0].messages.iter();
    messages.map(|(_, message)| number_of(message)).collect()
}

/// The number in a packet as it arrives: the packet is user data first, and that its payload.
pub(crate) fn number_of(packet: &[u8]) -> u32 {
    let user = value(packet);
    let payload = value(user);
    payload
        .first_chunk()
        .map_or(u32::MAX, |n| u32::from_be_bytes(*n))
}

fn field(number: u8, value: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    let mut len = value.len();
    while len >= 0x80 {
        field.push(len as u8 | 0x80);
        len >>= 7;
    }
    field.push(len as u8);
    field.extend_from_slice(value);
    field
}

/// What a field with a length holds, to the end of what was given.
fn value(field: &[u8]) -> &[u8] {
    let end = field[1..].iter().position(|byte| byte & 0x80 == 0);
    &field[2 + end.unwrap_or(0)..]
}
