//! What a datagram is, judged by its first bytes (RFC 7983), and whose it is before anything is
//! known about its sender: the local half of a Binding request's USERNAME.
//!
//! Both run on every datagram that a stranger may send, so they allocate nothing and look at a
//! bounded number of bytes.

use crate::api::ShardId;

/// Protocol of a datagram on the shared port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatagramKind {
    Stun,
    Dtls,
    Rtp,
    Rtcp,
    /// Too short, or a protocol that is not spoken here: to be dropped.
    Unknown,
}

/// STUN's fixed header (RFC 8489, section 5).
const STUN_HEADER: usize = 20;
const STUN_MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const STUN_BINDING_REQUEST: [u8; 2] = [0x00, 0x01];
const STUN_BINDING_SUCCESS: [u8; 2] = [0x01, 0x01];
const STUN_ATTRIBUTE_USERNAME: u16 = 0x0006;
/// A Binding request has about ten attributes; more are not looked at.
const MAX_ATTRIBUTES: usize = 24;
/// `ice-ufrag` has 4 to 256 characters (RFC 8839, section 5.4); ours are far shorter.
const MAX_UFRAG: usize = 256;

const MIN_RTP: usize = 12;
const MIN_RTCP: usize = 8;
const MIN_DTLS: usize = 13;

/// Tells the protocols of the shared port apart (RFC 7983, section 7), RTCP from RTP by its packet
/// type (RFC 5761, section 4).
pub fn classify(packet: &[u8]) -> DatagramKind {
    let (Some(&first), Some(&second)) = (packet.first(), packet.get(1)) else {
        return DatagramKind::Unknown;
    };
    match first {
        0..=3 if packet.len() >= STUN_HEADER => DatagramKind::Stun,
        20..=63 if packet.len() >= MIN_DTLS => DatagramKind::Dtls,
        128..=191 => match second & 0x7f {
            64..=95 if packet.len() >= MIN_RTCP => DatagramKind::Rtcp,
            64..=95 => DatagramKind::Unknown,
            _ if packet.len() >= MIN_RTP => DatagramKind::Rtp,
            _ => DatagramKind::Unknown,
        },
        _ => DatagramKind::Unknown,
    }
}

/// The receiver's user name fragment in a Binding request: what stands before the colon of its
/// USERNAME (RFC 8445, section 7.2.2). `None` for anything else, or malformed.
///
/// This only finds the transport; nothing is authenticated yet.
pub fn stun_local_ufrag(packet: &[u8]) -> Option<&str> {
    let header = packet.first_chunk::<STUN_HEADER>()?;
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    if header[..2] != STUN_BINDING_REQUEST
        || header[4..8] != STUN_MAGIC_COOKIE
        || !length.is_multiple_of(4)
        || STUN_HEADER + length != packet.len()
    {
        return None;
    }
    let mut rest = &packet[STUN_HEADER..];
    for _ in 0..MAX_ATTRIBUTES {
        let head = rest.first_chunk::<4>()?;
        let kind = u16::from_be_bytes([head[0], head[1]]);
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        if kind == STUN_ATTRIBUTE_USERNAME {
            return local_part(rest.get(4..4 + length)?);
        }
        rest = rest.get(4 + length.next_multiple_of(4)..)?;
    }
    None
}

/// Whether a STUN datagram looks like the answer to a check of ours.
pub fn is_stun_answer(packet: &[u8]) -> bool {
    packet.starts_with(&STUN_BINDING_SUCCESS)
}

/// Characters at the start of our user name fragments that name the shard.
const SHARD_CHARS: usize = 2;

/// What the user name fragments of a shard's transports begin with, so that a check can be brought
/// to the right shard before anything else is known of its sender.
pub fn ufrag_prefix(shard: ShardId) -> String {
    format!("{:02x}", shard.0)
}

/// The shard that a local user name fragment names. Nothing is authenticated by that.
pub fn shard_of_ufrag(ufrag: &str) -> Option<ShardId> {
    let prefix = ufrag.get(..SHARD_CHARS)?;
    u8::from_str_radix(prefix, 16).ok().map(ShardId)
}

