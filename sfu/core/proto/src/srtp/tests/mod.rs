//! Tests of the SRTP session: published vectors, rollover and replay, hostile lengths.

mod hostile;
mod rollover;
mod vectors;

use super::*;
use crate::api::Ssrc;
use crate::rtp::{Header, OutHeader, write_header};

const PROFILES: [Profile; 3] = [
    Profile::AeadAes256Gcm,
    Profile::AeadAes128Gcm,
    Profile::Aes128CmSha1_80,
];

/// Both ends of one direction: what `Outbound` protects, `Inbound` opens.
fn pair(profile: Profile) -> (Outbound, Inbound) {
    let material: Vec<u8> = (0..profile.keying_material_len())
        .map(|at| (at as u8).wrapping_mul(37).wrapping_add(11))
        .collect();
    let (outbound, _) = contexts(profile, &material, true).unwrap();
    let (_, inbound) = contexts(profile, &material, false).unwrap();
    (outbound, inbound)
}

/// A protected packet of stream `ssrc` with the extended sequence number `index`.
fn protected(outbound: &mut Outbound, ssrc: u32, index: u64, payload: &[u8]) -> Vec<u8> {
    let mut buf = vec![0; 12 + payload.len() + 16];
    let fields = OutHeader {
        payload_type: 96,
        marker: false,
        sequence: index as u16,
        timestamp: 90_000,
        ssrc: Ssrc(ssrc),
    };
    let header_len = write_header(&mut buf, &fields, &[]);
    let plain_len = header_len + payload.len();
    buf[header_len..plain_len].copy_from_slice(payload);
    let total = outbound
        .protect_rtp_numbered(&mut buf, header_len, plain_len, (index >> 16) as u32)
        .unwrap();
    buf.truncate(total);
    buf
}

/// The plain payload of `packet`, of which a copy is opened.
fn opened(inbound: &mut Inbound, packet: &[u8]) -> Result<Vec<u8>, SrtpError> {
    let mut packet = packet.to_vec();
    let header = Header::parse(&packet).map_err(|_| SrtpError::TooShort)?;
    let len = inbound.unprotect_rtp(&mut packet, &header)?;
    Ok(packet[header.header_len..len].to_vec())
}

fn opened_rtcp(inbound: &mut Inbound, packet: &[u8]) -> Result<Vec<u8>, SrtpError> {
    let mut packet = packet.to_vec();
    let len = inbound.unprotect_rtcp(&mut packet)?;
    Ok(packet[..len].to_vec())
}

/// An empty receiver report of `ssrc`, protected.
fn protected_rtcp(outbound: &mut Outbound, ssrc: u32) -> Vec<u8> {
    let mut buf = receiver_report(ssrc);
    let plain_len = buf.len();
    buf.resize(plain_len + 20, 0);
    let total = outbound.protect_rtcp(&mut buf, plain_len).unwrap();
    buf.truncate(total);
    buf
}

fn receiver_report(ssrc: u32) -> Vec<u8> {
    let mut report = vec![0x81, 201, 0, 7];
    report.extend_from_slice(&ssrc.to_be_bytes());
    report.extend_from_slice(&[0x5a; 24]);
    report
}

#[test]
fn keying_material_is_split_by_role() {
    for profile in PROFILES {
        let material: Vec<u8> = (0..profile.keying_material_len() as u8).collect();
        let (mut client_out, mut client_in) = contexts(profile, &material, true).unwrap();
        let (mut server_out, mut server_in) = contexts(profile, &material, false).unwrap();
        let up = protected(&mut client_out, 1, 10, b"up");
        let down = protected(&mut server_out, 1, 10, b"down");
        assert_eq!(opened(&mut server_in, &up).unwrap(), b"up");
        assert_eq!(opened(&mut client_in, &down).unwrap(), b"down");
        assert_eq!(
            opened(&mut server_in, &protected(&mut server_out, 1, 11, b"own")),
            Err(SrtpError::Authentication)
        );
    }
}

#[test]
fn keying_material_of_another_length_is_refused() {
    for profile in PROFILES {
        for len in [
            0,
            profile.keying_material_len() - 1,
            profile.keying_material_len() + 1,
        ] {
            assert!(matches!(
                contexts(profile, &vec![0; len], true),
                Err(SrtpError::KeyingMaterial)
            ));
        }
    }
}

#[test]
fn every_dtls_profile_is_known_and_agrees_on_lengths() {
    for theirs in dimpl::SrtpProfile::ALL {
        let ours = Profile::from_dimpl(*theirs).unwrap();
        assert_eq!(ours.keying_material_len(), theirs.keying_material_len());
    }
}
