//! A subscription as the shard keeps it, and the reports that go with it.

use std::mem::offset_of;
use std::time::Instant;

use super::handover::Handover;
use super::shedding::Shed;
use super::stamps::Stamps;
use crate::allocate::Allowance;
use crate::api::SubscriptionId;
use crate::forward::Subscription;

/// One track towards one peer. The order of the fields is that of `Subscription`: what every packet
/// needs comes first.
#[derive(Debug)]
#[repr(C)]
pub(super) struct SubscriptionEntry {
    /// Key of the peer that receives it.
    pub(super) peer: usize,
    pub(super) stamps: Stamps,
    /// When the next sender report is due. They stop with the media, and begin again with it.
    pub(super) report_at: Option<Instant>,
    /// How many packets had been sent when the last report was due.
    pub(super) packets_at_report: u32,
    /// Identifier of the transport-wide sequence number, where negotiated.
    pub(super) transport_cc_id: Option<u8>,
    /// The first packet has left and policy knows.
    pub(super) started: bool,
    pub(super) inner: Subscription,
    pub(super) id: SubscriptionId,
    /// Key of the track on this shard.
    pub(super) track_key: usize,
    /// The track that it will go on with.
    pub(super) next: Option<Box<Handover>>,
    /// The last sender report: middle bits of its NTP time, and when it left.
    pub(super) last_report: Option<(u32, Instant)>,
    /// From the peer's last receiver report, 0 to 255.
    pub(super) fraction_lost: u8,
    /// What the subscriber's bandwidth allows.
    pub(super) allowance: Allowance,
    /// What this thread's load costs it.
    pub(super) shed: Shed,
    /// It is held back by one of the two, and policy knows.
    pub(super) is_paused: bool,
}

impl SubscriptionEntry {
    /// What every packet needs lies within the first so many bytes.
    pub(super) const HOT_BYTES: usize = offset_of!(Self, inner) + Subscription::HOT_BYTES;
}
