//! Replays packets that other projects' fuzzers found, where the corpora are at hand.

use std::path::PathBuf;

use super::payload::{is_switch_point, vp8};
use super::*;
use crate::api::{Codec, ExtensionId, ExtensionKind};

/// Every sample of one kind; empty where the corpora are absent.
pub(in crate::rtp) fn samples(kind: &str) -> Vec<Vec<u8>> {
    let root = std::env::var_os("KINGUICALL_CORPORA").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../../shared/corpora"),
        PathBuf::from,
    );
    let Ok(entries) = std::fs::read_dir(root.join(kind)) else {
        return Vec::new();
    };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.map(|path| std::fs::read(path).unwrap()).collect()
}

/// An extension map in which every identifier of the one-byte form means something.
fn full_map() -> ExtensionMap {
    let kinds = [
        ExtensionKind::Mid,
        ExtensionKind::Rid,
        ExtensionKind::RepairedRid,
        ExtensionKind::AudioLevel,
        ExtensionKind::TransportCc,
        ExtensionKind::AbsSendTime,
        ExtensionKind::AbsCaptureTime,
        ExtensionKind::DependencyDescriptor,
        ExtensionKind::VideoOrientation,
        ExtensionKind::PlayoutDelay,
    ];
    let ids: Vec<_> = (1..=255)
        .zip(kinds.into_iter().cycle())
        .map(|(id, kind)| ExtensionId { id, kind })
        .collect();
    ExtensionMap::new(&ids)
}

fn check_payload(payload: &[u8]) {
    for codec in [Codec::Vp8, Codec::H264, Codec::Vp9, Codec::Av1] {
        is_switch_point(codec, payload);
    }
    if let Some(descriptor) = vp8::Descriptor::parse(payload) {
        descriptor.patch(&mut payload.to_vec(), Some(1), Some(1));
    }
}

fn check_packet(map: &ExtensionMap, packet: &[u8]) {
    let Ok(header) = Header::parse(packet) else {
        return;
    };
    assert!(header.header_len <= packet.len());
    if let Some(range) = map.read(packet, &header).dependency_descriptor {
        assert!(range.end <= header.header_len);
    }
    for len in 0..=packet.len() {
        if let Ok(range) = header.payload_range(len, packet) {
            check_payload(&packet[range]);
        }
    }
}

#[test]
fn hostile_packets_are_safe_at_every_length() {
    let map = full_map();
    for kind in ["rtp", "rtcp", "any", "dependency-descriptor", "vla"] {
        for sample in samples(kind) {
            for len in 0..=sample.len().min(300) {
                check_packet(&map, &sample[..len]);
            }
            check_packet(&map, &sample);
        }
    }
}

#[test]
fn hostile_extension_values_are_safe() {
    let map = full_map();
    for kind in ["dependency-descriptor", "vla", "rtp"] {
        for sample in samples(kind) {
            let block = &sample[..sample.len().min(1_000) / 4 * 4];
            for profile in [0xbede_u16, 0x1000] {
                let mut packet = packet(&[], b"");
                packet[0] |= 0x10;
                packet.extend_from_slice(&profile.to_be_bytes());
                packet.extend_from_slice(&((block.len() / 4) as u16).to_be_bytes());
                packet.extend_from_slice(block);
                check_packet(&map, &packet);
            }
        }
    }
}

#[test]
fn hostile_payloads_are_safe_at_every_length() {
    for kind in ["h264-depack", "av1-depack", "rtp", "any"] {
        for sample in samples(kind) {
            for len in 0..=sample.len() {
                check_payload(&sample[..len]);
            }
        }
    }
}
