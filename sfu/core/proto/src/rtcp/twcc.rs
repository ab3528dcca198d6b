//! Transport-wide congestion control feedback, the reading side
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01, section 3.1).

use super::parse::split_feedback_header;
use crate::api::Ssrc;

/// Most packets that one feedback may speak of. Run lengths make 20 bytes stand for 65,535
/// packets; no sender remembers as many, so longer ones are refused to bound the work.
pub(super) const MAX_STATUSES: u16 = 8_192;

/// One transport feedback packet.
#[derive(Debug, Clone, Copy)]
pub struct TransportFeedback<'a> {
    pub sender: Ssrc,
    pub media: Ssrc,
    pub base_sequence: u16,
    /// How many sequence numbers the feedback speaks of, from `base_sequence` on.
    pub packet_count: u16,
    /// Time that the first delta counts from, in units of 64 ms of the receiver's clock; wraps
    /// at 24 bits.
    pub reference_time: i32,
    pub feedback_count: u8,
    /// Status chunks, then deltas.
    content: &'a [u8],
}

impl<'a> TransportFeedback<'a> {
    pub(super) fn parse(content: &'a [u8]) -> Option<Self> {
        let (sender, media, rest) = split_feedback_header(content)?;
        let (base_sequence, rest) = rest.split_first_chunk()?;
        let (packet_count, rest) = rest.split_first_chunk()?;
        let (&[high, middle, low, feedback_count], content) = rest.split_first_chunk()?;
        let packet_count = u16::from_be_bytes(*packet_count);
        if packet_count > MAX_STATUSES {
            return None;
        }
        Some(Self {
            sender,
            media,
            base_sequence: u16::from_be_bytes(*base_sequence),
            packet_count,
            reference_time: i32::from_be_bytes([high, middle, low, 0]) >> 8,
            feedback_count,
            content,
        })
    }

    /// Iterates over `(sequence number, delta)`: the arrival's distance from the one before, in
    /// units of 250 µs, or `None` for a packet that has not arrived. Ends early where statuses or
    /// deltas are missing.
    pub fn statuses(&self) -> PacketStatuses<'a> {
        self.statuses_of(self.base_sequence, self.packet_count)
    }

    /// As [`Self::statuses`], for whoever knows only the `len` packets from `first` on. Runs of other
    /// packets that have not arrived are skipped: two bytes stand for thousands of them.
    pub fn statuses_of(&self, first: u16, len: u16) -> PacketStatuses<'a> {
        let (chunks, _) = self.content.as_chunks::<2>();
        let mut covered = 0;
        let mut used = 0;
        for chunk in chunks {
            if covered >= u32::from(self.packet_count) {
                break;
            }
            covered += u32::from(Chunk::read(*chunk).symbols);
            used += 1;
        }
        let (chunks, _) = chunks.split_at(used);
        PacketStatuses {
            chunks,
            deltas: self.content.get(used * 2..).unwrap_or_default(),
            chunk: Chunk::EMPTY,
            next: self.base_sequence,
            left: self.packet_count,
            first,
            len,
        }
    }
}

/// A status chunk while its symbols are taken.
#[derive(Debug, Clone, Copy)]
struct Chunk {
    /// How many symbols are left.
    symbols: u16,
    kind: ChunkKind,
}

#[derive(Debug, Clone, Copy)]
enum ChunkKind {
    /// The same symbol throughout.
    Run(u8),
    /// One bit for each symbol, the next one topmost.
    OneBit(u16),
    /// Two bits for each symbol.
    TwoBits(u16),
}

impl Chunk {
    const EMPTY: Self = Self {
        symbols: 0,
        kind: ChunkKind::Run(0),
    };

    fn read(bytes: [u8; 2]) -> Self {
        let word = u16::from_be_bytes(bytes);
        if word & 0x8000 == 0 {
            Self {
                symbols: word & 0x1fff,
                kind: ChunkKind::Run((word >> 13) as u8 & 3),
            }
        } else if word & 0x4000 == 0 {
            Self {
                symbols: 14,
                kind: ChunkKind::OneBit(word << 2),
            }
        } else {
            Self {
                symbols: 7,
                kind: ChunkKind::TwoBits(word << 2),
            }
        }
    }

    /// Nothing of it has arrived: it has no deltas.
    fn is_missing_run(&self) -> bool {
        matches!(self.kind, ChunkKind::Run(0 | 3))
    }

    fn take(&mut self) -> Option<u8> {
        self.symbols = self.symbols.checked_sub(1)?;
        Some(match &mut self.kind {
            ChunkKind::Run(symbol) => *symbol,
            ChunkKind::OneBit(bits) => {
                let symbol = (*bits >> 15) as u8;
                *bits <<= 1;
                symbol
            }
            ChunkKind::TwoBits(bits) => {
                let symbol = (*bits >> 14) as u8;
                *bits <<= 2;
                symbol
            }
        })
    }
}

/// See [`TransportFeedback::statuses`].
#[derive(Debug, Clone)]
pub struct PacketStatuses<'a> {
    chunks: &'a [[u8; 2]],
    deltas: &'a [u8],
    chunk: Chunk,
    next: u16,
    left: u16,
    /// The packets that are of interest.
    first: u16,
    len: u16,
}

impl PacketStatuses<'_> {
    fn symbol(&mut self) -> Option<u8> {
        self.fill_chunk()?;
        self.chunk.take()
    }

    fn fill_chunk(&mut self) -> Option<()> {
        while self.chunk.symbols == 0 {
            let (first, rest) = self.chunks.split_first()?;
            self.chunks = rest;
            self.chunk = Chunk::read(*first);
        }
        Some(())
    }

    /// Passes over a run of packets that have not arrived and are of no interest. `None` if nothing of
    /// interest follows.
    fn skip(&mut self) -> Option<()> {
        while self.next.wrapping_sub(self.first) >= self.len {
            let distance = self.first.wrapping_sub(self.next);
            if distance >= self.left {
                return None;
            }
            self.fill_chunk()?;
            if !self.chunk.is_missing_run() {
                return Some(());
            }
            let skipped = self.chunk.symbols.min(distance);
            self.chunk.symbols -= skipped;
            self.next = self.next.wrapping_add(skipped);
            self.left -= skipped;
        }
        Some(())
    }

    fn delta(&mut self, symbol: u8) -> Option<Option<i16>> {
        Some(match symbol {
            1 => {
                let (&small, rest) = self.deltas.split_first()?;
                self.deltas = rest;
                Some(i16::from(small))
            }
            2 => {
                let (large, rest) = self.deltas.split_first_chunk()?;
                self.deltas = rest;
                Some(i16::from_be_bytes(*large))
            }
            // 0 is "not received"; 3 is reserved and has no delta.
            _ => None,
        })
    }
}

impl Iterator for PacketStatuses<'_> {
    type Item = (u16, Option<i16>);

    fn next(&mut self) -> Option<Self::Item> {
        self.skip()?;
        self.left = self.left.checked_sub(1)?;
        let symbol = self.symbol()?;
        let delta = self.delta(symbol)?;
        let sequence = self.next;
        self.next = sequence.wrapping_add(1);
        Some((sequence, delta))
    }
}
