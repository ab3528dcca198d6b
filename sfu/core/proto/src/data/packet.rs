//! Just enough of protobuf to attribute a `livekit.DataPacket` to its sender and to read where it
//! wants to go. Every field that is not rewritten, known here or not, stays as it was, byte by byte.
//!
//! Field numbers are those of the protocol's `livekit_models.proto`.

use thiserror::Error;

use crate::api::DataDelivery;

/// Longest packet that is taken from a peer or the API, and longest one that leaves: readers that
/// announce nothing else take this much. Descriptions announce less, by more than attribution adds.
pub const MAX_PACKET: usize = 65_535;
/// Destinations named by one packet.
const MAX_DESTINATIONS: usize = 1_000;

mod packet_field {
    pub(super) const KIND: u32 = 1;
    pub(super) const USER: u32 = 2;
    pub(super) const SPEAKER: u32 = 3;
    pub(super) const PARTICIPANT_IDENTITY: u32 = 4;
    pub(super) const DESTINATION_IDENTITIES: u32 = 5;
    pub(super) const TRANSCRIPTION: u32 = 7;
    pub(super) const METRICS: u32 = 8;
    pub(super) const SEQUENCE: u32 = 16;
    pub(super) const PARTICIPANT_SID: u32 = 17;
}

mod user_field {
    pub(super) const PARTICIPANT_SID: u32 = 1;
    pub(super) const PAYLOAD: u32 = 2;
    pub(super) const DESTINATION_SIDS: u32 = 3;
    pub(super) const PARTICIPANT_IDENTITY: u32 = 5;
    pub(super) const DESTINATION_IDENTITIES: u32 = 6;
}

const KIND_LOSSY: u64 = 1;

/// Why a packet is not forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PacketError {
    #[error("not a well-formed message")]
    Malformed,
    #[error("longer than {MAX_PACKET} bytes or with too many destinations")]
    TooLarge,
    /// Speaker updates, metrics and transcriptions come from servers and agents only.
    #[error("a kind of message that participants do not send")]
    NotAllowed,
}

/// Who a packet is attributed to. Empty strings for a hidden participant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attribution<'a> {
    pub sid: &'a str,
    pub identity: &'a str,
}

/// What routing has to know of a packet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Addressing {
    /// Participant sids (deprecated in the protocol, still in use).
    pub destination_sids: Vec<String>,
    pub destination_identities: Vec<String>,
    /// Number given by the sender; 0 for none.
    pub sequence: u32,
}

impl Addressing {
    /// Whether the packet names destinations, rather than going to all others.
    pub fn is_directed(&self) -> bool {
        !self.destination_sids.is_empty() || !self.destination_identities.is_empty()
    }
}

/// Rewrites a packet from a participant (`sender`) or from the server's own API (`None`: whatever
/// it says of its sender stays).
pub fn rewrite(
    packet: &[u8],
    sender: Option<Attribution<'_>>,
    delivery: DataDelivery,
) -> Result<(Vec<u8>, Addressing), PacketError> {
    if packet.len() > MAX_PACKET {
        return Err(PacketError::TooLarge);
    }
    let addressing = read_addressing(packet, sender.is_some())?;
    let whole = write_packet(packet, sender, delivery, &addressing, true)?;
    if whole.len() <= MAX_PACKET {
        return Ok((whole, addressing));
    }
    let short = write_packet(packet, sender, delivery, &addressing, false)?;
    match short.len() <= MAX_PACKET {
        true => Ok((short, addressing)),
        false => Err(PacketError::TooLarge),
    }
}

/// With `repeat`, destinations are also where old clients look for them.
fn write_packet(
    packet: &[u8],
    sender: Option<Attribution<'_>>,
    delivery: DataDelivery,
    addressing: &Addressing,
    repeat: bool,
) -> Result<Vec<u8>, PacketError> {
    let mut out = Vec::with_capacity(packet.len() + 128);
    if delivery == DataDelivery::Lossy {
        put_varint_field(&mut out, packet_field::KIND, KIND_LOSSY);
    }
    for field in Fields(packet) {
        let field = field?;
        match field.number {
            packet_field::KIND | packet_field::DESTINATION_IDENTITIES => {}
            packet_field::PARTICIPANT_SID | packet_field::PARTICIPANT_IDENTITY
                if sender.is_some() => {}
            packet_field::USER => {
                let repeated = match repeat {
                    true => addressing.destination_identities.as_slice(),
                    false => &[],
                };
                let user = rewrite_user(field.payload()?, sender, repeated)?;
                put_bytes_field(&mut out, packet_field::USER, &user);
            }
            _ => out.extend_from_slice(field.bytes),
        }
    }
    for identity in &addressing.destination_identities {
        put_bytes_field(
            &mut out,
            packet_field::DESTINATION_IDENTITIES,
            identity.as_bytes(),
        );
    }
    if let Some(sender) = sender {
        put_text(
            &mut out,
            packet_field::PARTICIPANT_IDENTITY,
            sender.identity,
        );
        put_text(&mut out, packet_field::PARTICIPANT_SID, sender.sid);
    }
    match out.is_empty() {
        true => Err(PacketError::Malformed),
        false => Ok(out),
    }
}

/// Makes a packet of bytes that came on a channel with a label of the application's own.
pub fn wrap_raw(payload: &[u8]) -> Vec<u8> {
    let mut user = Vec::with_capacity(payload.len() + 8);
    put_bytes_field(&mut user, user_field::PAYLOAD, payload);
    let mut packet = Vec::with_capacity(user.len() + 8);
    put_bytes_field(&mut packet, packet_field::USER, &user);
    packet
}

