//! Rollover counters and replay windows: what a real stream does, and what an attacker tries.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::super::replay::{ReplayWindow, WINDOW};
use super::*;

/// Sends `indices` and returns those that the other end accepted.
fn deliver(profile: Profile, indices: impl IntoIterator<Item = u64>) -> Vec<u64> {
    let (mut outbound, mut inbound) = pair(profile);
    indices
        .into_iter()
        .filter(|index| {
            let payload = index.to_be_bytes();
            let packet = protected(&mut outbound, 7, *index, &payload);
            match opened(&mut inbound, &packet) {
                Ok(plain) => {
                    assert_eq!(plain, payload);
                    true
                }
                Err(_) => false,
            }
        })
        .collect()
}

#[test]
fn a_stream_that_starts_at_65500_wraps() {
    for profile in PROFILES {
        let indices: Vec<u64> = (65_500..65_700).collect();
        assert_eq!(deliver(profile, indices.clone()), indices);
    }
}

#[test]
fn packets_around_the_wrap_may_come_in_any_order() {
    for profile in PROFILES {
        let indices = [
            65_530, 65_540, 65_535, 65_533, 65_536, 65_534, 65_539, 65_531,
        ];
        assert_eq!(deliver(profile, indices), indices);
    }
}

#[test]
fn a_stream_whose_packets_before_the_wrap_come_late_is_understood() {
    for profile in PROFILES {
        // The first to arrive has rollover counter 1 already; those before it are in its past.
        let indices = [65_541, 65_530, 65_536, 65_535];
        assert_eq!(deliver(profile, indices), indices);
    }
}

#[test]
fn a_long_stream_passes_whole() {
    let indices: Vec<u64> = (0..140_500).step_by(7).collect();
    assert_eq!(deliver(Profile::AeadAes128Gcm, indices.clone()), indices);
}

#[test]
fn a_listener_who_joins_after_70_000_or_140_000_packets_hears() {
    for profile in PROFILES {
        for start in [70_000, 140_000] {
            let indices: Vec<u64> = (start..start + 20).collect();
            assert_eq!(deliver(profile, indices.clone()), indices);
        }
    }
}

#[test]
fn a_gap_of_40_000_packets_is_bridged() {
    for profile in PROFILES {
        for start in [0, 100, 30_000, 60_000, 100_000, 130_000] {
            let indices: Vec<u64> = [start, start + 1]
                .into_iter()
                .chain(start + 40_000..start + 40_010)
                .collect();
            assert_eq!(deliver(profile, indices.clone()), indices, "from {start}");
        }
    }
}

#[test]
fn a_gap_of_over_65_536_packets_costs_a_few_thousand_more_at_most() {
    let indices = (100..200).chain(70_000..90_000);
    let accepted = deliver(Profile::AeadAes128Gcm, indices);
    assert!(accepted.ends_with(&(80_000..90_000).collect::<Vec<_>>()));
}

#[test]
fn a_repeated_packet_is_refused() {
    for profile in PROFILES {
        let (mut outbound, mut inbound) = pair(profile);
        let packets: Vec<_> = (65_000..66_500)
            .map(|index| protected(&mut outbound, 7, index, b"once"))
            .collect();
        for packet in &packets {
            assert!(opened(&mut inbound, packet).is_ok());
        }
        for packet in &packets {
            assert!(opened(&mut inbound, packet).is_err());
        }
    }
}

#[test]
fn a_late_packet_within_the_window_is_accepted_once() {
    for profile in PROFILES {
        let (mut outbound, mut inbound) = pair(profile);
        let late = protected(&mut outbound, 7, 1_000, b"late");
        let too_late = protected(&mut outbound, 7, 999, b"too late");
        for index in [900, 2_023] {
            let packet = protected(&mut outbound, 7, index, b"x");
            assert!(opened(&mut inbound, &packet).is_ok());
        }
        assert_eq!(opened(&mut inbound, &late).unwrap(), b"late");
        assert_eq!(opened(&mut inbound, &late), Err(SrtpError::Replay));
        assert_eq!(opened(&mut inbound, &too_late), Err(SrtpError::Replay));
    }
}

