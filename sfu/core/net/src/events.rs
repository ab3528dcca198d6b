//! The queue of events from all media threads up to policy, with one descriptor that is readable
//! while something waits.
//!
//! Policy when nobody reads: a thread's newer audio levels replace its older ones; from 65,536
//! waiting events on, a transport's newer state replaces its older one. The other events happen
//! once per object or command, so the queue is bounded by what policy itself has done, and none is
//! lost.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use kinguicall_proto::api::{AudioLevel, Event, ShardId, TransportId, TransportState};

use crate::wake::EventFd;

/// Waiting events from which transport states are merged.
const MERGE_FROM: usize = 65_536;

/// What comes up from the media threads.
#[derive(Debug, Clone, PartialEq)]
pub enum EngineEvent {
    Shard(Event),
    /// A media thread has panicked: a bug. The engine has stopped; its transports are gone.
    Failed {
        shard: ShardId,
        message: String,
    },
}

/// Shared by every media thread and by the reader.
#[derive(Debug)]
pub struct Events {
    waiting: Mutex<Waiting>,
    ready: EventFd,
}

#[derive(Debug, Default)]
struct Waiting {
    queue: VecDeque<EngineEvent>,
    merged_states: BTreeMap<TransportId, TransportState>,
    levels: BTreeMap<ShardId, Vec<AudioLevel>>,
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.levels.is_empty()
    }
}

impl Events {
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            waiting: Mutex::default(),
            ready: EventFd::new()?,
        })
    }

    /// Queues an event of one shard.
    pub fn push(&self, from: ShardId, event: Event) {
        let mut waiting = self.lock();
        let was_empty = waiting.is_empty();
        match event {
            Event::AudioLevels(levels) => {
                waiting.levels.insert(from, levels);
            }
            Event::TransportState(id, state) if waiting.queue.len() >= MERGE_FROM => {
                waiting.merged_states.insert(id, state);
            }
            other => waiting.queue.push_back(EngineEvent::Shard(other)),
        }
        drop(waiting);
        if was_empty {
            self.ready.signal();
        }
    }

    /// Queues the news that a media thread has died.
    pub fn push_failure(&self, shard: ShardId, message: String) {
        self.lock()
            .queue
            .push_back(EngineEvent::Failed { shard, message });
        self.ready.signal();
    }

    /// Takes everything that waits and makes the descriptor unreadable.
    pub fn take(&self) -> Vec<EngineEvent> {
        let mut waiting = self.lock();
        // Inside the lock, so that a signal for a later event is not swallowed.
        self.ready.clear();
        let Waiting {
            queue,
            merged_states,
            levels,
        } = std::mem::take(&mut *waiting);
        drop(waiting);
        let states = merged_states
            .into_iter()
            .map(|(id, state)| Event::TransportState(id, state));
        let levels = levels.into_values().map(Event::AudioLevels);
        let mut events = Vec::from(queue);
        events.extend(states.chain(levels).map(EngineEvent::Shard));
        events
    }

    /// Makes the descriptor readable although no event waits.
    pub fn signal(&self) {
        self.ready.signal();
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsRawFd for Events {
    fn as_raw_fd(&self) -> RawFd {
        self.ready.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use kinguicall_proto::api::{Layer, SubscriptionId, TrackId};

    use super::*;

    const SHARD: ShardId = ShardId(0);

    fn is_readable(events: &Events) -> bool {
        let mut fd = libc::pollfd {
            fd: events.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one valid pollfd.
        unsafe { libc::poll(&raw mut fd, 1, 0) == 1 }
    }

    fn state(serial: u32, state: TransportState) -> Event {
        Event::TransportState(TransportId::new(SHARD, serial), state)
    }

    #[test]
    fn the_descriptor_is_readable_exactly_while_events_wait() {
        let events = Events::new().unwrap();
        assert!(!is_readable(&events));
        events.push(SHARD, state(1, TransportState::New));
        events.push(SHARD, state(1, TransportState::Connecting));
        assert!(is_readable(&events));
        assert_eq!(events.take().len(), 2);
        assert!(!is_readable(&events));
        assert!(events.take().is_empty());
    }

    #[test]
    fn newer_levels_of_a_shard_replace_its_older_ones() {
        let events = Events::new().unwrap();
        let level = |track: u32, level: f32| {
            Event::AudioLevels(vec![AudioLevel {
                track: TrackId(track),
                level,
                active_ratio: 1.0,
            }])
        };
        events.push(ShardId(0), level(1, 0.1));
        events.push(ShardId(1), level(2, 0.2));
        events.push(ShardId(0), level(1, 0.3));
        assert!(is_readable(&events));
        let expected = [level(1, 0.3), level(2, 0.2)].map(EngineEvent::Shard);
        assert_eq!(events.take(), expected);
    }

    #[test]
    fn an_unread_queue_keeps_the_last_state_of_every_transport_and_every_single_event() {
        let events = Events::new().unwrap();
        for serial in 0..MERGE_FROM as u32 {
            events.push(SHARD, state(serial, TransportState::New));
        }
        for _ in 0..1_000 {
            events.push(SHARD, state(7, TransportState::Disconnected));
            events.push(SHARD, state(7, TransportState::Connected));
        }
        let layer = Event::LayerStarted {
            track: TrackId(3),
            layer: Layer(0),
            payload_type: 96,
        };
        events.push(SHARD, layer.clone());
        events.push(SHARD, Event::SubscriptionStarted(SubscriptionId(4)));
        let taken = events.take();
        assert_eq!(taken.len(), MERGE_FROM + 3);
        assert!(taken.contains(&EngineEvent::Shard(layer)));
        assert_eq!(
            taken.last(),
            Some(&EngineEvent::Shard(state(7, TransportState::Connected)))
        );
    }
}
