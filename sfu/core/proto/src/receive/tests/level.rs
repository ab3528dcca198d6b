//! Windows of audio levels.

use crate::receive::level::LevelWindow;
use crate::receive::rtx;

#[test]
fn half_a_window_of_speech() {
    let mut window = LevelWindow::default();
    for frame in 0..20 {
        window.observe(if frame % 2 == 0 { 20 } else { 80 }, 20);
    }
    let level = window.take().expect("was heard");
    assert!((level.level - 0.1).abs() < 1e-6, "{level:?}");
    assert!((level.active_ratio - 0.5).abs() < 1e-6, "{level:?}");
    // The next window starts empty.
    assert_eq!(window.take(), None);
}

#[test]
fn the_threshold_is_active_and_below_it_is_not() {
    let mut window = LevelWindow::default();
    for _ in 0..20 {
        window.observe(36, 20);
        window.observe(127, 20);
    }
    assert_eq!(window.take(), None);
    window.observe(35, 20);
    assert!(window.take().is_some());
}

#[test]
fn bounds_hold_for_any_observation() {
    let mut window = LevelWindow::default();
    window.observe(0, u32::MAX);
    window.observe(0, u32::MAX);
    window.observe(255, u32::MAX);
    let level = window.take().expect("was heard");
    assert_eq!((level.level, level.active_ratio), (1.0, 1.0));
}

#[test]
fn retransmissions_name_their_original() {
    assert_eq!(
        rtx::unwrap(&[0x12, 0x34, 1, 2]),
        Some((0x1234, &[1, 2][..]))
    );
    assert_eq!(rtx::unwrap(&[0x12, 0x34]), Some((0x1234, &[][..])));
    for probe in [&[][..], &[1]] {
        assert_eq!(rtx::unwrap(probe), None);
    }
}
