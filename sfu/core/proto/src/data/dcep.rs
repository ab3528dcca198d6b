//! The Data Channel Establishment Protocol (RFC 8832): who says which label and reliability a
//! stream has. Two messages: OPEN and ACK.

/// Longest label that is accepted.
pub const MAX_LABEL: usize = 64;

const MESSAGE_ACK: u8 = 0x02;
const MESSAGE_OPEN: u8 = 0x03;
const OPEN_HEADER: usize = 12;
const CHANNEL_UNORDERED: u8 = 0x80;

/// How hard SCTP tries (RFC 3758).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reliability {
    Reliable,
    MaxRetransmits(u32),
    MaxLifetimeMs(u32),
}

/// DATA_CHANNEL_OPEN (section 5.1). Priority and protocol are not used here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    pub label: String,
    pub ordered: bool,
    pub reliability: Reliability,
}

/// A message of the protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    Open(Open),
    Ack,
}

/// Reads a message. `None` for one that is malformed, unknown or has too long a label.
pub fn read(bytes: &[u8]) -> Option<Message> {
    match *bytes.first()? {
        MESSAGE_ACK => Some(Message::Ack),
        MESSAGE_OPEN => read_open(bytes).map(Message::Open),
        _ => None,
    }
}

fn read_open(bytes: &[u8]) -> Option<Open> {
    let header = bytes.first_chunk::<OPEN_HEADER>()?;
    let parameter = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
    let label_length = usize::from(u16::from_be_bytes([header[8], header[9]]));
    let protocol_length = usize::from(u16::from_be_bytes([header[10], header[11]]));
    let rest = &bytes[OPEN_HEADER..];
    if rest.len() != label_length + protocol_length || label_length > MAX_LABEL {
        return None;
    }
    let label = std::str::from_utf8(rest.get(..label_length)?).ok()?;
    let reliability = match header[1] & !CHANNEL_UNORDERED {
        0 => Reliability::Reliable,
        1 => Reliability::MaxRetransmits(parameter),
        2 => Reliability::MaxLifetimeMs(parameter),
        _ => return None,
    };
    Some(Open {
        label: label.to_owned(),
        ordered: header[1] & CHANNEL_UNORDERED == 0,
        reliability,
    })
}

/// Writes DATA_CHANNEL_OPEN.
pub fn write_open(open: &Open) -> Vec<u8> {
    let (kind, parameter) = match open.reliability {
        Reliability::Reliable => (0, 0),
        Reliability::MaxRetransmits(times) => (1, times),
        Reliability::MaxLifetimeMs(lifetime) => (2, lifetime),
    };
    let unordered = if open.ordered { 0 } else { CHANNEL_UNORDERED };
    let mut bytes = vec![MESSAGE_OPEN, kind | unordered, 0, 0];
    bytes.extend(parameter.to_be_bytes());
    bytes.extend((open.label.len() as u16).to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend(open.label.as_bytes());
    bytes
}

/// DATA_CHANNEL_ACK (section 5.2).
pub const ACK: [u8; 1] = [MESSAGE_ACK];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_open_is_read_as_written() {
        for reliability in [
            Reliability::Reliable,
            Reliability::MaxRetransmits(0),
            Reliability::MaxLifetimeMs(300),
        ] {
            for ordered in [true, false] {
                let open = Open {
                    label: "_lossy".to_owned(),
                    ordered,
                    reliability,
                };
                assert_eq!(read(&write_open(&open)), Some(Message::Open(open)));
            }
        }
        assert_eq!(read(&ACK), Some(Message::Ack));
    }

    #[test]
    fn a_browsers_open_is_understood() {
        // Chromium, createDataChannel("chat", {ordered: false, maxRetransmits: 2, protocol: "p"}).
        let bytes = b"\x03\x81\x01\x00\x00\x00\x00\x02\x00\x04\x00\x01chatp";
        let open = Open {
            label: "chat".to_owned(),
            ordered: false,
            reliability: Reliability::MaxRetransmits(2),
        };
        assert_eq!(read(bytes), Some(Message::Open(open)));
    }

    #[test]
    fn long_labels_are_refused() {
        let open = |length: usize| {
            write_open(&Open {
                label: "x".repeat(length),
                ordered: true,
                reliability: Reliability::Reliable,
            })
        };
        assert!(read(&open(MAX_LABEL)).is_some());
        assert!(read(&open(MAX_LABEL + 1)).is_none());
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = read(&bytes);
        }
    }
}