#[test]
fn a_forged_packet_leaves_no_trace() {
    for profile in PROFILES {
        let (mut outbound, mut inbound) = pair(profile);
        let packets: Vec<_> = (0..3)
            .map(|index| protected(&mut outbound, 7, index, b"genuine"))
            .collect();
        assert!(opened(&mut inbound, &packets[0]).is_ok());
        for sequence in [1_u16, 2, 500, 20_000, 40_000, 65_535] {
            let mut forged = packets[1].clone();
            forged[2..4].copy_from_slice(&sequence.to_be_bytes());
            forged[14] ^= 1;
            assert_eq!(
                opened(&mut inbound, &forged),
                Err(SrtpError::Authentication)
            );
        }
        assert!(opened(&mut inbound, &packets[1]).is_ok());
        assert!(opened(&mut inbound, &packets[2]).is_ok());
    }
}

#[test]
fn streams_have_their_own_windows() {
    for profile in PROFILES {
        let (mut outbound, mut inbound) = pair(profile);
        for ssrc in [5, 3, 9, 4] {
            for index in [65_535, 65_536] {
                let packet = protected(&mut outbound, ssrc, index, b"x");
                assert!(opened(&mut inbound, &packet).is_ok());
                assert_eq!(opened(&mut inbound, &packet), Err(SrtpError::Replay));
            }
        }
    }
}

#[test]
fn forged_sources_take_no_place() {
    for profile in PROFILES {
        let (mut outbound, mut inbound) = pair(profile);
        for ssrc in 0..1_000 {
            let mut forged = protected(&mut outbound, ssrc, 1, b"x");
            *forged.last_mut().unwrap() ^= 1;
            assert_eq!(
                opened(&mut inbound, &forged),
                Err(SrtpError::Authentication)
            );
        }
        let genuine = protected(&mut outbound, 5_000, 1, b"x");
        assert!(opened(&mut inbound, &genuine).is_ok());
    }
}

#[test]
fn sources_are_bounded_and_known_ones_go_on() {
    for profile in PROFILES {
        let (mut outbound, mut inbound) = pair(profile);
        for ssrc in 0..MAX_SOURCES as u32 {
            let packet = protected(&mut outbound, ssrc, 1, b"x");
            assert!(opened(&mut inbound, &packet).is_ok());
            let packet = protected_rtcp(&mut outbound, ssrc);
            assert!(opened_rtcp(&mut inbound, &packet).is_ok());
        }
        let packet = protected(&mut outbound, 5_000, 1, b"x");
        assert_eq!(
            opened(&mut inbound, &packet),
            Err(SrtpError::TooManySources)
        );
        let packet = protected_rtcp(&mut outbound, 5_000);
        assert_eq!(
            opened_rtcp(&mut inbound, &packet),
            Err(SrtpError::TooManySources)
        );
        let packet = protected(&mut outbound, 50, 2, b"x");
        assert!(opened(&mut inbound, &packet).is_ok());
        inbound.allow_sources(MAX_SOURCES + 1);
        let packet = protected(&mut outbound, 5_000, 2, b"x");
        assert!(opened(&mut inbound, &packet).is_ok());
        let packet = protected(&mut outbound, 5_001, 1, b"x");
        assert_eq!(
            opened(&mut inbound, &packet),
            Err(SrtpError::TooManySources)
        );
    }
}

#[test]
fn a_source_that_has_ended_makes_room_and_cannot_be_replayed() {
    for profile in PROFILES {
        let (mut outbound, mut inbound) = pair(profile);
        let mut old = Vec::new();
        for ssrc in 0..3 * MAX_SOURCES as u32 {
            // Far beyond the counters that are tried for a source that is new.
            for index in (9..300_000).step_by(30_000) {
                let packet = protected(&mut outbound, ssrc, index, b"x");
                assert!(opened(&mut inbound, &packet).is_ok(), "{ssrc}");
                old.push(packet);
            }
            let report = protected_rtcp(&mut outbound, ssrc);
            assert!(opened_rtcp(&mut inbound, &report).is_ok());
            inbound.retire(|it| it.0 == ssrc);
            assert_eq!(opened_rtcp(&mut inbound, &report), Err(SrtpError::Replay));
        }
        for packet in &old {
            assert!(opened(&mut inbound, packet).is_err(), "replayed");
        }
        // Back again, it goes on where it was; what it has sent before stays worthless.
        let back = protected(&mut outbound, 5, 300_000, b"x");
        assert!(opened(&mut inbound, &back).is_ok());
        for packet in old.iter().chain([&back]) {
            assert!(opened(&mut inbound, packet).is_err(), "replayed");
        }
    }
}

