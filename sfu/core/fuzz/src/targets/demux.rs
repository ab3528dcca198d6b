//! A datagram on the shared port: what it is, whose check it is, and the plain headers behind that.

use is::stun::StunMessage;
use kinguicall_proto::rtp::Header;
use kinguicall_proto::transport::demux::{
    DatagramKind, classify, shard_of_ufrag, stun_local_ufrag, ufrag_prefix,
};

pub fn run(data: &[u8]) {
    let shortest = match classify(data) {
        DatagramKind::Stun => 20,
        DatagramKind::Dtls => 13,
        DatagramKind::Rtp => 12,
        DatagramKind::Rtcp => 8,
        DatagramKind::Unknown => 0,
    };
    assert!(data.len() >= shortest);
    if let Some(ufrag) = stun_local_ufrag(data) {
        check_ufrag(data, ufrag);
    }
    match classify(data) {
        DatagramKind::Rtp => super::rtp::run(data),
        DatagramKind::Rtcp => {
            assert!(Header::parse(data).is_err() || data.len() >= 12);
            super::rtcp::run(data);
        }
        DatagramKind::Stun | DatagramKind::Dtls | DatagramKind::Unknown => {}
    }
}

fn check_ufrag(data: &[u8], ufrag: &str) {
    assert_eq!(classify(data), DatagramKind::Stun);
    assert!(!ufrag.is_empty() && ufrag.len() <= 256 && !ufrag.contains(':'));
    if let Some(shard) = shard_of_ufrag(ufrag) {
        let prefix = ufrag_prefix(shard);
        // Capital letters and a plus sign are taken for digits, too.
        let own = ufrag[..2].to_ascii_lowercase();
        assert!(own == prefix || own.starts_with('+'));
    }
    if let Ok(message) = StunMessage::parse(data) {
        assert!(message.is_binding_request());
    }
}
