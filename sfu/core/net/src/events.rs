//! What all media threads have to tell policy, with one descriptor that is readable while something
//! waits.
//!
//! Policy when nobody reads: what waits is state, not history. Newer news of an object replaces the
//! older news of the same kind in its place, so there is at most one of each kind for each object
//! that policy itself has made, however often a peer makes it change. A transport's steps (new,
//! connecting, closed) are kinds of their own; that it is connected or not is one.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use kinguicall_proto::api::{
    ChannelCloseReason, Event, Layer, ShardId, SubscriptionId, TrackId, TransportId, TransportState,
};

use crate::wake::EventFd;

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
    queue: Vec<EngineEvent>,
    places: HashMap<Subject, usize>,
}

/// What an event is about: a newer one about the same replaces it.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Subject {
    Levels(ShardId),
    Step(TransportId, Step),
    Layer(TrackId, Layer),
    Start(SubscriptionId),
    Flow(SubscriptionId),
    Track(SubscriptionId),
    /// Only the protocol's own labels are told.
    ChannelOpen(TransportId, String),
    ChannelClosed(TransportId, ChannelCloseReason),
    Failure(ShardId),
}

#[derive(Debug, PartialEq, Eq, Hash)]
enum Step {
    New,
    Connecting,
    Connection,
    Closed,
}

impl Subject {
    fn of(from: ShardId, event: &Event) -> Self {
        match event {
            Event::AudioLevels(_) => Self::Levels(from),
            Event::TransportState(id, state) => Self::Step(*id, Step::of(*state)),
            Event::LayerStarted { track, layer, .. } => Self::Layer(*track, *layer),
            Event::SubscriptionStarted(id) => Self::Start(*id),
            Event::StreamState { subscription, .. } => Self::Flow(*subscription),
            Event::TrackChanged { subscription, .. } => Self::Track(*subscription),
            Event::DataChannelOpen(id, label) => Self::ChannelOpen(*id, label.clone()),
            Event::DataChannelClosed(id, reason) => Self::ChannelClosed(*id, *reason),
        }
    }
}

impl Step {
    fn of(state: TransportState) -> Self {
        match state {
            TransportState::New => Self::New,
            TransportState::Connecting => Self::Connecting,
            TransportState::Connected | TransportState::Disconnected => Self::Connection,
            TransportState::Closed(_) => Self::Closed,
        }
    }
}

impl Waiting {
    /// Returns whether nothing has waited before.
    fn put(&mut self, subject: Subject, event: EngineEvent) -> bool {
        let next = self.queue.len();
        let place = *self.places.entry(subject).or_insert(next);
        match self.queue.get_mut(place) {
            Some(older) => *older = event,
            None => self.queue.push(event),
        }
        next == 0
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
        let subject = Subject::of(from, &event);
        if self.lock().put(subject, EngineEvent::Shard(event)) {
            self.ready.signal();
        }
    }

    /// Queues the news that a media thread has died.
    pub fn push_failure(&self, shard: ShardId, message: String) {
        let event = EngineEvent::Failed { shard, message };
        self.lock().put(Subject::Failure(shard), event);
        self.ready.signal();
    }

    /// Takes everything that waits and makes the descriptor unreadable.
    pub fn take(&self) -> Vec<EngineEvent> {
        let mut waiting = self.lock();
        // Inside the lock, so that a signal for a later event is not swallowed.
        self.ready.clear();
        waiting.places.clear();
        std::mem::take(&mut waiting.queue)
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
    use kinguicall_proto::api::{AudioLevel, CloseReason};

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
    fn an_unread_queue_keeps_the_last_news_of_everything_and_no_history() {
        let events = Events::new().unwrap();
        let flow = |paused| Event::StreamState {
            subscription: SubscriptionId(4),
            paused,
        };
        let layer = |payload_type| Event::LayerStarted {
            track: TrackId(3),
            layer: Layer(0),
            payload_type,
        };
        let change = |track| Event::TrackChanged {
            subscription: SubscriptionId(4),
            track: TrackId(track),
        };
        let peer = TransportId::new(SHARD, 7);
        let opened = Event::DataChannelOpen(peer, "_reliable".to_owned());
        let closed = Event::DataChannelClosed(peer, ChannelCloseReason::Stalled);
        events.push(SHARD, state(7, TransportState::New));
        events.push(SHARD, state(7, TransportState::Connecting));
        events.push(SHARD, Event::SubscriptionStarted(SubscriptionId(4)));
        for round in 0..1_000 {
            events.push(SHARD, state(7, TransportState::Disconnected));
            events.push(SHARD, state(7, TransportState::Connected));
            events.push(SHARD, flow(round % 2 == 0));
            events.push(SHARD, layer(round as u8));
            events.push(SHARD, change(round));
            events.push(SHARD, opened.clone());
            events.push(SHARD, closed.clone());
        }
        let end = state(7, TransportState::Closed(CloseReason::PeerClosed));
        events.push(SHARD, end.clone());
        let expected = [
            state(7, TransportState::New),
            state(7, TransportState::Connecting),
            Event::SubscriptionStarted(SubscriptionId(4)),
            state(7, TransportState::Connected),
            flow(false),
            layer(231),
            change(999),
            opened,
            closed,
            end,
        ];
        assert_eq!(events.take(), expected.map(EngineEvent::Shard));
    }

    #[test]
    fn what_was_taken_is_told_anew() {
        let events = Events::new().unwrap();
        for _ in 0..2 {
            events.push(SHARD, state(1, TransportState::Connected));
            events.push(SHARD, state(2, TransportState::Connected));
            assert_eq!(events.take().len(), 2);
        }
    }
}
