//! What a subscriber sees when its path gets narrow and wide again.

use super::*;

const CAMERA: [Option<u64>; 3] = [Some(100_000), Some(400_000), Some(1_500_000)];

#[test]
fn everybody_is_seen_before_anybody_is_sharp() {
    let allowances = decide(450_000, &[(0, 2), (0, 2), (0, 2)]);
    assert_eq!(allowances, [Allowance::Layer(0); 3]);
    let allowances = decide(600_000, &[(0, 2), (0, 2), (0, 2)]);
    let expected = [
        Allowance::Layer(1),
        Allowance::Layer(0),
        Allowance::Layer(0),
    ];
    assert_eq!(allowances, expected);
}

#[test]
fn the_important_one_is_sharp_first_and_lasts_longest() {
    let allowances = decide(1_800_000, &[(0, 2), (5, 2)]);
    assert_eq!(allowances, [Allowance::Layer(0), Allowance::Layer(2)]);
    let mut allocator = Allocator::default();
    let start = Instant::now();
    let mut demands = [
        Demand::new(1, 0, CAMERA, 2, Allowance::Layer(0)),
        Demand::new(2, 5, CAMERA, 2, Allowance::Layer(2)),
    ];
    for (seconds, unimportant) in [(0, Allowance::Layer(0)), (3, Allowance::Paused)] {
        allocator.update(
            start + Duration::from_secs(seconds),
            &measured(150_000),
            &mut demands,
        );
        assert_eq!(
            demands[0].allowance,
            Allowance::Layer(0),
            "the important one"
        );
        assert_eq!(demands[1].allowance, unimportant);
    }
}

#[test]
fn a_small_tile_leaves_room_for_a_large_one() {
    let allowances = decide(1_700_000, &[(0, 0), (0, 2)]);
    assert_eq!(allowances, [Allowance::Layer(0), Allowance::Layer(2)]);
}

#[test]
fn falls_at_once_and_rises_after_a_quiet_second_with_headroom() {
    let start = Instant::now();
    let at = |ms| start + Duration::from_millis(ms);
    let mut allocator = Allocator::default();
    let mut demands = [Demand::new(1, 0, CAMERA, 2, Allowance::Unlimited)];
    let outcome = allocator.update(at(0), &measured(2_000_000), &mut demands);
    assert_eq!(demands[0].allowance, Allowance::Layer(2));
    assert_eq!(outcome.wanted_bps, 1_500_000);
    allocator.update(at(100), &measured(1_450_000), &mut demands);
    assert_eq!(
        demands[0].allowance,
        Allowance::Layer(2),
        "within tolerance"
    );
    allocator.update(at(200), &measured(130_000), &mut demands);
    assert_eq!(demands[0].allowance, Allowance::Layer(0));
    allocator.update(at(300), &measured(80_000), &mut demands);
    assert_eq!(
        demands[0].allowance,
        Allowance::Layer(0),
        "not for good yet"
    );
    allocator.update(at(2_300), &measured(80_000), &mut demands);
    assert_eq!(demands[0].allowance, Allowance::Paused);
    allocator.update(at(2_800), &measured(2_000_000), &mut demands);
    assert_eq!(demands[0].allowance, Allowance::Paused, "too soon");
    allocator.update(at(3_400), &measured(420_000), &mut demands);
    assert_eq!(
        demands[0].allowance,
        Allowance::Layer(0),
        "no headroom for more"
    );
    allocator.update(at(4_500), &measured(2_000_000), &mut demands);
    assert_eq!(demands[0].allowance, Allowance::Layer(2));
}

#[test]
fn a_newcomer_is_placed_at_once() {
    let now = Instant::now();
    let mut allocator = Allocator::default();
    let mut demands = [
        Demand::new(1, 0, CAMERA, 2, Allowance::Layer(1)),
        Demand::new(2, 0, CAMERA, 2, Allowance::Unlimited),
    ];
    allocator.update(now, &measured(450_000), &mut demands);
    assert!(demands.iter().all(|d| d.allowance == Allowance::Layer(0)));
}

#[test]
fn layers_that_do_not_arrive_are_not_counted_on() {
    let mut allocator = Allocator::default();
    let layers = [None, None, Some(300_000)];
    let mut demands = [Demand::new(1, 0, layers, 0, Allowance::Unlimited)];
    let now = Instant::now();
    allocator.update(now, &measured(200_000), &mut demands);
    let outcome = allocator.update(
        now + Duration::from_secs(3),
        &measured(200_000),
        &mut demands,
    );
    assert_eq!(demands[0].allowance, Allowance::Paused);
    assert_eq!(outcome.wanted_bps, 300_000);
}

#[test]
fn tells_what_the_smallest_step_up_would_come_to() {
    let next_bps = |budget_bps, allowances: &[Allowance]| {
        let demands = allowances.iter().enumerate();
        let mut demands: Vec<_> = demands
            .map(|(key, allowance)| Demand::new(key, 0, CAMERA, 2, *allowance))
            .collect();
        let mut allocator = Allocator {
            changed_at: Some(Instant::now()),
            ..Allocator::default()
        };
        let outcome = allocator.update(Instant::now(), &measured(budget_bps), &mut demands);
        outcome.next_bps
    };
    let [low, middle, high] = CAMERA.map(|bps| bps.expect("all arrive"));
    let (lowest, all) = (Allowance::Layer(0), Allowance::Layer(2));
    assert_eq!(next_bps(low, &[lowest]), middle);
    assert_eq!(next_bps(high, &[all]), high, "nothing is missing");
    assert_eq!(next_bps(high + low, &[all, lowest]), high + middle);
    assert_eq!(next_bps(low, &[lowest, Allowance::Paused]), 2 * low);
    assert_eq!(next_bps(low / 2, &[lowest]), low, "what flows does not fit");
}

