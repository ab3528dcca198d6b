//! Sender, receiver and extended reports (RFC 3550, section 6.4; RFC 3611).

use std::time::Duration;

use super::parse::split_ssrc;
use crate::api::Ssrc;

/// The middle 32 bits of an NTP timestamp, as reports echo it.
pub fn compact_ntp(ntp: u64) -> u32 {
    (ntp >> 16) as u32
}

/// A duration in units of 1/65,536 s, as DLSR and DLRR state it; saturates at 18 hours.
pub fn short_duration(duration: Duration) -> u32 {
    let units = duration.as_nanos() * 65_536 / 1_000_000_000;
    u32::try_from(units).unwrap_or(u32::MAX)
}

/// What a sender says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderInfo {
    pub ssrc: Ssrc,
    /// NTP time in 32.32 fixed point at which the RTP clock stood at `rtp`.
    pub ntp: u64,
    pub rtp: u32,
    pub packet_count: u32,
    pub octet_count: u32,
}

/// How one source is received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportBlock {
    pub ssrc: Ssrc,
    /// Share of packets lost since the previous report, in 1/256.
    pub fraction_lost: u8,
    /// Signed 24 bits: duplicates may make it negative.
    pub cumulative_lost: i32,
    /// Highest sequence number received, with its rollovers in the upper half.
    pub highest_sequence: u32,
    /// Interarrival jitter in units of the RTP clock.
    pub jitter: u32,
    /// Compact NTP time of the last sender report, or 0.
    pub last_sender_report: u32,
    /// Time since that report came, in 1/65,536 s.
    pub delay_since_last_sender_report: u32,
}

/// Bytes of a report block.
const BLOCK: usize = 24;

fn be32(bytes: &[u8; BLOCK], word: usize) -> u32 {
    let at = word * 4;
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

impl ReportBlock {
    fn read(bytes: &[u8; BLOCK]) -> Self {
        let loss = be32(bytes, 1);
        Self {
            ssrc: Ssrc(be32(bytes, 0)),
            fraction_lost: (loss >> 24) as u8,
            cumulative_lost: (loss << 8) as i32 >> 8,
            highest_sequence: be32(bytes, 2),
            jitter: be32(bytes, 3),
            last_sender_report: be32(bytes, 4),
            delay_since_last_sender_report: be32(bytes, 5),
        }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let lost = self.cumulative_lost.clamp(-0x80_0000, 0x7f_ffff) as u32 & 0xff_ffff;
        for word in [
            self.ssrc.0,
            u32::from(self.fraction_lost) << 24 | lost,
            self.highest_sequence,
            self.jitter,
            self.last_sender_report,
            self.delay_since_last_sender_report,
        ] {
            out.extend_from_slice(&word.to_be_bytes());
        }
    }
}

/// Iterates over the blocks of a report.
#[derive(Debug, Clone, Copy)]
pub struct ReportBlocks<'a> {
    blocks: &'a [[u8; BLOCK]],
}

impl<'a> ReportBlocks<'a> {
    /// `None` when fewer blocks are there than the header counts. What follows them is a
    /// profile-specific extension, and skipped.
    fn parse(count: u8, bytes: &'a [u8]) -> Option<Self> {
        let (blocks, _) = bytes.as_chunks::<BLOCK>();
        Some(Self {
            blocks: blocks.get(..usize::from(count))?,
        })
    }
}

impl Iterator for ReportBlocks<'_> {
    type Item = ReportBlock;

    fn next(&mut self) -> Option<ReportBlock> {
        let (first, rest) = self.blocks.split_first()?;
        self.blocks = rest;
        Some(ReportBlock::read(first))
    }
}

/// SR.
#[derive(Debug, Clone, Copy)]
pub struct SenderReport<'a> {
    pub info: SenderInfo,
    pub blocks: ReportBlocks<'a>,
}

impl<'a> SenderReport<'a> {
    pub(super) fn parse(count: u8, content: &'a [u8]) -> Option<Self> {
        let (ssrc, rest) = split_ssrc(content)?;
        let (ntp, rest) = rest.split_first_chunk()?;
        let (rtp, rest) = rest.split_first_chunk()?;
        let (packet_count, rest) = rest.split_first_chunk()?;
        let (octet_count, rest) = rest.split_first_chunk()?;
        Some(Self {
            info: SenderInfo {
                ssrc,
                ntp: u64::from_be_bytes(*ntp),
                rtp: u32::from_be_bytes(*rtp),
                packet_count: u32::from_be_bytes(*packet_count),
                octet_count: u32::from_be_bytes(*octet_count),
            },
            blocks: ReportBlocks::parse(count, rest)?,
        })
    }
}

/// RR.
#[derive(Debug, Clone, Copy)]
pub struct ReceiverReport<'a> {
    pub sender: Ssrc,
    pub blocks: ReportBlocks<'a>,
}

impl<'a> ReceiverReport<'a> {
    pub(super) fn parse(count: u8, content: &'a [u8]) -> Option<Self> {
        let (sender, rest) = split_ssrc(content)?;
        Some(Self {
            sender,
            blocks: ReportBlocks::parse(count, rest)?,
        })
    }
}

/// XR, reduced to what this side answers (RFC 3611, section 4.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExtendedReport {
    pub sender: Ssrc,
    /// NTP time of a receiver that sends no SR. It wants a [`Dlrr`] back, to measure its round
    /// trip.
    pub receiver_reference_time: Option<u64>,
}

impl ExtendedReport {
    pub(super) fn parse(content: &[u8]) -> Option<Self> {
        const RECEIVER_REFERENCE_TIME: u8 = 4;
        let (sender, mut rest) = split_ssrc(content)?;
        let mut receiver_reference_time = None;
        while let Some((&[block_type, _, high, low], after_header)) = rest.split_first_chunk() {
            let len = usize::from(u16::from_be_bytes([high, low])) * 4;
            let (block, next) = after_header.split_at_checked(len)?;
            if block_type == RECEIVER_REFERENCE_TIME {
                let (ntp, _) = block.split_first_chunk()?;
                receiver_reference_time = Some(u64::from_be_bytes(*ntp));
            }
            rest = next;
        }
        Some(Self {
            sender,
            receiver_reference_time,
        })
    }
}

/// One sub-block of a DLRR report block: the answer to a receiver reference time (RFC 3611,
/// section 4.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dlrr {
    pub receiver: Ssrc,
    /// Compact NTP time that the receiver sent.
    pub last_receiver_report: u32,
    /// Time since it came, in 1/65,536 s.
    pub delay_since_last_receiver_report: u32,
}

impl Dlrr {
    /// Answers the reference time `ntp` of `receiver` after `delay`.
    pub fn answer(receiver: Ssrc, ntp: u64, delay: Duration) -> Self {
        Self {
            receiver,
            last_receiver_report: compact_ntp(ntp),
            delay_since_last_receiver_report: short_duration(delay),
        }
    }
}
