//! What is left out when a thread does not keep up: higher video layers first, then video, never
//! audio.
//!
//! While the thread cannot empty its sockets, a growing share of the subscriptions is cut; once it
//! can again, they come back one step after the other, all within five seconds. The share is by
//! slab key, so that the same pictures stay and the same go. Where a step back was one too many, only
//! that one is taken again, and it waits before it is tried anew: else all pictures would stop and
//! come back every few seconds.

use std::time::{Duration, Instant};

use super::Shard;
use super::flow::Change;
use crate::api::{Host, MediaKind};

/// Shares of the subscriptions; a level of this number cuts all of them.
const SHARES: u8 = 8;
/// All higher layers are cut, then all video.
const MAX_LEVEL: u8 = 2 * SHARES;
/// Shorter than this a thread may be late for any reason, its scheduling among them.
const TOO_LONG_BEHIND: Duration = Duration::from_millis(50);
/// What a step does must be seen before the next one.
const STEP_UP_AFTER: Duration = Duration::from_millis(50);
const STEP_DOWN_AFTER: Duration = Duration::from_millis(180);
const LEVELS_UP: u8 = 2;
/// Falling behind so soon after a step back is that step's doing.
const RELAPSE: Duration = Duration::from_millis(500);
/// Then the next one waits. With all steps down this stays below five seconds.
const HOLD: Duration = Duration::from_millis(2_000);
/// What has piled up by then takes this long to be sent, and is no reason for a further step.
const SETTLE: Duration = Duration::from_millis(200);

/// What a subscription to video must do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Shed {
    #[default]
    Nothing,
    /// Everything above the lowest layer, spatial and temporal.
    Enhancement,
    Video,
}

impl Shed {
    /// Of spatial and temporal layers, the highest that are left.
    pub(super) fn highest_layer(self) -> u8 {
        match self {
            Self::Nothing => u8::MAX,
            Self::Enhancement | Self::Video => 0,
        }
    }
}

/// A thread's state of need.
#[derive(Debug, Default)]
pub(super) struct Shedding {
    /// 0 is no need.
    level: u8,
    changed_at: Option<Instant>,
    behind_at: Option<Instant>,
    stepped_down_at: Option<Instant>,
    /// No step down before.
    hold_until: Option<Instant>,
}

impl Shedding {
    pub(super) fn level(&self) -> u8 {
        self.level
    }

    /// `behind` tells for how long the thread has not been able to empty its sockets. Returns
    /// whether the level has changed.
    fn update(&mut self, now: Instant, behind: Duration) -> bool {
        let since = |at: Option<Instant>| at.map_or(Duration::MAX, |at| now - at);
        let before = self.level;
        if behind >= TOO_LONG_BEHIND {
            self.behind_at = Some(now);
            if since(self.stepped_down_at) < RELAPSE {
                self.stepped_down_at = None;
                self.hold_until = Some(now + HOLD);
                self.level = (self.level + 1).min(MAX_LEVEL);
            } else if since(self.changed_at) >= STEP_UP_AFTER && !self.settles(now) {
                self.level = (self.level + LEVELS_UP).min(MAX_LEVEL);
            }
        } else if since(self.behind_at).min(since(self.changed_at)) >= STEP_DOWN_AFTER
            && self.hold_until.is_none_or(|until| now >= until)
            && self.level > 0
        {
            self.level -= 1;
            self.stepped_down_at = Some(now);
        }
        if self.level != before {
            self.changed_at = Some(now);
        }
        self.level != before
    }

    fn settles(&self, now: Instant) -> bool {
        self.hold_until
            .is_some_and(|until| now + HOLD < until + SETTLE)
    }

    /// What the subscription of this slab key must do without.
    pub(super) fn of(&self, subscription: usize, kind: MediaKind) -> Shed {
        if kind == MediaKind::Audio {
            return Shed::Nothing;
        }
        let share = (subscription % usize::from(SHARES)) as u8;
        if share + SHARES < self.level {
            Shed::Video
        } else if share < self.level {
            Shed::Enhancement
        } else {
            Shed::Nothing
        }
    }
}

impl Shard {
    /// To be told every turn by the thread: how long it has been behind with its sockets; zero
    /// when it has emptied them.
    pub fn handle_lag(&mut self, now: Instant, behind: Duration, host: &mut dyn Host) {
        if behind.is_zero() && self.shedding.level() == 0 {
            return;
        }
        if self.shedding.update(now, behind) {
            self.apply_shedding(now, host);
        }
    }

