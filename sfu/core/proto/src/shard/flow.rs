//! What flows of a subscription, and the one place where that is decided.
//!
//! What its subscriber asks for, what bandwidth allows, what the thread's load costs and which layers
//! arrive go in; a layer comes out, with how much of a scalable stream goes along. Whoever changes one
//! of these writes it down and calls `settle`, once per event or tick, and never per packet.

use std::time::Instant;

use super::Shard;
use super::shedding::Shed;
use super::subscriber::SubscriptionEntry;
use crate::allocate::Allowance;
use crate::api::{Event, Host, Layer, MediaKind, SubscriptionSettings};
use crate::forward::LayerActivity;

/// How what flows gives way to what has been decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// It goes on until a key frame of the new layer arrives.
    AtKeyFrame,
    /// It stops, as it harms what else flows.
    AtOnce,
}

/// Where a subscription goes on once a key frame comes from there.
struct Next<'a> {
    settings: SubscriptionSettings,
    activity: &'a LayerActivity,
}

/// All that matters to what flows.
struct Inputs<'a> {
    settings: SubscriptionSettings,
    allowance: Allowance,
    shed: Shed,
    activity: &'a LayerActivity,
    /// The highest temporal layer that arrives.
    temporal: u8,
    next: Option<Next<'a>>,
}

/// What is to flow.
#[derive(Debug, PartialEq, Eq)]
struct Flow {
    layer: Option<Layer>,
    /// Highest spatial and temporal layers of that stream, beside what the settings say.
    spatial: u8,
    temporal: u8,
    /// It is held back, though it is wanted.
    is_paused: bool,
    /// The layer of the next track that it is to go on with.
    next_layer: Option<Layer>,
}

fn decide(inputs: &Inputs<'_>) -> Flow {
    let allowed = match inputs.allowance {
        Allowance::Unlimited => u8::MAX,
        Allowance::Layer(layer) => layer,
        Allowance::Paused => 0,
    };
    let affordable = inputs.shed.highest_layer();
    let spatial = allowed.min(affordable);
    let temporal = inputs.temporal.min(affordable);
    let is_paused = inputs.allowance == Allowance::Paused || inputs.shed == Shed::Video;
    let flows = !is_paused && !inputs.settings.paused;
    let best = inputs
        .activity
        .best(inputs.settings.max_layer.min(spatial))
        .filter(|_| flows);
    let next_layer = inputs.next.as_ref().and_then(|next| {
        let highest = next.settings.max_layer.min(spatial);
        next.activity.best(highest)
    });
    Flow {
        layer: best,
        spatial,
        temporal,
        is_paused,
        next_layer,
    }
}

impl SubscriptionEntry {
    /// Returns whether its being held back has changed.
    fn adopt(&mut self, flow: &Flow, change: Change) -> bool {
        let inner = &mut self.inner;
        inner.restrict(flow.spatial, flow.temporal);
        inner.retarget(flow.layer);
        let gives_way = change == Change::AtOnce && inner.waits_for().is_some();
        if flow.is_paused || gives_way {
            inner.stop();
        }
        if let Some(next) = &mut self.next {
            next.layer = flow.next_layer;
        }
        std::mem::replace(&mut self.is_paused, flow.is_paused) != flow.is_paused
    }
}

