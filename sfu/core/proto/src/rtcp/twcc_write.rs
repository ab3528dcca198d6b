//! Transport-wide congestion control feedback, the writing side
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01, section 3.1).

use super::twcc::MAX_STATUSES;
use super::write::{packet, ssrc};
use super::{FORMAT_TRANSPORT_CC, TRANSPORT_LAYER_FEEDBACK};
use crate::api::Ssrc;

/// Bytes of status chunks and deltas after which a feedback ends, so that it fits a datagram
/// behind a report.
const FULL: usize = 1_000;
/// Most bytes that one more packet adds: its delta, and the chunks that its gap closes.
const MARGIN: usize = 16;
/// The header's padding bit.
const PADDING: u8 = 0x20;
/// Ticks of 250 µs in the reference time's unit of 64 ms.
const TICKS_PER_REFERENCE: i64 = 256;

/// What a feedback says besides the arrivals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransportFeedbackHeader {
    pub sender: Ssrc,
    pub media: Ssrc,
    /// First sequence number, with its rollovers, that the feedback speaks of.
    pub base_sequence: u64,
    /// Counts the feedback packets of a transport; wraps.
    pub feedback_count: u8,
}

impl TransportFeedbackHeader {
    /// Writes one feedback for `arrivals`: `(sequence number with rollovers, arrival in units of
    /// 250 µs since any fixed time)`, ascending by sequence number and none below the base.
    ///
    /// Ends before an arrival that does not fit: a full packet, or a delta beyond 8.19 s. Returns
    /// the sequence number after the last one written, where the next feedback has to start;
    /// `None`, with nothing written, if there are no arrivals.
    pub fn write(
        self,
        out: &mut Vec<u8>,
        arrivals: impl Iterator<Item = (u64, i64)>,
    ) -> Option<u64> {
        let mut arrivals = arrivals.peekable();
        let &(first_sequence, first_ticks) = arrivals.peek()?;
        let mut base = self.base_sequence.min(first_sequence);
        if first_sequence - base >= u64::from(MAX_STATUSES) {
            // The gap is too long to be told in one feedback, and its news too old.
            base = first_sequence;
        }
        let reference = first_ticks.div_euclid(TICKS_PER_REFERENCE);
        let mut next = base;
        let start = out.len();
        let mut padded = false;
        packet(out, TRANSPORT_LAYER_FEEDBACK, FORMAT_TRANSPORT_CC, |out| {
            ssrc(out, self.sender);
            ssrc(out, self.media);
            out.extend_from_slice(&(base as u16).to_be_bytes());
            let count_at = out.len();
            out.extend_from_slice(&[0; 2]);
            let [.., high, middle, low] = reference.to_be_bytes();
            out.extend_from_slice(&[high, middle, low, self.feedback_count]);

            let mut body = Body::new(out, reference * TICKS_PER_REFERENCE);
            for (sequence, ticks) in arrivals {
                if sequence < next {
                    continue;
                }
                if sequence - base >= u64::from(MAX_STATUSES) || !body.add(sequence - next, ticks) {
                    break;
                }
                next = sequence + 1;
            }
            body.finish();
            if let Some(count) = out.get_mut(count_at..count_at + 2) {
                count.copy_from_slice(&((next - base) as u16).to_be_bytes());
            }
            padded = pad(out);
        });
        if padded && let Some(flags) = out.get_mut(start) {
            *flags |= PADDING;
        }
        Some(next)
    }
}

/// Fills up the packet's last word as padding, as libwebrtc does. Returns whether that took any.
fn pad(out: &mut Vec<u8>) -> bool {
    // All other parts of the compound are whole words.
    let padding = out.len().wrapping_neg() % 4;
    if padding > 0 {
        out.extend_from_slice(&[0, 0, 0][..padding - 1]);
        out.push(padding as u8);
    }
    padding > 0
}

/// Chunks, written straight into the packet, and deltas, which have to follow them.
struct Body<'a> {
    chunks: ChunkWriter<'a>,
    deltas: [u8; FULL + MARGIN],
    deltas_len: usize,
    previous: i64,
}

