//! One media SSRC as it is received: numbering, loss, jitter and the block that reports them
//! (RFC 3550, section 6.4.1 and appendix A).

use std::time::{Duration, Instant};

use super::sequence::{SequenceWindow, Verdict};
use crate::api::Ssrc;
use crate::rtcp::{ReportBlock, compact_ntp, short_duration};

/// What a packet is to its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// Not seen before. `extended` is its sequence number with rollovers: it starts above 65,535
    /// and keeps growing when the sender restarts its numbering.
    New {
        extended: u64,
    },
    Duplicate,
    /// Out of the window. The second of two consecutive ones is taken for a restart.
    TooOld,
}

/// A sender report: RTP time `rtp` was NTP time `ntp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SenderClock {
    pub ntp: u64,
    pub rtp: u32,
    pub received_at: Instant,
}

/// What is counted since the first packet.
#[derive(Debug, Clone)]
struct Reception {
    window: SequenceWindow,
    /// Number from which packets are expected; moves with restarts, so that they are not loss.
    base: u64,
    /// Packets that came by themselves, each once. Repaired loss is loss still, as the sender
    /// adapts to it.
    received: u64,
    expected_at_report: u64,
    received_at_report: u64,
    jitter: Jitter,
}

/// Reception state of one media SSRC. Its retransmissions count here too, under their original
/// sequence numbers.
#[derive(Debug, Clone)]
pub struct Stream {
    ssrc: Ssrc,
    clock_rate_hz: u32,
    reception: Option<Reception>,
    packets: u64,
    bytes: u64,
    sender_clock: Option<SenderClock>,
}

impl Stream {
    pub fn new(ssrc: Ssrc, clock_rate_hz: u32) -> Self {
        Self {
            ssrc,
            clock_rate_hz,
            reception: None,
            packets: 0,
            bytes: 0,
            sender_clock: None,
        }
    }

    pub fn ssrc(&self) -> Ssrc {
        self.ssrc
    }

    /// Takes a packet of `len` payload bytes. `retransmitted`: it came by RTX, and `sequence` is
    /// the original number.
    pub fn on_packet(
        &mut self,
        now: Instant,
        sequence: u16,
        timestamp: u32,
        len: usize,
        retransmitted: bool,
    ) -> Arrival {
        let Some(reception) = &mut self.reception else {
            let mut reception = Reception::new(now, sequence, !retransmitted);
            reception
                .jitter
                .on_packet(now, timestamp, self.clock_rate_hz);
            let extended = reception.window.highest();
            self.reception = Some(reception);
            self.count(len);
            return Arrival::New { extended };
        };
        let extended = match reception.window.accept(sequence, !retransmitted) {
            Verdict::Duplicate => return Arrival::Duplicate,
            Verdict::TooOld => return Arrival::TooOld,
            Verdict::Late { extended } => extended,
            Verdict::Ahead { extended, jump } => {
                reception.skip(jump);
                if !retransmitted {
                    let jitter = &mut reception.jitter;
                    jitter.on_packet(now, timestamp, self.clock_rate_hz);
                }
                extended
            }
        };
        if extended < reception.base {
            // Sent before the first one that came: expected now, unlike what else was before it.
            reception.base -= 1;
        }
        reception.received += u64::from(!retransmitted);
        self.count(len);
        Arrival::New { extended }
    }

    fn count(&mut self, len: usize) {
        self.packets += 1;
        self.bytes += len as u64;
    }

    pub fn on_sender_report(&mut self, now: Instant, ntp: u64, rtp: u32) {
        self.sender_clock = Some(SenderClock {
            ntp,
            rtp,
            received_at: now,
        });
    }

    #[cfg(test)]
    pub(super) fn last_sender_report(&self) -> Option<SenderClock> {
        self.sender_clock
    }

