//! Packets that no session made: every length, every flipped bit, arbitrary bytes.

use proptest::prelude::*;

use super::*;

#[test]
fn every_truncation_is_refused() {
    for profile in PROFILES {
        let (mut outbound, mut inbound) = pair(profile);
        let rtp = protected(&mut outbound, 7, 1, &[0x5a; 40]);
        for len in 0..rtp.len() {
            assert!(opened(&mut inbound, &rtp[..len]).is_err(), "{len} bytes");
        }
        assert!(opened(&mut inbound, &rtp).is_ok());
        let rtcp = protected_rtcp(&mut outbound, 7);
        for len in 0..rtcp.len() {
            assert!(opened_rtcp(&mut inbound, &rtcp[..len]).is_err());
        }
        assert!(opened_rtcp(&mut inbound, &rtcp).is_ok());
    }
}

#[test]
fn every_flipped_bit_is_noticed() {
    for profile in PROFILES {
        let (mut outbound, mut inbound) = pair(profile);
        let rtp = protected(&mut outbound, 7, 1, &[0x5a; 40]);
        let rtcp = protected_rtcp(&mut outbound, 7);
        for bit in 0..8 * rtp.len() {
            let mut forged = rtp.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            assert!(opened(&mut inbound, &forged).is_err(), "bit {bit}");
        }
        for bit in 0..8 * rtcp.len() {
            let mut forged = rtcp.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            assert!(opened_rtcp(&mut inbound, &forged).is_err(), "bit {bit}");
        }
        assert!(opened(&mut inbound, &rtp).is_ok());
        assert!(opened_rtcp(&mut inbound, &rtcp).is_ok());
    }
}

#[test]
fn every_length_of_nothing_is_safe() {
    for profile in PROFILES {
        let (_, mut inbound) = pair(profile);
        for len in 0..3_000 {
            let packet = vec![0x80; len];
            assert!(opened(&mut inbound, &packet).is_err());
            assert!(opened_rtcp(&mut inbound, &packet).is_err());
        }
    }
}

#[test]
fn rtcp_in_the_clear_is_refused() {
    for profile in PROFILES {
        let (mut outbound, mut inbound) = pair(profile);
        let mut packet = protected_rtcp(&mut outbound, 7);
        let word_at = match profile {
            Profile::Aes128CmSha1_80 => packet.len() - 14,
            _ => packet.len() - 4,
        };
        packet[word_at] &= 0x7f;
        assert_eq!(
            opened_rtcp(&mut inbound, &packet),
            Err(SrtpError::NotEncrypted)
        );
    }
}

#[test]
fn contradictory_lengths_are_refused() {
    for profile in PROFILES {
        let (mut outbound, _) = pair(profile);
        let mut buf = [0x80; 100];
        let before = buf;
        let tag_len = profile.tag_len();
        for (header_len, plain_len, error) in [
            (0, 50, SrtpError::TooShort),
            (11, 50, SrtpError::TooShort),
            (51, 50, SrtpError::TooShort),
            (12, 101 - tag_len, SrtpError::NoRoom),
            (12, usize::MAX, SrtpError::NoRoom),
        ] {
            assert_eq!(
                outbound.protect_rtp_numbered(&mut buf, header_len, plain_len, 0),
                Err(error)
            );
        }
        assert_eq!(outbound.protect_rtcp(&mut buf, 7), Err(SrtpError::TooShort));
        assert_eq!(
            outbound.protect_rtcp(&mut buf, 100 - tag_len - 3),
            Err(SrtpError::NoRoom)
        );
        assert_eq!(buf, before);
    }
}

fn any_profile() -> impl Strategy<Value = Profile> {
    prop::sample::select(&PROFILES[..])
}

proptest! {
    #[test]
    fn protection_is_undone(
        profile in any_profile(),
        ssrc: u32,
        sequence: u16,
        roc in 0_u64..4,
        payload in prop::collection::vec(any::<u8>(), 0..1_400),
    ) {
        let (mut outbound, mut inbound) = pair(profile);
        let packet = protected(&mut outbound, ssrc, (roc << 16) | u64::from(sequence), &payload);
        prop_assert_eq!(packet.len(), 12 + payload.len() + profile.tag_len());
        prop_assert_eq!(opened(&mut inbound, &packet).unwrap(), payload);
    }

    #[test]
    fn any_flipped_bit_fails(
        profile in any_profile(),
        payload in prop::collection::vec(any::<u8>(), 0..200),
        place: prop::sample::Index,
        bit in 0..8,
    ) {
        let (mut outbound, mut inbound) = pair(profile);
        let mut packet = protected(&mut outbound, 7, 1, &payload);
        let at = place.index(packet.len());
        packet[at] ^= 1_u8 << bit;
        prop_assert!(opened(&mut inbound, &packet).is_err());
    }

    #[test]
    fn arbitrary_bytes_are_refused(
        profile in any_profile(),
        packet in prop::collection::vec(any::<u8>(), 0..1_500),
    ) {
        let (_, mut inbound) = pair(profile);
        prop_assert!(opened(&mut inbound, &packet).is_err());
        prop_assert!(opened_rtcp(&mut inbound, &packet).is_err());
    }
}