impl Shard {
    /// Decides anew what flows of a subscription, tells policy of a picture that stops or comes back,
    /// and asks for the key frames that are needed.
    pub(super) fn settle(&mut self, now: Instant, sub: usize, change: Change, host: &mut dyn Host) {
        let Some(entry) = self.subscriptions.get_mut(sub) else {
            return;
        };
        let tracks = &self.tracks;
        let Some(track) = tracks.get(entry.track_key) else {
            return;
        };
        let activity_of = |key: usize| tracks.get(key).map(|track| &track.inner.activity);
        let next = entry.next.as_ref().and_then(|next| {
            Some(Next {
                settings: next.settings,
                activity: activity_of(next.track_key)?,
            })
        });
        let flow = decide(&Inputs {
            settings: entry.inner.settings(),
            allowance: entry.allowance,
            shed: entry.shed,
            activity: &track.inner.activity,
            temporal: track.feed.highest_temporal(),
            next,
        });
        if entry.adopt(&flow, change) {
            host.event(Event::StreamState {
                subscription: entry.id,
                paused: flow.is_paused,
            });
        }
        self.need_of(now, sub, host);
        let Some(entry) = self.subscriptions.get(sub) else {
            return;
        };
        let video = entry.inner.kind() == MediaKind::Video;
        let own = entry.inner.waits_for().filter(|_| video);
        let own = own.map(|layer| (entry.track_key, layer));
        let next = entry.next.as_ref();
        let next = next.and_then(|next| Some((next.track_key, next.layer?)));
        for (track_key, layer) in own.into_iter().chain(next) {
            self.want_key_frame(now, track_key, layer);
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;

    fn activity(layers: &[u8]) -> LayerActivity {
        let mut activity = LayerActivity::default();
        let now = Instant::now();
        for layer in layers {
            activity.on_packet(Layer(*layer), now);
        }
        activity
    }

    /// What flows of a camera with three layers of which `max_layer` is asked for.
    fn flow(max_layer: u8, allowance: Allowance, shed: Shed) -> Flow {
        decide(&Inputs {
            settings: SubscriptionSettings {
                max_layer,
                paused: false,
                ..SubscriptionSettings::default()
            },
            allowance,
            shed,
            activity: &activity(&[0, 1, 2]),
            temporal: u8::MAX,
            next: None,
        })
    }

    #[test]
    fn the_least_of_what_is_asked_for_allowed_and_affordable_flows() {
        let of = |max, allowance, shed| flow(max, allowance, shed).layer;
        let all = Allowance::Unlimited;
        assert_eq!(of(2, all, Shed::Nothing), Some(Layer(2)));
        assert_eq!(of(1, all, Shed::Nothing), Some(Layer(1)));
        assert_eq!(of(2, Allowance::Layer(1), Shed::Nothing), Some(Layer(1)));
        assert_eq!(of(0, Allowance::Layer(1), Shed::Nothing), Some(Layer(0)));
        assert_eq!(of(2, all, Shed::Enhancement), Some(Layer(0)));
        assert_eq!(of(2, Allowance::Paused, Shed::Nothing), None);
        assert_eq!(of(2, all, Shed::Video), None);
    }

    #[test]
    fn only_what_is_held_back_against_the_wish_is_told_as_paused() {
        assert!(flow(2, Allowance::Paused, Shed::Nothing).is_paused);
        assert!(flow(2, Allowance::Unlimited, Shed::Video).is_paused);
        assert!(!flow(2, Allowance::Layer(0), Shed::Enhancement).is_paused);
        let unwanted = decide(&Inputs {
            settings: SubscriptionSettings {
                paused: true,
                ..SubscriptionSettings::default()
            },
            allowance: Allowance::Unlimited,
            shed: Shed::Nothing,
            activity: &activity(&[0]),
            temporal: u8::MAX,
            next: None,
        });
        assert_eq!((unwanted.layer, unwanted.is_paused), (None, false));
    }

    #[test]
    fn the_next_track_is_entered_on_its_own_layers_under_the_same_bounds() {
        let settings = SubscriptionSettings {
            max_layer: 2,
            paused: false,
            ..SubscriptionSettings::default()
        };
        let to = |allowance, shed, layers: &[u8]| {
            let inputs = Inputs {
                settings,
                allowance,
                shed,
                activity: &activity(&[0]),
                temporal: u8::MAX,
                next: Some(Next {
                    settings,
                    activity: &activity(layers),
                }),
            };
            decide(&inputs).next_layer
        };
        let all = Allowance::Unlimited;
        assert_eq!(to(all, Shed::Nothing, &[0, 1]), Some(Layer(1)));
        assert_eq!(
            to(Allowance::Layer(0), Shed::Nothing, &[0, 1]),
            Some(Layer(0))
        );
        assert_eq!(to(all, Shed::Enhancement, &[0, 1]), Some(Layer(0)));
        assert_eq!(to(all, Shed::Nothing, &[]), None);
    }
}