#[test]
fn rtcp_is_accepted_once_and_in_any_order() {
    for profile in PROFILES {
        let (mut outbound, mut inbound) = pair(profile);
        let packets: Vec<_> = (0..20).map(|_| protected_rtcp(&mut outbound, 3)).collect();
        for packet in packets.iter().rev() {
            assert_eq!(
                opened_rtcp(&mut inbound, packet).unwrap(),
                receiver_report(3)
            );
            assert_eq!(opened_rtcp(&mut inbound, packet), Err(SrtpError::Replay));
        }
    }
}

#[test]
fn rtcp_stops_when_its_indices_are_used_up() {
    for profile in PROFILES {
        let (mut outbound, mut inbound) = pair(profile);
        outbound.set_next_rtcp_index(MAX_RTCP_INDEX);
        let last = protected_rtcp(&mut outbound, 3);
        assert!(opened_rtcp(&mut inbound, &last).is_ok());
        let mut buf = receiver_report(3);
        buf.resize(100, 0);
        for _ in 0..3 {
            assert_eq!(
                outbound.protect_rtcp(&mut buf, 32),
                Err(SrtpError::IndexExhausted)
            );
        }
    }
}

#[test]
fn the_last_rtp_index_is_the_last() {
    for profile in PROFILES {
        let (mut outbound, mut inbound) = pair(profile);
        let last = (1 << 48) - 1;
        let packet = protected(&mut outbound, 7, last, b"x");
        inbound.set_rtp_source(7, last - 10);
        assert!(opened(&mut inbound, &packet).is_ok());
        // Rolled over, the packet would be index 3 of rollover counter 0 again.
        let wrapped = protected(&mut outbound, 7, 3, b"x");
        assert!(opened(&mut inbound, &wrapped).is_err());
    }
}

#[test]
#[should_panic(expected = "nonce")]
#[cfg(debug_assertions)]
fn giving_one_index_twice_is_a_fault_of_the_caller() {
    let (mut outbound, _) = pair(Profile::AeadAes128Gcm);
    protected(&mut outbound, 7, 65_536, b"first");
    protected(&mut outbound, 8, 65_536, b"another source");
    protected(&mut outbound, 7, 65_536, b"second");
}

#[test]
#[should_panic(expected = "nonce")]
#[cfg(debug_assertions)]
fn the_last_packets_are_remembered_whatever_their_source() {
    let (mut outbound, _) = pair(Profile::AeadAes128Gcm);
    for index in 0..5_000 {
        protected(&mut outbound, 9, index, b"x");
    }
    protected(&mut outbound, 7, 3, b"first");
    protected(&mut outbound, 7, 3, b"second");
}

proptest! {
    #[test]
    fn the_window_agrees_with_a_set(
        start in 0_u64..3_000,
        steps in prop::collection::vec((-1_500_i64..1_500, 0_i64..40), 1..200),
    ) {
        let mut window = ReplayWindow::starting_with(start);
        let mut accepted = BTreeSet::from([start]);
        for (jump, small) in steps {
            // Mostly near the highest index, now and then far away.
            let step = if small < 35 { small - 20 } else { jump };
            let index = window.highest().saturating_add_signed(step);
            let highest = *accepted.last().unwrap();
            let expected = !accepted.contains(&index) && index + WINDOW > highest;
            prop_assert_eq!(window.is_new(index), expected, "{} after {}", index, highest);
            if expected {
                window.accept(index);
                accepted.insert(index);
            }
        }
    }

    #[test]
    fn a_packet_up_to_60_000_after_the_last_is_understood(
        profile in prop::sample::select(&PROFILES[..]),
        start in 0_u64..200_000,
        gap in 1_u64..60_000,
    ) {
        prop_assert_eq!(deliver(profile, [start, start + gap]), [start, start + gap]);
    }
}