impl<'a> Body<'a> {
    fn new(out: &'a mut Vec<u8>, reference: i64) -> Self {
        Self {
            chunks: ChunkWriter::new(out),
            deltas: [0; FULL + MARGIN],
            deltas_len: 0,
            previous: reference,
        }
    }

    /// Adds `gap` packets that have not arrived and one that has. `false` if it does not fit.
    fn add(&mut self, gap: u64, ticks: i64) -> bool {
        if self.chunks.written() + self.deltas_len > FULL - MARGIN {
            return false;
        }
        let delta = ticks - self.previous;
        let small = u8::try_from(delta);
        let Ok(large) = i16::try_from(delta) else {
            return false;
        };
        for _ in 0..gap {
            self.chunks.add(0);
        }
        let large = large.to_be_bytes();
        let (symbol, bytes): (u8, &[u8]) = match &small {
            Ok(small) => (1, std::slice::from_ref(small)),
            Err(_) => (2, &large),
        };
        self.chunks.add(symbol);
        let end = self.deltas_len + bytes.len();
        self.deltas[self.deltas_len..end].copy_from_slice(bytes);
        self.deltas_len = end;
        self.previous = ticks;
        true
    }

    fn finish(mut self) {
        self.chunks.finish();
        self.chunks
            .out
            .extend_from_slice(&self.deltas[..self.deltas_len]);
    }
}

/// Packs symbols greedily: a run while they are equal, else 14 of one bit, else 7 of two bits.
struct ChunkWriter<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    /// The first symbols that wait; beyond these they are all equal.
    waiting: [u8; 14],
    len: u16,
}

impl<'a> ChunkWriter<'a> {
    const LONGEST_RUN: u16 = 0x1fff;

    fn new(out: &'a mut Vec<u8>) -> Self {
        let start = out.len();
        Self {
            out,
            start,
            waiting: [0; 14],
            len: 0,
        }
    }

    /// Bytes written, and those that wait.
    fn written(&self) -> usize {
        self.out.len() - self.start + 4
    }

    fn waiting(&self) -> &[u8] {
        &self.waiting[..usize::from(self.len).min(14)]
    }

    fn is_run(&self) -> bool {
        self.waiting()
            .iter()
            .all(|&symbol| symbol == self.waiting[0])
    }

    fn add(&mut self, symbol: u8) {
        while !self.accepts(symbol) {
            self.emit(false);
        }
        if let Some(slot) = self.waiting.get_mut(usize::from(self.len)) {
            *slot = symbol;
        }
        self.len += 1;
    }

    /// Whether some chunk can hold what waits and `symbol`.
    fn accepts(&self, symbol: u8) -> bool {
        match self.len {
            0..7 => true,
            7..14 if symbol < 2 && self.waiting().iter().all(|&waiting| waiting < 2) => true,
            len => len < Self::LONGEST_RUN && symbol == self.waiting[0] && self.is_run(),
        }
    }

    /// Writes the chunk that holds most of what waits. Only the last one may have places left, as
    /// they would be counted.
    fn emit(&mut self, last: bool) {
        if self.is_run() {
            let word = u16::from(self.waiting[0]) << 13 | self.len;
            self.out.extend_from_slice(&word.to_be_bytes());
            self.len = 0;
        } else if (self.len == 14 || (last && self.len > 7))
            && self.waiting().iter().all(|&symbol| symbol < 2)
        {
            self.vector(0x8000, 14, 1);
        } else {
            self.vector(0xc000, 7, 2);
        }
    }

    fn vector(&mut self, head: u16, symbols: u16, bits: u16) {
        let taken = symbols.min(self.len);
        let mut word = head;
        for (at, &symbol) in self.waiting().iter().take(usize::from(taken)).enumerate() {
            word |= u16::from(symbol) << (14 - bits * (at as u16 + 1));
        }
        self.out.extend_from_slice(&word.to_be_bytes());
        self.waiting.rotate_left(usize::from(taken));
        self.len -= taken;
    }

    fn finish(&mut self) {
        while self.len > 0 {
            self.emit(true);
        }
    }
}
