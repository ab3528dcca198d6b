//! Feedback from a media receiver: NACK, PLI, FIR and REMB (RFC 4585; RFC 5104, section 4.3.1;
//! draft-alvestrand-rmcat-remb-03).

use super::parse::split_feedback_header;
use crate::api::Ssrc;

/// A list of SSRCs whose length has been checked.
#[derive(Debug, Clone, Copy)]
pub struct SsrcList<'a> {
    ssrcs: &'a [[u8; 4]],
}

impl<'a> SsrcList<'a> {
    /// The first `count` SSRCs of `bytes`; what follows them is ignored.
    pub(super) fn parse(count: u8, bytes: &'a [u8]) -> Option<Self> {
        let (ssrcs, _) = bytes.as_chunks();
        Some(Self {
            ssrcs: ssrcs.get(..usize::from(count))?,
        })
    }
}

impl Iterator for SsrcList<'_> {
    type Item = Ssrc;

    fn next(&mut self) -> Option<Ssrc> {
        let (first, rest) = self.ssrcs.split_first()?;
        self.ssrcs = rest;
        Some(Ssrc(u32::from_be_bytes(*first)))
    }
}

/// Generic NACK (RFC 4585, section 6.2.1). Iterates over the missing sequence numbers, at most 17
/// for each four bytes.
#[derive(Debug, Clone, Copy)]
pub struct Nack<'a> {
    pub sender: Ssrc,
    pub media: Ssrc,
    items: &'a [[u8; 4]],
    /// The sequence number that bit 0 of `mask` stands for, and the rest of an item.
    next: u16,
    mask: u16,
}

impl<'a> Nack<'a> {
    pub(super) fn parse(content: &'a [u8]) -> Option<Self> {
        let (sender, media, items) = split_feedback_header(content)?;
        let (items, _) = items.as_chunks();
        if items.is_empty() {
            return None;
        }
        Some(Self {
            sender,
            media,
            items,
            next: 0,
            mask: 0,
        })
    }
}

impl Iterator for Nack<'_> {
    type Item = u16;

    fn next(&mut self) -> Option<u16> {
        if self.mask != 0 {
            let skip = self.mask.trailing_zeros() as u16;
            let sequence = self.next.wrapping_add(skip);
            self.next = sequence.wrapping_add(1);
            // In two steps, as a shift by 16 would overflow.
            self.mask = self.mask >> skip >> 1;
            return Some(sequence);
        }
        let (&[pid_high, pid_low, mask_high, mask_low], rest) = self.items.split_first()?;
        self.items = rest;
        let sequence = u16::from_be_bytes([pid_high, pid_low]);
        self.next = sequence.wrapping_add(1);
        self.mask = u16::from_be_bytes([mask_high, mask_low]);
        Some(sequence)
    }
}

/// Picture loss indication (RFC 4585, section 6.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pli {
    pub sender: Ssrc,
    pub media: Ssrc,
}

impl Pli {
    pub(super) fn parse(content: &[u8]) -> Option<Self> {
        let (sender, media, _) = split_feedback_header(content)?;
        Some(Self { sender, media })
    }
}

/// One source of a full intra request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FirEntry {
    pub media: Ssrc,
    /// Grows with each new request; a repetition carries the same number.
    pub command_sequence: u8,
}

/// Full intra request (RFC 5104, section 4.3.1). Iterates over its entries.
#[derive(Debug, Clone, Copy)]
pub struct Fir<'a> {
    pub sender: Ssrc,
    entries: &'a [[u8; 8]],
}

impl<'a> Fir<'a> {
    pub(super) fn parse(content: &'a [u8]) -> Option<Self> {
        let (sender, _, entries) = split_feedback_header(content)?;
        let (entries, _) = entries.as_chunks();
        if entries.is_empty() {
            return None;
        }
        Some(Self { sender, entries })
    }
}

impl Iterator for Fir<'_> {
    type Item = FirEntry;

    fn next(&mut self) -> Option<FirEntry> {
        let (&[a, b, c, d, command_sequence, ..], rest) = self.entries.split_first()?;
        self.entries = rest;
        Some(FirEntry {
            media: Ssrc(u32::from_be_bytes([a, b, c, d])),
            command_sequence,
        })
    }
}

/// Receiver estimated maximum bitrate.
#[derive(Debug, Clone, Copy)]
pub struct Remb<'a> {
    pub sender: Ssrc,
    pub bitrate_bps: u64,
    pub ssrcs: SsrcList<'a>,
}

impl<'a> Remb<'a> {
    /// Whether application layer feedback carries REMB's identifier.
    pub(super) fn is_remb(content: &[u8]) -> bool {
        content.get(8..12) == Some(b"REMB")
    }

    pub(super) fn parse(content: &'a [u8]) -> Option<Self> {
        let (sender, _, rest) = split_feedback_header(content)?;
        let (_, rest) = rest.split_first_chunk::<4>()?;
        let (&[count, high, middle, low], rest) = rest.split_first_chunk()?;
        let mantissa = u64::from(high & 3) << 16 | u64::from(middle) << 8 | u64::from(low);
        let exponent = u32::from(high >> 2);
        if exponent > mantissa.leading_zeros() {
            return None;
        }
        Some(Self {
            sender,
            // A mantissa of 0 has 64 leading zeros, and exponents end at 63.
            bitrate_bps: mantissa << exponent,
            ssrcs: SsrcList::parse(count, rest)?,
        })
    }
}
