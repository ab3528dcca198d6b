//! Sequence numbers without the packets that are left out on purpose, and continuous over switches of
//! the source. Reception leaves out what is of no use to anybody, such as padding; towards each
//! subscriber the layers are left out that it does not get.
//!
//! Inside one stretch of one layer the numbers are shifted by a constant, so that loss and
//! reordering on the way in look the same on the way out. A packet that is left out moves what
//! comes after it one number down; the places are remembered, so that a packet that comes late is
//! still shifted by what was left out before it, not after. A switch starts a new stretch right
//! after the highest number that has been used.

use std::collections::VecDeque;

use crate::srtp::SendStream;

/// A larger step ahead is closed up: a receiver guesses the SRTP rollover counter from the distance
/// to the last number it saw (RFC 3711, section 3.3.1) and would lose it.
const MAX_STEP: u64 = 2_000;
/// Runs of left-out packets that are remembered: two seconds at 30 frames a second. What is older
/// than the oldest one is not sent any more.
const MAX_EXCLUSIONS: usize = 64;

/// Where a packet goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapped {
    /// Outgoing number with its rollovers.
    pub out: u64,
    /// Pictures left out since the last switch and before this packet, modulo 2^16.
    pub pictures_left_out: u16,
}

/// What holds from some source number on.
#[derive(Debug, Clone, Copy, Default)]
struct Shift {
    /// Outgoing minus source number.
    numbers: i64,
    pictures: u16,
}

/// A run of source numbers that are not sent, and what holds behind it.
#[derive(Debug, Clone, Copy)]
struct Exclusion {
    first: u64,
    end: u64,
    after: Shift,
}

/// Whose numbers are given out.
pub trait Numbers {
    /// The next number that has never been used.
    fn next(&self) -> u64;

    /// Every number up to this one counts as used.
    fn reach(&mut self, number: u64);
}

impl Numbers for SendStream {
    #[inline]
    fn next(&self) -> u64 {
        SendStream::next(self)
    }

    #[inline]
    fn reach(&mut self, number: u64) {
        SendStream::reach(self, number);
    }
}

/// Numbers that nothing is encrypted under.
#[derive(Debug)]
pub struct PlainNumbers {
    next: u64,
}

impl PlainNumbers {
    pub fn from(next: u64) -> Self {
        Self { next }
    }
}

impl Numbers for PlainNumbers {
    fn next(&self) -> u64 {
        self.next
    }

    fn reach(&mut self, number: u64) {
        self.next = self.next.max(number + 1);
    }
}

/// Extended source numbers to the extended numbers of one stream: towards a subscriber those of its
/// send stream.
#[derive(Debug)]
pub struct SequenceMap<N = SendStream> {
    /// Before the oldest exclusion.
    shift: Shift,
    /// In order; allocated with the first one.
    exclusions: VecDeque<Exclusion>,
    /// First source number of this stretch: what comes before belongs to another one.
    first_source: u64,
    /// Highest source number of this stretch that has been mapped, plus one.
    mapped_end: u64,
    stream: N,
    started: bool,
}

impl<N: Numbers> SequenceMap<N> {
    pub fn new(stream: N) -> Self {
        Self {
            shift: Shift::default(),
            exclusions: VecDeque::new(),
            first_source: 0,
            mapped_end: 0,
            stream,
            started: false,
        }
    }

    /// Begins a new stretch at `source`, which goes out right after all that went before. The
    /// count of pictures starts again.
    pub fn start(&mut self, source: u64) {
        self.restart(source, 0);
    }

    /// Where this stretch began.
    pub fn first_source(&self) -> u64 {
        self.first_source
    }

    /// Where `source` goes, or `None` if it lies before the stretch or has been left out.
    pub fn map(&mut self, source: u64) -> Option<Mapped> {
        let mut shift = self.shift_at(source)?;
        let mut out = source.checked_add_signed(shift.numbers)?;
        let next = self.stream.next();
        if out > next + MAX_STEP {
            // One number stays unused, so that the receiver still sees a loss.
            self.stream.reach(next);
            self.restart(source, shift.pictures);
            shift = self.shift;
            out = next + 1;
        }
        self.stream.reach(out);
        self.mapped_end = self.mapped_end.max(source + 1);
        Some(Mapped {
            out,
            pictures_left_out: shift.pictures,
        })
    }

    /// Leaves `source` out. What follows closes up, unless something that follows has been sent
    /// already: then its number stays unused, which `false` tells. `new_picture`: it is the first
    /// packet of its picture that is left out.
    pub fn exclude(&mut self, source: u64, new_picture: bool) -> bool {
        let Some(before) = self.shift_at(source) else {
            return true;
        };
        if source < self.mapped_end.max(self.first_source) {
            return false;
        }
        let at = self.exclusions.partition_point(|e| e.first <= source);
        let after = Shift {
            numbers: before.numbers - 1,
            pictures: before.pictures.wrapping_add(u16::from(new_picture)),
        };
        for later in self.exclusions.iter_mut().skip(at) {
            later.after.numbers -= 1;
            later.after.pictures = later.after.pictures.wrapping_add(u16::from(new_picture));
        }
        let run = at.checked_sub(1).and_then(|i| self.exclusions.get_mut(i));
        if let Some(run) = run.filter(|run| run.end == source) {
            run.end = source + 1;
            run.after = after;
            return true;
        }
        if self.exclusions.capacity() == 0 {
            self.exclusions.reserve_exact(MAX_EXCLUSIONS + 1);
        }
        let exclusion = Exclusion {
            first: source,
            end: source + 1,
            after,
        };
        self.exclusions.insert(at, exclusion);
        if self.exclusions.len() > MAX_EXCLUSIONS
            && let Some(oldest) = self.exclusions.pop_front()
        {
            self.first_source = oldest.end;
            self.shift = oldest.after;
        }
        true
    }

    /// Whether something behind `source` has been mapped: its own number is seen to be missing.
    pub fn is_behind(&self, source: u64) -> bool {
        source < self.mapped_end
    }

    /// The source number that is mapped to `out` in this stretch.
    pub fn source_of(&self, out: u64) -> Option<u64> {
        let of = |shift: &Shift| out.checked_add_signed(-shift.numbers);
        let newest_first = self.exclusions.iter().rev();
        let behind_one = newest_first.map(|it| (it.end, &it.after));
        behind_one
            .chain([(self.first_source, &self.shift)])
            .find_map(|(from, shift)| of(shift).filter(|source| *source >= from))
    }

    /// The highest number used so far, if any packet has been mapped.
    pub fn highest(&self) -> Option<u64> {
        self.started.then(|| self.stream.next().saturating_sub(1))
    }

    /// What the numbers belong to.
    pub fn stream(&self) -> &N {
        &self.stream
    }

    fn restart(&mut self, source: u64, pictures: u16) {
        self.first_source = source;
        self.mapped_end = source;
        self.exclusions.clear();
        self.shift = Shift {
            numbers: self.stream.next() as i64 - source as i64,
            pictures,
        };
        self.started = true;
    }

    /// What holds at `source`; `None` if it is not to be sent. Looks from the newest back, where
    /// nearly every packet belongs.
    fn shift_at(&self, source: u64) -> Option<Shift> {
        if !self.started || source < self.first_source {
            return None;
        }
        match self.exclusions.iter().rev().find(|e| e.first <= source) {
            Some(exclusion) if source < exclusion.end => None,
            Some(exclusion) => Some(exclusion.after),
            None => Some(self.shift),
        }
    }
}

#[cfg(test)]
#[path = "sequence_tests.rs"]
mod tests;
