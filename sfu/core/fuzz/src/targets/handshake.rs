//! Plaintext records of a DTLS handshake, on the way to a session that any error would end.

use kinguicall_proto::api::DtlsRole;
use kinguicall_proto::transport::filter::{HandshakeFilter, is_protected};
use kinguicall_proto::transport::hello::fingerprint_sha256;

use super::stun::start;
use crate::input::Input;

const RECORD_HEADER: usize = 13;
/// The certificate whose fingerprint was announced.
const CERTIFICATE: &[u8] = b"cert";
/// Longest message that is put together, with its headers, and what may come of one datagram.
const MAX_LEFT: usize = 16 * (8_192 + 25);

pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let role = match input.byte() & 1 {
        0 => DtlsRole::Server,
        _ => DtlsRole::Client,
    };
    let mut filter = HandshakeFilter::new(role, fingerprint_sha256(CERTIFICATE));
    let mut established = false;
    for _ in 0..32 {
        if input.is_empty() {
            break;
        }
        let head = input.u16();
        established |= head & 0x8000 != 0;
        let datagram = input.take(usize::from(head & 0x7ff));
        if !established {
            filter.handshaking(start(), datagram);
        } else if is_protected(datagram) {
            assert!(records(datagram).is_some_and(|count| count > 0));
            continue;
        } else {
            filter.established(datagram);
        }
        let mut left = 0;
        let mut index = 0;
        while let Some(datagram) = filter.datagram(index) {
            assert!(records(datagram).is_some_and(|count| (1..=2).contains(&count)));
            left += datagram.len();
            index += 1;
        }
        assert!(left <= MAX_LEFT);
    }
}

/// How many records there are, if nothing is cut short.
fn records(mut datagram: &[u8]) -> Option<usize> {
    let mut count = 0;
    while !datagram.is_empty() {
        let header = datagram.first_chunk::<RECORD_HEADER>()?;
        let length = usize::from(u16::from_be_bytes([header[11], header[12]]));
        datagram = datagram.get(RECORD_HEADER + length..)?;
        count += 1;
    }
    Some(count)
}
