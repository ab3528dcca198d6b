//! An RTP packet before and after decryption: header, extensions, padding, payload; and its header
//! written anew.

use std::sync::OnceLock;

use kinguicall_proto::api::{ExtensionId, ExtensionKind};
use kinguicall_proto::rtp::{
    ExtensionMap, FIXED_HEADER_LEN, Header, OutHeader, ParsedExtensions, write_header,
};

const KINDS: [ExtensionKind; 10] = [
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

pub fn run(data: &[u8]) {
    let Ok(header) = Header::parse(data) else {
        return;
    };
    assert!((FIXED_HEADER_LEN..=data.len()).contains(&header.header_len));
    if let Some(block) = header.extension {
        assert_eq!(block.start + block.len, header.header_len);
    }
    let extensions = map().read(data, &header);
    if let Some(range) = &extensions.dependency_descriptor {
        assert!(range.start <= range.end && range.end <= header.header_len);
        assert!(range.len() <= 255);
    }
    write_again(data, &header, &extensions);
    let shortest = header.header_len.saturating_sub(2);
    for end in (shortest..=data.len() + 1).rev().take(24) {
        if let Ok(range) = header.payload_range(end, data) {
            assert!(range.start == header.header_len && range.end <= end);
            super::payload::detect(&data[range]);
        }
    }
}

/// Identifiers 1 to 10, in the order of `KINDS`, and the upper ones again.
fn map() -> &'static ExtensionMap {
    static MAP: OnceLock<ExtensionMap> = OnceLock::new();
    MAP.get_or_init(|| {
        let upper = (200..).zip(KINDS);
        let ids = upper.chain((1..).zip(KINDS));
        ExtensionMap::new(
            &ids.map(|(id, kind)| ExtensionId { id, kind })
                .collect::<Vec<_>>(),
        )
    })
}

fn write_again(data: &[u8], header: &Header, extensions: &ParsedExtensions) {
    let fields = OutHeader {
        payload_type: header.payload_type,
        marker: header.marker,
        sequence: header.sequence,
        timestamp: header.timestamp,
        ssrc: header.ssrc,
    };
    let values = values(data, extensions);
    let elements: Vec<(u8, &[u8])> = values
        .iter()
        .filter_map(|(kind, value)| Some((map().id(*kind)?, &value[..])))
        .collect();
    let mut out = [0xee; 1_024];
    let len = write_header(&mut out, &fields, &elements);
    assert!(len >= FIXED_HEADER_LEN && len.is_multiple_of(4));
    assert_eq!(write_header(&mut out[..len - 1], &fields, &elements), 0);
    write_header(&mut out, &fields, &elements);
    let written = Header::parse(&out[..len]).expect("a written header can be read");
    assert_eq!(written.header_len, len);
    assert!(!written.has_padding);
    let read = (written.payload_type, written.marker, written.sequence);
    assert_eq!(read, (header.payload_type, header.marker, header.sequence));
    assert_eq!(
        (written.timestamp, written.ssrc),
        (header.timestamp, header.ssrc)
    );
    let mut again = map().read(&out[..len], &written);
    let descriptor = again.dependency_descriptor.clone().map(|it| &out[it]);
    let expected = extensions.dependency_descriptor.clone();
    assert_eq!(descriptor, expected.clone().map(|it| &data[it]));
    again.dependency_descriptor = expected;
    assert_eq!(again, *extensions);
}

/// What the extensions say, as values to write.
fn values(data: &[u8], extensions: &ParsedExtensions) -> Vec<(ExtensionKind, Vec<u8>)> {
    let level = extensions
        .audio_level
        .map(|it| vec![u8::from(it.voice) << 7 | it.level_dbov]);
    let capture = extensions
        .abs_capture_time
        .map(|(bytes, len)| bytes[..usize::from(len)].to_vec());
    let all = [
        extensions.mid.map(|it| it.as_bytes().to_vec()),
        extensions.rid.map(|it| it.as_bytes().to_vec()),
        extensions.repaired_rid.map(|it| it.as_bytes().to_vec()),
        level,
        extensions.transport_cc.map(|it| it.to_be_bytes().to_vec()),
        extensions
            .abs_send_time
            .map(|it| it.to_be_bytes()[1..].to_vec()),
        capture,
        extensions
            .dependency_descriptor
            .clone()
            .map(|it| data[it].to_vec()),
        extensions.video_orientation.map(|it| vec![it]),
        extensions.playout_delay.map(|it| it.to_vec()),
    ];
    let values = KINDS.into_iter().zip(all);
    values
        .filter_map(|(kind, value)| Some((kind, value?)))
        .collect()
}
