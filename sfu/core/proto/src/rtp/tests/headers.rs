//! Headers: what is written is read back, hostile lengths, padding.

use proptest::prelude::*;

use super::*;

#[test]
fn a_plain_header_has_twelve_bytes() {
    let packet = packet(&[], b"payload");
    let header = Header::parse(&packet).unwrap();
    assert_eq!(
        header,
        Header {
            payload_type: 111,
            marker: true,
            sequence: 0x1234,
            timestamp: 0x5678_9abc,
            ssrc: Ssrc(0xcafe_babe),
            header_len: 12,
            has_padding: false,
            extension: None,
        }
    );
    let range = header.payload_range(packet.len(), &packet).unwrap();
    assert_eq!(&packet[range], b"payload");
}

#[test]
fn csrcs_and_extensions_are_part_of_the_header() {
    let mut bytes = vec![0x93, 0x60, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
    bytes.extend_from_slice(&[7; 12]);
    bytes.extend_from_slice(&[0xbe, 0xde, 0, 2, 0x10, 0xaa, 0, 0, 0, 0, 0, 0]);
    for len in 0..bytes.len() {
        assert_eq!(Header::parse(&bytes[..len]), Err(RtpError::Truncated));
    }
    let header = Header::parse(&bytes).unwrap();
    assert_eq!(header.header_len, 36);
    assert_eq!(
        header.extension,
        Some(ExtensionBlock {
            profile: 0xbede,
            start: 28,
            len: 8
        })
    );
    assert_eq!(header.payload_range(36, &bytes), Ok(36..36));
}

#[test]
fn other_versions_are_refused() {
    for version in [0x00, 0x40, 0xc0] {
        let mut bytes = packet(&[], b"x");
        bytes[0] = version;
        assert_eq!(Header::parse(&bytes), Err(RtpError::Version));
    }
}

/// Payload length left when `count` is the padding count of 20 bytes.
fn unpadded_len(count: u8) -> Result<usize, RtpError> {
    let mut bytes = packet(&[], &[0; 20]);
    bytes[0] |= 0x20;
    *bytes.last_mut().unwrap() = count;
    let header = Header::parse(&bytes).unwrap();
    header
        .payload_range(bytes.len(), &bytes)
        .map(|range| range.len())
}

#[test]
fn padding_is_stripped_and_checked() {
    assert_eq!(unpadded_len(0), Err(RtpError::Padding));
    assert_eq!(unpadded_len(1), Ok(19));
    assert_eq!(unpadded_len(19), Ok(1));
    assert_eq!(unpadded_len(20), Ok(0));
    assert_eq!(unpadded_len(21), Err(RtpError::Padding));
    assert_eq!(unpadded_len(255), Err(RtpError::Padding));
    let mut bytes = packet(&[], &[]);
    bytes[0] |= 0x20;
    let header = Header::parse(&bytes).unwrap();
    assert_eq!(header.payload_range(12, &bytes), Err(RtpError::Padding));
}

#[test]
fn a_decrypted_length_outside_the_packet_is_refused() {
    let bytes = packet(&[], b"payload");
    let header = Header::parse(&bytes).unwrap();
    for len in [0, 11, bytes.len() + 1, usize::MAX] {
        assert_eq!(header.payload_range(len, &bytes), Err(RtpError::Truncated));
    }
}

#[test]
fn a_buffer_that_is_too_short_is_not_overrun() {
    let extensions: &[(u8, &[u8])] = &[(1, b"abc"), (2, b"d")];
    let needed = packet(extensions, b"").len();
    for len in 0..needed {
        assert_eq!(write_header(&mut vec![0; len], &FIELDS, extensions), 0);
    }
    assert_eq!(
        write_header(&mut vec![0; needed], &FIELDS, extensions),
        needed
    );
}

#[test]
fn the_shorter_extension_form_is_taken_where_it_fits() {
    let profile = |extensions: &[(u8, &[u8])]| {
        let bytes = packet(extensions, b"");
        assert_eq!(bytes.len() % 4, 0);
        Header::parse(&bytes)
            .unwrap()
            .extension
            .map(|it| it.profile)
    };
    assert_eq!(profile(&[(1, &[0; 16]), (14, &[0])]), Some(0xbede));
    assert_eq!(profile(&[(1, &[0; 17])]), Some(0x1000));
    assert_eq!(profile(&[(15, &[0])]), Some(0x1000));
    assert_eq!(profile(&[(1, &[])]), Some(0x1000));
    // What no form can hold is left out.
    assert_eq!(profile(&[(0, &[1]), (3, &[0; 256])]), None);
    assert_eq!(
        profile(&[(0, &[1]), (3, &[1]), (3, &[0; 256])]),
        Some(0xbede)
    );
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        payload_type in 0_u8..128,
        marker: bool,
        sequence: u16,
        timestamp: u32,
        ssrc: u32,
        payload in prop::collection::vec(any::<u8>(), 0..50),
    ) {
        let fields = OutHeader { payload_type, marker, sequence, timestamp, ssrc: Ssrc(ssrc) };
        let mut out = vec![0; 100];
        let len = write_header(&mut out, &fields, &[(3, b"abc")]);
        out.truncate(len);
        out.extend_from_slice(&payload);
        let header = Header::parse(&out).unwrap();
        prop_assert_eq!(header.header_len, len);
        prop_assert_eq!(header.payload_range(out.len(), &out), Ok(len..out.len()));
        let read = OutHeader {
            payload_type: header.payload_type,
            marker: header.marker,
            sequence: header.sequence,
            timestamp: header.timestamp,
            ssrc: header.ssrc,
        };
        prop_assert_eq!(read, fields);
    }

    #[test]
    fn arbitrary_bytes_never_panic(
        mut bytes in prop::collection::vec(any::<u8>(), 0..200),
        len in 0_usize..250,
    ) {
        if let Some(first) = bytes.first_mut() {
            *first = 0x80 | (*first & 0x3f);
        }
        if let Ok(header) = Header::parse(&bytes) {
            prop_assert!(header.header_len <= bytes.len());
            if let Ok(range) = header.payload_range(len, &bytes) {
                prop_assert!(bytes.get(range).is_some());
            }
        }
    }
}
