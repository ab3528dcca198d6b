//! What tests of whole engines send: connectivity checks as a browser would.

use std::net::IpAddr;

use aws_lc_rs::hmac;
use kinguicall_net::LocalDescription;

pub(crate) fn loopback() -> IpAddr {
    IpAddr::from([127, 0, 0, 1])
}

fn attribute(message: &mut Vec<u8>, kind: u16, value: &[u8]) {
    message.extend(kind.to_be_bytes());
    message.extend((value.len() as u16).to_be_bytes());
    message.extend(value);
    message.resize(message.len().next_multiple_of(4), 0);
    let length = (message.len() - 20) as u16;
    message[2..4].copy_from_slice(&length.to_be_bytes());
}

/// A connectivity check for a transport (RFC 8489), under a password.
pub(crate) fn check(local: &LocalDescription, password: &str) -> Vec<u8> {
    let mut message = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
    message.extend([7; 12]);
    attribute(
        &mut message,
        0x0006,
        format!("{}:peer", local.ice.ufrag).as_bytes(),
    );
    attribute(&mut message, 0x0024, &1_u32.to_be_bytes());
    attribute(&mut message, 0x802a, &1_u64.to_be_bytes());
    // The integrity covers a length that includes itself.
    let length = (message.len() - 20 + 24) as u16;
    message[2..4].copy_from_slice(&length.to_be_bytes());
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes());
    let tag = hmac::sign(&key, &message);
    attribute(&mut message, 0x0008, tag.as_ref());
    message
}
