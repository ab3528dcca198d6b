//! A subscription as the shard keeps it, and the reports that go with it.

use std::time::Instant;

use super::bandwidth::Stamps;
use super::handover::Handover;
use super::shedding::Shed;
use crate::allocate::Allowance;
use crate::api::SubscriptionId;
use crate::forward::Subscription;

/// One track towards one peer.
#[derive(Debug)]
pub(super) struct SubscriptionEntry {
    pub(super) id: SubscriptionId,
    /// Key of the peer that receives it.
    pub(super) peer: usize,
    /// Key of the track on this shard.
    pub(super) track_key: usize,
    /// The track that it will go on with.
    pub(super) next: Option<Box<Handover>>,
    /// The first packet has left and policy knows.
    pub(super) started: bool,
    pub(super) inner: Subscription,
    /// The last sender report: middle bits of its NTP time, and when it left.
    pub(super) last_report: Option<(u32, Instant)>,
    /// When the next one is due. They stop with the media, and begin again with it.
    pub(super) report_at: Option<Instant>,
    /// How many packets had been sent when the last one was due.
    pub(super) packets_at_report: u32,
    /// From the peer's last receiver report, 0 to 255.
    pub(super) fraction_lost: u8,
    /// Identifier of the transport-wide sequence number, where negotiated.
    pub(super) transport_cc_id: Option<u8>,
    pub(super) stamps: Stamps,
    /// What the subscriber's bandwidth allows.
    pub(super) allowance: Allowance,
    /// What this thread's load costs it.
    pub(super) shed: Shed,
}

impl SubscriptionEntry {
    /// Whether its video is held back.
    pub(super) fn is_paused(&self) -> bool {
        self.allowance == Allowance::Paused || self.shed == Shed::Video
    }

    /// Highest spatial (or simulcast) and temporal layer that bandwidth and load allow.
    pub(super) fn layer_limits(&self) -> (u8, u8) {
        let spatial = match self.allowance {
            Allowance::Unlimited => u8::MAX,
            Allowance::Layer(layer) => layer,
            Allowance::Paused => 0,
        };
        match self.shed {
            Shed::Nothing => (spatial, u8::MAX),
            Shed::Enhancement | Shed::Video => (0, 0),
        }
    }
}
