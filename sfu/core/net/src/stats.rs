//! Counters of a media thread that only its I/O can know, and the snapshot that others may read.

use std::io;
use std::mem::MaybeUninit;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use kinguicall_proto::egress::Datagram;
use kinguicall_proto::stats::ShardStats;

use crate::batch_io::SendCounts;

/// Upper bounds of the latency histogram in microseconds, inclusive; one more bucket is unbounded.
pub const LATENCY_BOUNDS_US: [u64; 11] = [
    50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000,
];

/// Index of the dropped-datagrams counter in the answer of `SO_MEMINFO` (`SK_MEMINFO_DROPS`).
const MEMINFO_DROPS: usize = 8;

/// Time from receiving a packet to handing what it caused to the kernel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Latency {
    /// One count per bound of `LATENCY_BOUNDS_US`, then the rest. Not cumulative.
    pub counts: [u64; LATENCY_BOUNDS_US.len() + 1],
    pub sum_us: u64,
}

impl Latency {
    /// Records every datagram that a received packet has caused.
    pub fn record_batch(&mut self, sent_at: Instant, datagrams: &[Datagram]) {
        // A packet's copies are neighbours, so its bucket is looked up once.
        let mut previous = None;
        let (mut bucket, mut micros) = (0, 0);
        for datagram in datagrams {
            let Some(received_at) = datagram.received_at else {
                continue;
            };
            if previous != Some(received_at) {
                previous = Some(received_at);
                micros = as_micros(sent_at.saturating_duration_since(received_at));
                bucket = LATENCY_BOUNDS_US.partition_point(|bound| *bound < micros);
            }
            self.counts[bucket] += 1;
            self.sum_us += micros;
        }
    }

    /// Linear within a bucket. `None` without samples.
    pub fn quantile_us(&self, quantile: f64) -> Option<f64> {
        let total: u64 = self.counts.iter().sum();
        if total == 0 {
            return None;
        }
        let wanted = quantile * total as f64;
        let mut below = 0.0;
        let mut lower = 0.0;
        for (index, count) in self.counts.iter().enumerate() {
            let last = LATENCY_BOUNDS_US[LATENCY_BOUNDS_US.len() - 1];
            let upper = *LATENCY_BOUNDS_US.get(index).unwrap_or(&last) as f64;
            let count = *count as f64;
            if count > 0.0 && below + count >= wanted {
                return Some(lower + (upper - lower) * ((wanted - below) / count));
            }
            below += count;
            lower = upper;
        }
        Some(lower)
    }
}

fn as_micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Totals of a thread's sockets and queues.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IoCounters {
    pub sent: SendCounts,
    /// Received but cut, or without a source address.
    pub receive_unusable: u64,
    /// Dropped by the kernel before they were read, as the thread did not keep up.
    pub receive_buffer_full: u64,
    /// Messages to other shards that were dropped because their queue was full.
    pub peer_queue_full: u64,
    /// Media that was dropped because its reader, over TCP, was too far behind.
    pub connection_queue_full: u64,
    /// Datagrams of other threads' peers that came in here, on a shared port.
    pub handed_over: u64,
    /// Of those, dropped because the other thread did not keep up.
    pub hand_over_full: u64,
}

/// One media thread at a moment at most 100 ms ago.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ThreadStats {
    pub shard: ShardStats,
    pub io: IoCounters,
    pub latency: Latency,
    pub cpu_user_us: u64,
    pub cpu_system_us: u64,
}

/// CPU time of the calling thread in microseconds, user and system.
pub fn thread_cpu() -> (u64, u64) {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: `usage` is a valid place for the result.
    let result = unsafe { libc::getrusage(libc::RUSAGE_THREAD, usage.as_mut_ptr()) };
    if result != 0 {
        return (0, 0);
    }
    // SAFETY: zeroed bytes are a valid rusage, and the call has filled them.
    let usage = unsafe { usage.assume_init() };
    let micros = |time: libc::timeval| time.tv_sec as u64 * 1_000_000 + time.tv_usec as u64;
    (micros(usage.ru_utime), micros(usage.ru_stime))
}

/// Datagrams that the kernel has dropped at a socket since it was opened, modulo 2^32.
pub(crate) fn kernel_drops(socket: &UdpSocket) -> io::Result<u32> {
    let mut info = [0_u32; MEMINFO_DROPS + 1];
    let mut len = size_of_val(&info) as libc::socklen_t;
    // SAFETY: `info` and `len` are valid places and `len` is the size of `info`.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            info.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(info[MEMINFO_DROPS])
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use kinguicall_proto::egress::{SocketIndex, TrafficClass};

    use super::*;

    fn datagram(received_at: Option<Instant>) -> Datagram {
        Datagram {
            socket: SocketIndex(0),
            to: SocketAddr::from(([127, 0, 0, 1], 1)),
            start: 0,
            len: 0,
            received_at,
            class: TrafficClass::Video,
        }
    }

    #[test]
    fn latency_counts_only_what_a_packet_caused_in_the_right_bucket() {
        let start = Instant::now();
        let at = |micros| Some(start + Duration::from_micros(micros));
        let datagrams = [at(1_000), at(1_000), None, at(0), at(990)].map(datagram);
        let mut latency = Latency::default();
        latency.record_batch(start + Duration::from_micros(1_050), &datagrams);
        // 50 us twice, 1,050 us once, 60 us once.
        assert_eq!(latency.counts[..6], [2, 1, 0, 0, 0, 1]);
        assert_eq!(latency.sum_us, 50 + 50 + 1_050 + 60);
    }

    #[test]
    fn quantiles_interpolate_within_their_bucket() {
        let mut latency = Latency::default();
        assert_eq!(latency.quantile_us(0.5), None);
        latency.counts[3] = 90; // 200 to 500
        latency.counts[6] = 10; // 2,000 to 5,000
        assert_eq!(latency.quantile_us(0.45), Some(350.0));
        assert_eq!(latency.quantile_us(0.95), Some(3_500.0));
    }

    #[test]
    fn the_kernels_drops_are_seen() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = socket.local_addr().unwrap();
        assert_eq!(kernel_drops(&socket).unwrap(), 0);
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        for _ in 0..2_000 {
            sender.send_to(&[0; 1_400], to).unwrap();
        }
        assert!(kernel_drops(&socket).unwrap() > 0);
    }

    #[test]
    fn cpu_time_grows_with_work() {
        let (user, system) = thread_cpu();
        let end = Instant::now() + Duration::from_millis(200);
        while Instant::now() < end {}
        let (user_after, system_after) = thread_cpu();
        assert!(user_after + system_after > user + system);
    }
}