fn measured(bitrate_bps: u64) -> Budget {
    Budget {
        bitrate_bps,
        evidence: Evidence::Measured,
        ceiling_bps: u64::MAX,
        audio_bps: 0,
        can_probe: true,
    }
}

/// Allowances of cameras with (priority, highest layer asked for), in that order.
fn decide(budget_bps: u64, wishes: &[(u8, u8)]) -> Vec<Allowance> {
    let mut demands: Vec<_> = wishes
        .iter()
        .enumerate()
        .map(|(key, (priority, max))| {
            Demand::new(key, *priority, CAMERA, *max, Allowance::Unlimited)
        })
        .collect();
    let outcome = Allocator::default().update(Instant::now(), &measured(budget_bps), &mut demands);
    assert!(outcome.allocated_bps <= budget_bps);
    demands.sort_by_key(|demand| demand.key);
    demands.iter().map(|demand| demand.allowance).collect()
}

#[test]
fn a_dip_of_the_estimate_makes_nobody_fall() {
    let start = Instant::now();
    let at = |ms| start + Duration::from_millis(ms);
    let mut allocator = Allocator::default();
    let mut demands = [Demand::new(1, 0, CAMERA, 2, Allowance::Layer(1))];
    for (ms, budget_bps, layer) in [
        (0, 350_000, 1),
        (900, 350_000, 1),
        (950, 390_000, 1),
        (1_100, 350_000, 1),
        (2_000, 350_000, 1),
        (2_100, 350_000, 0),
    ] {
        allocator.update(at(ms), &measured(budget_bps), &mut demands);
        assert_eq!(demands[0].allowance, Allowance::Layer(layer), "at {ms} ms");
    }
}

/// A camera whose lowest layer does not fit, paused. Returns its allocator and when it was paused.
fn paused() -> (Allocator, [Demand; 1], Instant) {
    let start = Instant::now();
    let mut allocator = Allocator::default();
    let mut demands = [Demand::new(1, 0, CAMERA, 2, Allowance::Layer(0))];
    allocator.update(start, &measured(50_000), &mut demands);
    let at = start + Duration::from_secs(2);
    allocator.update(at, &measured(50_000), &mut demands);
    assert_eq!(demands[0].allowance, Allowance::Paused);
    (allocator, demands, at)
}

#[test]
fn what_padding_cannot_find_out_the_picture_does() {
    for can_probe in [true, false] {
        let (mut allocator, mut demands, at) = paused();
        let budget = Budget {
            can_probe,
            ..measured(50_000)
        };
        for (ms, tried) in [(2_900, false), (3_000, !can_probe)] {
            allocator.update(at + Duration::from_millis(ms), &budget, &mut demands);
            assert_eq!(demands[0].allowance != Allowance::Paused, tried, "{ms} ms");
        }
    }
}

#[test]
fn a_trial_ends_with_the_first_harm_and_goes_on_with_good_signs() {
    let unprobed = |bitrate_bps, evidence| Budget {
        evidence,
        can_probe: false,
        ..measured(bitrate_bps)
    };
    let after = |steps: &[(u64, u64, Evidence)]| {
        let (mut allocator, mut demands, at) = paused();
        for (ms, bps, evidence) in steps {
            let now = at + Duration::from_millis(*ms);
            allocator.update(now, &unprobed(*bps, *evidence), &mut demands);
        }
        demands[0].allowance
    };
    let good = Evidence::Measured;
    let begin = (3_000, 50_000, good);
    assert_eq!(after(&[begin, (4_900, 50_000, good)]), Allowance::Layer(0));
    assert_eq!(after(&[begin, (5_000, 50_000, good)]), Allowance::Paused);
    let harm = (3_200, 50_000, Evidence::Overused);
    assert_eq!(after(&[begin, harm]), Allowance::Paused);
    assert_eq!(after(&[begin, (3_200, 45_000, good)]), Allowance::Paused);
    let rising = [begin, (4_900, 55_000, good), (6_800, 60_000, good)];
    assert_eq!(after(&rising), Allowance::Layer(0));
}

#[test]
fn nobody_is_paused_for_a_guess_but_for_a_limit() {
    let (mut allocator, mut demands, at) = paused();
    let guess = Budget {
        evidence: Evidence::None,
        ..measured(50_000)
    };
    for seconds in 0..10 {
        allocator.update(at + Duration::from_secs(seconds), &guess, &mut demands);
        assert_eq!(demands[0].allowance, Allowance::Layer(0));
    }
    let (mut allocator, mut demands, at) = paused();
    let limited = Budget {
        ceiling_bps: 50_000,
        can_probe: false,
        ..measured(50_000)
    };
    for seconds in 0..10 {
        allocator.update(at + Duration::from_secs(seconds), &limited, &mut demands);
        assert_eq!(demands[0].allowance, Allowance::Paused);
    }
}