fn read_addressing(packet: &[u8], from_peer: bool) -> Result<Addressing, PacketError> {
    let mut addressing = Addressing::default();
    let mut in_user = Vec::new();
    let mut has_user = false;
    for field in Fields(packet) {
        let field = field?;
        match field.number {
            // All destinations are written into each, so that many would make a packet grow
            // a thousandfold.
            packet_field::USER if has_user => return Err(PacketError::Malformed),
            packet_field::DESTINATION_IDENTITIES => {
                addressing.destination_identities.push(field.text()?);
            }
            packet_field::SEQUENCE => {
                // Protobuf keeps the low bits of a varint that is too long for its type.
                addressing.sequence = field.varint()? as u32;
            }
            packet_field::USER => {
                has_user = true;
                for field in Fields(field.payload()?) {
                    let field = field?;
                    match field.number {
                        user_field::DESTINATION_SIDS => {
                            addressing.destination_sids.push(field.text()?);
                        }
                        user_field::DESTINATION_IDENTITIES => in_user.push(field.text()?),
                        _ => {}
                    }
                }
            }
            packet_field::SPEAKER | packet_field::METRICS | packet_field::TRANSCRIPTION
                if from_peer =>
            {
                return Err(PacketError::NotAllowed);
            }
            _ => {}
        }
    }
    if addressing.destination_identities.is_empty() {
        addressing.destination_identities = in_user;
    }
    let named = addressing.destination_sids.len() + addressing.destination_identities.len();
    if named > MAX_DESTINATIONS {
        return Err(PacketError::TooLarge);
    }
    Ok(addressing)
}

fn rewrite_user(
    user: &[u8],
    sender: Option<Attribution<'_>>,
    destinations: &[String],
) -> Result<Vec<u8>, PacketError> {
    let mut out = Vec::with_capacity(user.len() + 96);
    for field in Fields(user) {
        let field = field?;
        match field.number {
            user_field::DESTINATION_IDENTITIES => {}
            user_field::PARTICIPANT_SID | user_field::PARTICIPANT_IDENTITY if sender.is_some() => {}
            _ => out.extend_from_slice(field.bytes),
        }
    }
    for identity in destinations {
        put_bytes_field(
            &mut out,
            user_field::DESTINATION_IDENTITIES,
            identity.as_bytes(),
        );
    }
    if let Some(sender) = sender {
        put_text(&mut out, user_field::PARTICIPANT_SID, sender.sid);
        put_text(&mut out, user_field::PARTICIPANT_IDENTITY, sender.identity);
    }
    Ok(out)
}

/// One field on the wire (Protocol Buffers encoding).
struct Field<'a> {
    number: u32,
    wire_type: u8,
    /// Tag and value.
    bytes: &'a [u8],
    /// A varint's or a length-delimited field's own bytes.
    value: &'a [u8],
}

impl<'a> Field<'a> {
    fn payload(&self) -> Result<&'a [u8], PacketError> {
        match self.wire_type {
            2 => Ok(self.value),
            _ => Err(PacketError::Malformed),
        }
    }

    fn text(&self) -> Result<String, PacketError> {
        let text = std::str::from_utf8(self.payload()?);
        text.map(str::to_owned).map_err(|_| PacketError::Malformed)
    }

    fn varint(&self) -> Result<u64, PacketError> {
        match (self.wire_type, read_varint(self.value)) {
            (0, Some((value, _))) => Ok(value),
            _ => Err(PacketError::Malformed),
        }
    }
}

/// The fields of a message; an error ends them.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, PacketError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = read_field(self.0);
        match &field {
            Some(field) => self.0 = &self.0[field.bytes.len()..],
            None => self.0 = &[],
        }
        Some(field.ok_or(PacketError::Malformed))
    }
}

fn read_field(bytes: &[u8]) -> Option<Field<'_>> {
    let (tag, tag_length) = read_varint(bytes)?;
    let number = u32::try_from(tag >> 3).ok().filter(|&number| number > 0)?;
    let wire_type = (tag & 7) as u8;
    let rest = bytes.get(tag_length..)?;
    let (skipped, length) = match wire_type {
        0 => (0, read_varint(rest)?.1),
        1 => (0, 8),
        2 => {
            let (length, prefix) = read_varint(rest)?;
            (prefix, usize::try_from(length).ok()?)
        }
        5 => (0, 4),
        // Groups have long been deprecated.
        _ => return None,
    };
    let value = rest.get(skipped..)?.get(..length)?;
    Some(Field {
        number,
        wire_type,
        bytes: &bytes[..tag_length + skipped + length],
        value,
    })
}

/// A varint and its length, of at most ten bytes.
fn read_varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0;
    for (index, &byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, index + 1));
        }
    }
    None
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_varint_field(out: &mut Vec<u8>, number: u32, value: u64) {
    put_varint(out, u64::from(number) << 3);
    put_varint(out, value);
}

fn put_bytes_field(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    put_varint(out, u64::from(number) << 3 | 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// A string field; like any protobuf writer, leaves out an empty one.
fn put_text(out: &mut Vec<u8>, number: u32, text: &str) {
    if !text.is_empty() {
        put_bytes_field(out, number, text.as_bytes());
    }
}

#[cfg(test)]
mod tests;
