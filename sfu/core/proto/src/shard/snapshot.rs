//! What can be seen of a shard from outside: statistics and audio levels.

use super::Shard;
use crate::api::{AudioLevel, Event, Host};
use crate::stats::{LayerStats, ShardStats, TrackStats, TransportStats};

impl Shard {
    pub fn stats(&self) -> ShardStats {
        let mut stats = ShardStats::default();
        self.update_totals(&mut stats);
        stats.track_stats = self.track_stats();
        stats.transport_stats = self.transport_stats();
        stats
    }

    /// Brings the parts up to date that do not go through every track and transport.
    pub fn update_totals(&self, stats: &mut ShardStats) {
        stats.counters.clone_from(&self.counters);
        stats.transports = self.peers.len();
        stats.tracks = self.tracks.len();
        stats.subscriptions = self.subscriptions.len();
        stats.shedding_level = self.shedding.level();
    }

    /// Tracks that are received here; copies of other shards' tracks are counted there.
    fn track_stats(&self) -> Vec<TrackStats> {
        let mut all = Vec::new();
        for (_, entry) in &self.tracks {
            let Some(source) = entry.feed.publisher() else {
                continue;
            };
            let streams = source.ingest.streams();
            let layers = streams.map(|(layer, stream)| LayerStats {
                layer,
                packets: stream.packets(),
                bytes: stream.bytes(),
                packets_lost: stream.packets_lost(),
                jitter: stream.jitter(),
            });
            all.push(TrackStats {
                track: entry.inner.id,
                layers: layers.collect(),
            });
        }
        all
    }

    fn transport_stats(&self) -> Vec<TransportStats> {
        let mut all = Vec::new();
        for (_, peer) in &self.peers {
            let Some(path) = &peer.path else { continue };
            let worst = peer
                .sent
                .values()
                .filter_map(|sub| self.subscriptions.get(*sub))
                .map(|entry| entry.fraction_lost)
                .max()
                .unwrap_or(0);
            all.push(TransportStats {
                transport: peer.id,
                fraction_lost: f32::from(worst) / 256.0,
                round_trip_ms: path
                    .round_trip
                    .map_or(0.0, |rtt| rtt.as_secs_f32() * 1_000.0),
                bytes_sent: path.bytes_sent,
                estimate_bps: peer.bandwidth.latest_bps(),
            });
        }
        all
    }

    /// One batch of levels for the window that ends now.
    pub(super) fn report_levels(&mut self, host: &mut dyn Host) {
        let mut levels = Vec::new();
        for (_, entry) in &mut self.tracks {
            let track = entry.inner.id;
            let Some(level) = entry.feed.publisher_mut().and_then(|it| it.levels.take()) else {
                continue;
            };
            levels.push(AudioLevel {
                track,
                level: level.level,
                active_ratio: level.active_ratio,
            });
        }
        if !levels.is_empty() {
            host.event(Event::AudioLevels(levels));
        }
    }
}
