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
        allocator.update(start + Duration::from_secs(seconds), 150_000, &mut demands);
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
    let outcome = allocator.update(at(0), 2_000_000, &mut demands);
    assert_eq!(demands[0].allowance, Allowance::Layer(2));
    assert_eq!(outcome.wanted_bps, 1_500_000);
    allocator.update(at(100), 1_450_000, &mut demands);
    assert_eq!(
        demands[0].allowance,
        Allowance::Layer(2),
        "within tolerance"
    );
    allocator.update(at(200), 130_000, &mut demands);
    assert_eq!(demands[0].allowance, Allowance::Layer(0));
    allocator.update(at(300), 80_000, &mut demands);
    assert_eq!(
        demands[0].allowance,
        Allowance::Layer(0),
        "not for good yet"
    );
    allocator.update(at(2_300), 80_000, &mut demands);
    assert_eq!(demands[0].allowance, Allowance::Paused);
    allocator.update(at(2_800), 2_000_000, &mut demands);
    assert_eq!(demands[0].allowance, Allowance::Paused, "too soon");
    allocator.update(at(3_400), 420_000, &mut demands);
    assert_eq!(
        demands[0].allowance,
        Allowance::Layer(0),
        "no headroom for more"
    );
    allocator.update(at(4_500), 2_000_000, &mut demands);
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
    allocator.update(now, 450_000, &mut demands);
    assert!(demands.iter().all(|d| d.allowance == Allowance::Layer(0)));
}

#[test]
fn layers_that_do_not_arrive_are_not_counted_on() {
    let mut allocator = Allocator::default();
    let layers = [None, None, Some(300_000)];
    let mut demands = [Demand::new(1, 0, layers, 0, Allowance::Unlimited)];
    let now = Instant::now();
    allocator.update(now, 200_000, &mut demands);
    let outcome = allocator.update(now + Duration::from_secs(3), 200_000, &mut demands);
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
        let outcome = allocator.update(Instant::now(), budget_bps, &mut demands);
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

/// Allowances of cameras with (priority, highest layer asked for), in that order.
fn decide(budget_bps: u64, wishes: &[(u8, u8)]) -> Vec<Allowance> {
    let mut demands: Vec<_> = wishes
        .iter()
        .enumerate()
        .map(|(key, (priority, max))| {
            Demand::new(key, *priority, CAMERA, *max, Allowance::Unlimited)
        })
        .collect();
    let outcome = Allocator::default().update(Instant::now(), budget_bps, &mut demands);
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
        allocator.update(at(ms), budget_bps, &mut demands);
        assert_eq!(demands[0].allowance, Allowance::Layer(layer), "at {ms} ms");
    }
}