fn local_part(username: &[u8]) -> Option<&str> {
    let searched = &username[..username.len().min(MAX_UFRAG + 1)];
    let colon = searched.iter().position(|&byte| byte == b':')?;
    let local = std::str::from_utf8(&username[..colon]).ok()?;
    (!local.is_empty()).then_some(local)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn binding_request(username: &[u8]) -> Vec<u8> {
        let mut attribute = vec![0x00, 0x06];
        attribute.extend((username.len() as u16).to_be_bytes());
        attribute.extend(username);
        attribute.resize(attribute.len().next_multiple_of(4), 0);
        let mut packet = vec![0x00, 0x01];
        packet.extend((attribute.len() as u16).to_be_bytes());
        packet.extend(STUN_MAGIC_COOKIE);
        packet.extend([7; 12]);
        packet.extend(attribute);
        packet
    }

    #[test]
    fn tells_the_protocols_apart() {
        let packet = |first: u8, second: u8, length: usize| {
            let mut bytes = vec![0; length];
            bytes[0] = first;
            bytes[1] = second;
            bytes
        };
        assert_eq!(classify(&packet(0, 1, 20)), DatagramKind::Stun);
        assert_eq!(classify(&packet(0, 1, 19)), DatagramKind::Unknown);
        assert_eq!(classify(&packet(22, 254, 13)), DatagramKind::Dtls);
        assert_eq!(classify(&packet(22, 254, 12)), DatagramKind::Unknown);
        assert_eq!(classify(&packet(64, 0, 40)), DatagramKind::Unknown);
        assert_eq!(classify(&packet(0x80, 111, 12)), DatagramKind::Rtp);
        assert_eq!(classify(&packet(0x80, 0x80 | 111, 12)), DatagramKind::Rtp);
        assert_eq!(classify(&packet(0x80, 111, 11)), DatagramKind::Unknown);
        assert_eq!(classify(&packet(0x80, 200, 8)), DatagramKind::Rtcp);
        assert_eq!(classify(&packet(0x81, 206, 12)), DatagramKind::Rtcp);
        assert_eq!(classify(&packet(0x80, 200, 7)), DatagramKind::Unknown);
        assert_eq!(classify(&[]), DatagramKind::Unknown);
        assert_eq!(classify(&[0x80]), DatagramKind::Unknown);
    }

    #[test]
    fn finds_the_local_fragment() {
        assert_eq!(
            stun_local_ufrag(&binding_request(b"here:there")),
            Some("here")
        );
        assert_eq!(stun_local_ufrag(&binding_request(b"here:")), Some("here"));
    }

    #[test]
    fn fragments_name_their_shard() {
        for shard in [0, 9, 10, 127, 255].map(ShardId) {
            let ufrag = ufrag_prefix(shard) + "+/abcdef";
            assert_eq!(shard_of_ufrag(&ufrag), Some(shard));
        }
        assert_eq!(shard_of_ufrag("zzabcdef"), None);
        assert_eq!(shard_of_ufrag("a"), None);
        assert_eq!(shard_of_ufrag("\u{e9}\u{e9}"), None);
    }

    #[test]
    fn refuses_what_is_no_binding_request() {
        assert_eq!(stun_local_ufrag(&binding_request(b"herethere")), None);
        assert_eq!(stun_local_ufrag(&binding_request(b":there")), None);
        assert_eq!(stun_local_ufrag(&binding_request(b"\xff\xfe:there")), None);
        let mut indication = binding_request(b"here:there");
        indication[1] = 0x11;
        assert_eq!(stun_local_ufrag(&indication), None);
        let mut no_cookie = binding_request(b"here:there");
        no_cookie[4] = 0;
        assert_eq!(stun_local_ufrag(&no_cookie), None);
        let mut longer = binding_request(b"here:there");
        longer.extend([0; 4]);
        assert_eq!(stun_local_ufrag(&longer), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = classify(&bytes);
            let _ = stun_local_ufrag(&bytes);
        }

        #[test]
        fn a_corrupt_request_is_survived(position in 0_usize..36, value: u8) {
            let mut packet = binding_request(b"here:there");
            let position = position % packet.len();
            packet[position] = value;
            let _ = stun_local_ufrag(&packet);
        }
    }
}