    /// The block for the next report, which starts a new interval for the fraction lost. `None`
    /// before the first packet.
    pub fn report_block(&mut self, now: Instant) -> Option<ReportBlock> {
        let reception = self.reception.as_mut()?;
        let (last_sender_report, delay_since_last_sender_report) =
            self.sender_clock.map_or((0, 0), |clock| {
                let delay = now.saturating_duration_since(clock.received_at);
                (compact_ntp(clock.ntp), short_duration(delay))
            });
        Some(ReportBlock {
            ssrc: self.ssrc,
            fraction_lost: reception.fraction_lost(),
            cumulative_lost: reception.lost().clamp(-0x80_0000, 0x7f_ffff) as i32,
            // The wire counts rollovers from 0.
            highest_sequence: (reception.window.highest() - 65_536) as u32,
            jitter: reception.jitter.value(),
            last_sender_report,
            delay_since_last_sender_report,
        })
    }

    /// Packets received, retransmissions included, each once.
    pub fn packets(&self) -> u64 {
        self.packets
    }

    /// Payload bytes of those packets.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Packets that did not come by themselves, repaired or not.
    pub fn packets_lost(&self) -> u64 {
        let lost = self.reception.as_ref().map_or(0, Reception::lost);
        u64::try_from(lost).unwrap_or(0)
    }

    /// Interarrival jitter in units of the RTP clock.
    pub fn jitter(&self) -> u32 {
        self.reception
            .as_ref()
            .map_or(0, |reception| reception.jitter.value())
    }
}

impl Reception {
    fn new(now: Instant, sequence: u16, counts: bool) -> Self {
        let window = SequenceWindow::new(sequence);
        Self {
            base: window.highest(),
            window,
            received: u64::from(counts),
            expected_at_report: 0,
            received_at_report: 0,
            jitter: Jitter::new(now),
        }
    }

    /// Moves the base so that a restart's jump is not expected.
    fn skip(&mut self, jump: u64) {
        self.base += jump;
    }

    fn expected(&self) -> u64 {
        self.window.highest() - self.base + 1
    }

    fn lost(&self) -> i64 {
        self.expected() as i64 - self.received as i64
    }

    /// Loss since the last call in 1/256 (RFC 3550, appendix A.3).
    fn fraction_lost(&mut self) -> u8 {
        let expected = self.expected();
        let interval = expected.saturating_sub(self.expected_at_report);
        let lost = interval.saturating_sub(self.received - self.received_at_report);
        self.expected_at_report = expected;
        self.received_at_report = self.received;
        (lost * 256)
            .checked_div(interval)
            .map_or(0, |fraction| fraction.min(255) as u8)
    }
}

/// Interarrival jitter (RFC 3550, appendix A.8), of packets in order that start a new timestamp:
/// the others of a video frame measure how it was paced.
#[derive(Debug, Clone)]
struct Jitter {
    started: Instant,
    last: Option<Transit>,
    /// In 1/16 of the clock's unit.
    scaled: u32,
}

#[derive(Debug, Clone, Copy)]
struct Transit {
    timestamp: u32,
    transit: u32,
}

impl Jitter {
    /// A difference beyond this is the sender's clock jumping, not the network.
    const MAX_DIFFERENCE: Duration = Duration::from_secs(5);

    fn new(now: Instant) -> Self {
        Self {
            started: now,
            last: None,
            scaled: 0,
        }
    }

    fn on_packet(&mut self, now: Instant, timestamp: u32, clock_rate_hz: u32) {
        if self.last.is_some_and(|last| last.timestamp == timestamp) {
            return;
        }
        let elapsed = now.saturating_duration_since(self.started);
        let arrival = elapsed.as_micros() * u128::from(clock_rate_hz) / 1_000_000;
        let transit = (arrival as u32).wrapping_sub(timestamp);
        if let Some(last) = self.last {
            let difference = (transit.wrapping_sub(last.transit) as i32).unsigned_abs();
            let max = Self::MAX_DIFFERENCE.as_secs() * u64::from(clock_rate_hz);
            if u64::from(difference) <= max {
                let decay = (self.scaled + 8) >> 4;
                self.scaled = self.scaled.saturating_add(difference) - decay;
            }
        }
        self.last = Some(Transit { timestamp, transit });
    }

    fn value(&self) -> u32 {
        self.scaled >> 4
    }
}
