//! How loud an audio stream was in a window, from the level that its packets carry (RFC 6464).

use std::time::Duration;

/// How long a window is.
pub const WINDOW: Duration = Duration::from_millis(400);
/// The quietest level, in -dBov, that counts as active.
pub const ACTIVE_THRESHOLD: u8 = 35;

/// Loudness of one window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Level {
    /// Amplitude of the loudest active frame, 0.0 (silence) to 1.0 (full scale).
    pub level: f32,
    /// Share of the window in which frames were active, 0.0 to 1.0. Time without packets, as in
    /// discontinuous transmission, counts as silent.
    pub active_ratio: f32,
}

/// Gathers the levels of one stream.
#[derive(Debug, Clone)]
pub struct LevelWindow {
    loudest: u8,
    active_ms: u32,
}

impl Default for LevelWindow {
    fn default() -> Self {
        Self {
            loudest: 127,
            active_ms: 0,
        }
    }
}

impl LevelWindow {
    /// A frame of `duration_ms` at `level` -dBov, 0 the loudest and 127 silence.
    pub fn observe(&mut self, level: u8, duration_ms: u32) {
        if level <= ACTIVE_THRESHOLD {
            self.loudest = self.loudest.min(level);
            self.active_ms = self.active_ms.saturating_add(duration_ms);
        }
    }

    /// Ends a window and starts the next; to be called every [`WINDOW`]. `None` if no frame was
    /// active.
    pub fn take(&mut self) -> Option<Level> {
        let Self { loudest, active_ms } = std::mem::take(self);
        if active_ms == 0 {
            return None;
        }
        Some(Level {
            level: 10_f32.powf(-f32::from(loudest) / 20.0),
            active_ratio: (active_ms as f32 / WINDOW.as_millis() as f32).min(1.0),
        })
    }
}
