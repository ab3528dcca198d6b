//! Rust's log lines on their way to Python's log: a bounded queue that `Engine.poll_events`
//! empties, as a media thread must not call Python.
//!
//! Policy when it is full: the newest line is dropped, and the next taken batch says how many.
//! Other crates' lines pass at debug level only: a peer can provoke some of them with each packet.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use kinguicall_net::Events;
use log::{Level, LevelFilter, Log, Metadata, Record};
use pyo3::prelude::*;

use crate::values::Number;

const MAX_WAITING: usize = 1_024;
const OWN_TARGETS: &str = "kinguicall";

/// One line.
#[derive(Debug, Clone)]
pub(crate) struct LogEntry {
    /// As in Python's `logging`.
    pub level: u8,
    pub target: String,
    pub message: String,
}

#[derive(Debug, Default)]
struct Waiting {
    entries: VecDeque<LogEntry>,
    dropped: u64,
    /// Whose descriptor tells Python to come.
    signal: Weak<Events>,
}

struct Queue(Mutex<Waiting>);

static QUEUE: Queue = Queue(Mutex::new(Waiting {
    entries: VecDeque::new(),
    dropped: 0,
    signal: Weak::new(),
}));

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log for Queue {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
            && (metadata.target().starts_with(OWN_TARGETS)
                || log::max_level() >= LevelFilter::Debug)
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let mut waiting = self.lock();
        if waiting.entries.len() >= MAX_WAITING {
            waiting.dropped += 1;
            return;
        }
        waiting.entries.push_back(LogEntry {
            level: python_level(record.level()),
            target: record.target().to_owned(),
            message: record.args().to_string(),
        });
        let signal = waiting.signal.upgrade();
        drop(waiting);
        if let Some(events) = signal {
            events.signal();
        }
    }

    fn flush(&self) {}
}

/// Makes this queue the process's logger. Once per process; a second module load changes nothing.
pub(crate) fn install() {
    if log::set_logger(&QUEUE).is_ok() {
        log::set_max_level(LevelFilter::Info);
    }
}

/// Lets waiting and new lines wake the reader of these events.
pub(crate) fn wake_through(events: &Arc<Events>) {
    let mut waiting = QUEUE.lock();
    waiting.signal = Arc::downgrade(events);
    if !waiting.entries.is_empty() {
        events.signal();
    }
}

/// Takes what waits.
pub(crate) fn take() -> Vec<LogEntry> {
    let mut waiting = QUEUE.lock();
    let mut entries = Vec::from(std::mem::take(&mut waiting.entries));
    let dropped = std::mem::take(&mut waiting.dropped);
    if dropped > 0 {
        entries.push(LogEntry {
            level: python_level(Level::Warn),
            target: OWN_TARGETS.to_owned(),
            message: format!("{dropped} log lines were dropped"),
        });
    }
    entries
}

/// Least severe level that is passed on, as a number of Python's `logging`.
#[pyfunction]
pub(crate) fn set_log_level(level: Number) -> PyResult<()> {
    let filter = match level.as_u8("level", u8::MAX)? {
        0..=10 => LevelFilter::Debug,
        11..=20 => LevelFilter::Info,
        21..=30 => LevelFilter::Warn,
        31..=40 => LevelFilter::Error,
        _ => LevelFilter::Off,
    };
    log::set_max_level(filter);
    Ok(())
}

fn python_level(level: Level) -> u8 {
    match level {
        Level::Error => 40,
        Level::Warn => 30,
        Level::Info => 20,
        Level::Debug | Level::Trace => 10,
    }
}