    fn apply_shedding(&mut self, now: Instant, host: &mut dyn Host) {
        let mut changed = std::mem::take(&mut self.shed_scratch);
        for (key, entry) in &mut self.subscriptions {
            let shed = self.shedding.of(key, entry.inner.kind());
            if std::mem::replace(&mut entry.shed, shed) != shed {
                let change = match shed {
                    Shed::Nothing => Change::AtKeyFrame,
                    Shed::Enhancement | Shed::Video => Change::AtOnce,
                };
                changed.push((key, change));
            }
        }
        for (key, change) in changed.drain(..) {
            self.settle(now, key, change, host);
        }
        self.shed_scratch = changed;
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;

    const BEHIND: Duration = Duration::from_millis(60);

    fn cut(shedding: &Shedding) -> [usize; 3] {
        let mut counts = [0; 3];
        for key in 0..80 {
            counts[shedding.of(key, MediaKind::Video) as usize] += 1;
        }
        counts
    }

    #[test]
    fn higher_layers_go_first_and_video_last() {
        let start = Instant::now();
        let mut shedding = Shedding::default();
        let mut seen = vec![cut(&shedding)];
        for step in 0..20 {
            shedding.update(start + STEP_UP_AFTER * step, BEHIND);
            seen.push(cut(&shedding));
        }
        assert_eq!(seen[0], [80, 0, 0]);
        assert_eq!(seen[1], [60, 20, 0]);
        assert_eq!(seen[4], [0, 80, 0], "no picture is gone before");
        assert_eq!(seen[5], [0, 60, 20]);
        assert_eq!(seen[20], [0, 0, 80]);
    }

    #[test]
    fn a_moment_of_lateness_cuts_nothing() {
        let now = Instant::now();
        let mut shedding = Shedding::default();
        assert!(!shedding.update(now, Duration::from_millis(49)));
        assert_eq!(shedding.level(), 0);
    }

    #[test]
    fn everything_is_back_within_five_seconds() {
        let mut now = Instant::now();
        let mut shedding = Shedding::default();
        for _ in 0..40 {
            now += Duration::from_millis(20);
            shedding.update(now, BEHIND);
        }
        assert_eq!(shedding.level(), MAX_LEVEL);
        let end = now;
        while shedding.level() > 0 {
            now += Duration::from_millis(5);
            shedding.update(now, Duration::ZERO);
        }
        let took = now - end;
        assert!(took <= Duration::from_secs(5), "{took:?}");
        assert!(took >= Duration::from_secs(2), "not all at once: {took:?}");
    }

    #[test]
    fn a_relapse_delays_it_within_the_five_seconds() {
        let mut now = Instant::now();
        let mut shedding = Shedding::default();
        let mut run = |shedding: &mut Shedding, duration: Duration, behind: Duration| {
            let end = now + duration;
            while now < end {
                now += Duration::from_millis(5);
                shedding.update(now, behind);
            }
        };
        run(&mut shedding, Duration::from_secs(2), BEHIND);
        run(&mut shedding, STEP_DOWN_AFTER, Duration::ZERO);
        assert_eq!(shedding.level(), MAX_LEVEL - 1);
        run(&mut shedding, Duration::from_millis(5), BEHIND);
        assert_eq!(shedding.level(), MAX_LEVEL);
        run(&mut shedding, HOLD - STEP_DOWN_AFTER, Duration::ZERO);
        assert_eq!(shedding.level(), MAX_LEVEL);
        run(&mut shedding, Duration::from_secs(3), Duration::ZERO);
        assert_eq!(shedding.level(), 0);
    }

    #[test]
    fn pictures_do_not_come_and_go_under_a_load_that_stays() {
        let mut now = Instant::now();
        let mut shedding = Shedding::default();
        // The thread can send half of the pictures; what it cannot do waits.
        let (mut backlog, mut behind_since) = (0.0_f64, None);
        let mut before = [Shed::Nothing; 80];
        let mut changes = [0u32; 80];
        for ms in 0..60_000 {
            now += Duration::from_millis(1);
            let sent = (0..80).filter(|key| shedding.of(*key, MediaKind::Video) != Shed::Video);
            backlog = (backlog + sent.count() as f64 / 80.0 - 0.55).max(0.0);
            behind_since = (backlog > 0.0).then(|| behind_since.unwrap_or(now));
            shedding.update(now, behind_since.map_or(Duration::ZERO, |at| now - at));
            for (key, (before, changes)) in before.iter_mut().zip(&mut changes).enumerate() {
                let shed = shedding.of(key, MediaKind::Video);
                let pauses = (shed == Shed::Video) != (*before == Shed::Video);
                *changes += u32::from(pauses && ms > 5_000);
                *before = shed;
            }
        }
        let steady = changes.iter().filter(|changes| **changes == 0).count();
        assert!(steady >= 70, "{changes:?}");
        assert!(changes.iter().all(|changes| *changes <= 60), "{changes:?}");
        let shown = before.iter().filter(|it| **it != Shed::Video).count();
        assert!((30..=50).contains(&shown), "{shown} of 80 pictures");
    }
}
