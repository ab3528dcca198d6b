//! Events as Python objects.

use kinguicall_net::EngineEvent;
use kinguicall_proto::api::{ChannelCloseReason, Event, TransportState};
use pyo3::prelude::*;

use crate::logs::LogEntry;

macro_rules! event_class {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty),* $(,)? }) => {
        $(#[$doc])*
        #[pyclass(frozen, eq, get_all)]
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name {
            $($field: $type,)*
        }

        #[pymethods]
        impl $name {
            fn __repr__(&self) -> String {
                format!("{self:?}")
            }
        }
    };
}

event_class!(
    /// A peer connection has moved on.
    TransportStateChanged {
        transport_id: u32,
        state: &'static str,
        reason: &'static str,
    }
);
event_class!(
    /// The first packet of a layer has arrived.
    LayerStarted {
        track_id: u32,
        layer: u8,
        payload_type: u8,
    }
);
event_class!(
    /// Levels of one window.
    AudioLevels {
        levels: Vec<(u32, f32, f32)>,
    }
);
event_class!(
    /// The first packet has left towards a subscriber.
    SubscriptionStarted {
        subscription_id: u32,
    }
);
event_class!(
    /// A subscription has been paused for want of bandwidth, or flows again.
    StreamStateChanged {
        subscription_id: u32,
        paused: bool,
    }
);
event_class!(
    /// A subscription goes on with another track.
    TrackChanged {
        subscription_id: u32,
        track_id: u32,
    }
);
event_class!(
    /// A data channel has opened.
    DataChannelOpened {
        transport_id: u32,
        label: String,
    }
);
event_class!(
    /// The engine has closed a data channel.
    DataChannelClosed {
        transport_id: u32,
        reason: &'static str,
    }
);
event_class!(
    /// A media thread has panicked and the engine has stopped.
    EngineFailed {
        shard: u8,
        message: String,
    }
);
event_class!(
    /// A line for Python's log.
    LogMessage {
        level: u8,
        target: String,
        message: String,
    }
);

/// Any event, as its own Python class.
#[derive(IntoPyObject)]
pub(crate) enum AnyEvent {
    TransportState(TransportStateChanged),
    Layer(LayerStarted),
    Levels(AudioLevels),
    Subscription(SubscriptionStarted),
    StreamState(StreamStateChanged),
    Track(TrackChanged),
    ChannelOpened(DataChannelOpened),
    ChannelClosed(DataChannelClosed),
    Failed(EngineFailed),
    Log(LogMessage),
}

/// The type alias `Event`: annotations that name it are evaluated at run time.
pub(crate) fn union(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    py.get_type::<TransportStateChanged>()
        .bitor(py.get_type::<LayerStarted>())?
        .bitor(py.get_type::<AudioLevels>())?
        .bitor(py.get_type::<SubscriptionStarted>())?
        .bitor(py.get_type::<StreamStateChanged>())?
        .bitor(py.get_type::<TrackChanged>())?
        .bitor(py.get_type::<DataChannelOpened>())?
        .bitor(py.get_type::<DataChannelClosed>())?
        .bitor(py.get_type::<EngineFailed>())?
        .bitor(py.get_type::<LogMessage>())
}

impl From<EngineEvent> for AnyEvent {
    fn from(event: EngineEvent) -> Self {
        match event {
            EngineEvent::Shard(event) => event.into(),
            EngineEvent::Failed { shard, message } => Self::Failed(EngineFailed {
                shard: shard.0,
                message,
            }),
        }
    }
}

impl From<Event> for AnyEvent {
    fn from(event: Event) -> Self {
        match event {
            Event::TransportState(id, state) => {
                let (state, reason) = state_names(state);
                Self::TransportState(TransportStateChanged {
                    transport_id: id.0,
                    state,
                    reason,
                })
            }
            Event::LayerStarted {
                track,
                layer,
                payload_type,
            } => Self::Layer(LayerStarted {
                track_id: track.0,
                layer: layer.0,
                payload_type,
            }),
            Event::AudioLevels(levels) => {
                let levels = levels.into_iter();
                Self::Levels(AudioLevels {
                    levels: levels
                        .map(|l| (l.track.0, l.level, l.active_ratio))
                        .collect(),
                })
            }
            Event::SubscriptionStarted(id) => Self::Subscription(SubscriptionStarted {
                subscription_id: id.0,
            }),
            Event::StreamState {
                subscription,
                paused,
            } => Self::StreamState(StreamStateChanged {
                subscription_id: subscription.0,
                paused,
            }),
            Event::TrackChanged {
                subscription,
                track,
            } => Self::Track(TrackChanged {
                subscription_id: subscription.0,
                track_id: track.0,
            }),
            Event::DataChannelOpen(id, label) => Self::ChannelOpened(DataChannelOpened {
                transport_id: id.0,
                label,
            }),
            Event::DataChannelClosed(id, reason) => Self::ChannelClosed(DataChannelClosed {
                transport_id: id.0,
                reason: match reason {
                    ChannelCloseReason::Stalled => "stalled",
                    ChannelCloseReason::MessageTooLong => "message_too_long",
                },
            }),
        }
    }
}

impl From<LogEntry> for AnyEvent {
    fn from(entry: LogEntry) -> Self {
        Self::Log(LogMessage {
            level: entry.level,
            target: entry.target,
            message: entry.message,
        })
    }
}

fn state_names(state: TransportState) -> (&'static str, &'static str) {
    match state {
        TransportState::New => ("new", ""),
        TransportState::Connecting => ("connecting", ""),
        TransportState::Connected => ("connected", ""),
        TransportState::Disconnected => ("disconnected", ""),
        TransportState::Closed(reason) => ("closed", reason.name()),
    }
}
