//! One media thread's whole state: peer connections, tracks, subscriptions and their timers.
//!
//! A turn is: any number of `handle_*` calls, then `end_turn`. Media is gathered for up to
//! `ShardConfig::gather` before it is fanned out, so that packets of one frame leave towards one
//! subscriber next to each other and the kernel can take them in one call.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::api::{Command, Host, MediaMeta, PeerMessage, ShardId};
use crate::egress::{Batch, SocketIndex};
use crate::stats::{Counters, ShardStats};

/// Most datagrams that wait in a shard before they are sent.
const BATCH_DATAGRAMS: usize = 512;

/// What a shard is told at its start.
#[derive(Debug, Clone)]
pub struct ShardConfig {
    pub id: ShardId,
    pub certificate: dimpl::DtlsCertificate,
    /// Index = `SocketIndex`.
    pub local_addresses: Arc<[SocketAddr]>,
    pub epoch: Instant,
    /// NTP time (32.32 fixed point) at `epoch`.
    pub epoch_ntp: u64,
    /// How long the first packet may wait for others.
    pub gather: Duration,
}

/// The media plane of one thread.
pub struct Shard {
    config: ShardConfig,
    batch: Batch,
    counters: Counters,
}

impl Shard {
    pub fn new(config: ShardConfig) -> Self {
        Self {
            config,
            batch: Batch::new(BATCH_DATAGRAMS),
            counters: Counters::default(),
        }
    }

    /// A datagram has arrived on a local socket.
    pub fn handle_datagram(
        &mut self,
        _now: Instant,
        _socket: SocketIndex,
        _from: SocketAddr,
        datagram: &mut [u8],
        _host: &mut dyn Host,
    ) {
        self.counters.packets_received += 1;
        self.counters.bytes_received += datagram.len() as u64;
    }

    pub fn handle_command(&mut self, _now: Instant, _command: Command, _host: &mut dyn Host) {}

    /// A decrypted packet from the shard that receives its track.
    pub fn handle_media(
        &mut self,
        _now: Instant,
        _meta: &MediaMeta,
        _payload: &[u8],
        _host: &mut dyn Host,
    ) {
    }

    pub fn handle_peer(&mut self, _now: Instant, _message: PeerMessage, _host: &mut dyn Host) {}

    /// Runs every timer that is due.
    pub fn handle_timeout(&mut self, _now: Instant, _host: &mut dyn Host) {}

    /// Fans out what has been gathered long enough and sends the batch.
    pub fn end_turn(&mut self, _now: Instant, host: &mut dyn Host) {
        if !self.batch.is_empty() {
            host.flush(&mut self.batch);
        }
    }

    /// When `handle_timeout` or `end_turn` wants to be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    pub fn id(&self) -> ShardId {
        self.config.id
    }

    pub fn stats(&self) -> ShardStats {
        ShardStats {
            counters: self.counters.clone(),
            ..ShardStats::default()
        }
    }
}
