//! Opening what arrives on a transport: authentication, rollover counters and replay windows.
//!
//! Nothing is remembered of a packet that is not authentic. The rollover counter is not on the wire
//! (RFC 3711, section 3.3.1): it is guessed from the highest index so far. Where that guess is
//! doubtful, which is at a source's first packet and after a gap of thousands, a few counters are
//! tried; the tag tells which is right.

use super::replay::ReplayWindow;
use super::{Cipher, MAX_RTCP_INDEX, RTCP_HEADER_LEN, RTP_HEADER_LEN, SrtpError, ssrc_of_rtcp};
use crate::api::Ssrc;
use crate::rtp;

/// Sources that one transport may send from. More are an attack on memory, or a broken peer.
pub const MAX_SOURCES: usize = 96;

/// Sources that have ended of which the highest index is still known: they cannot be replayed, and go
/// on where they were should they come back. Past so many the one that ended first is forgotten.
const MAX_RETIRED: usize = 512;

/// Rollover counters tried for a source that has not been heard before: 0 for a stream that just
/// started, more for one whose beginning never arrived.
const FIRST_ROLLOVERS: u64 = 4;

/// A step from the highest index beyond which the guess gets an alternative.
const DOUBTFUL_STEP: u64 = 4_096;

/// Longest packet for which several counters are tried, as that takes a copy.
const MAX_TRIED_LEN: usize = 2_048;

/// The receiving half of a transport's SRTP session.
pub struct Inbound {
    cipher: Cipher,
    rtp: Sources,
    rtcp: Sources,
}

impl Inbound {
    pub(super) fn new(cipher: Cipher) -> Self {
        Self {
            cipher,
            rtp: Sources::default(),
            rtcp: Sources::default(),
        }
    }

    /// Takes more sources than [`MAX_SOURCES`]: a client hears everybody on one transport.
    pub fn allow_sources(&mut self, max_sources: usize) {
        self.rtp.max = max_sources;
        self.rtcp.max = max_sources;
    }

    /// Makes room for other sources: of those that have ended only the highest index is kept.
    pub fn retire(&mut self, has_ended: impl Fn(Ssrc) -> bool) {
        self.rtp.retire(&has_ended);
        self.rtcp.retire(&has_ended);
    }

    /// Authenticates and decrypts an SRTP packet in place, and returns the length of the header and
    /// the plain payload (padding included) together. `header` is what `packet` parses to.
    ///
    /// On error the packet's bytes are worthless, and the session is as it was.
    pub fn unprotect_rtp(
        &mut self,
        packet: &mut [u8],
        header: &rtp::Header,
    ) -> Result<usize, SrtpError> {
        let header_len = header.header_len.max(RTP_HEADER_LEN);
        let plain_len = packet
            .len()
            .checked_sub(self.cipher.tag_len())
            .filter(|len| *len >= header_len)
            .ok_or(SrtpError::TooShort)?;
        self.cipher.expand_rtp_key()?;
        let ssrc = header.ssrc.0;
        let position = self.rtp.position(ssrc)?;
        let candidates = match self.rtp.highest(position) {
            Some(highest) => Candidates::after(highest, header.sequence),
            None => Candidates::first(header.sequence),
        };
        let index = self.open_rtp(packet, header_len, ssrc, candidates, position)?;
        self.rtp.accept(position, ssrc, index);
        Ok(plain_len)
    }

    /// Tries `candidates` in order and returns the index that fits.
    fn open_rtp(
        &self,
        packet: &mut [u8],
        header_len: usize,
        ssrc: u32,
        candidates: Candidates,
        position: Position,
    ) -> Result<u64, SrtpError> {
        let is_new = |index: &u64| self.rtp.is_new(position, *index);
        let mut fresh = candidates.into_iter().filter(is_new);
        let first = fresh.next().ok_or(SrtpError::Replay)?;
        let Some(second) = fresh.next() else {
            self.open_rtp_as(packet, header_len, ssrc, first)?;
            return Ok(first);
        };
        let mut copy = [0; MAX_TRIED_LEN];
        let copy = copy.get_mut(..packet.len()).ok_or(SrtpError::TooLong)?;
        copy.copy_from_slice(packet);
        for index in [first, second].into_iter().chain(fresh) {
            packet.copy_from_slice(copy);
            if self.open_rtp_as(packet, header_len, ssrc, index).is_ok() {
                return Ok(index);
            }
        }
        Err(SrtpError::Authentication)
    }

    fn open_rtp_as(
        &self,
        packet: &mut [u8],
        header_len: usize,
        ssrc: u32,
        index: u64,
    ) -> Result<(), SrtpError> {
        match &self.cipher {
            Cipher::Gcm(gcm) => gcm.open_rtp(packet, header_len, ssrc, index),
            Cipher::Cm(cm) => cm.open_rtp(packet, header_len, ssrc, index),
        }
    }

    /// Authenticates and decrypts a compound SRTCP packet in place and returns its plain length.
    ///
    /// A packet that is not encrypted is refused (RFC 8827, section 6.5). On error the packet's bytes
    /// are worthless, and the session is as it was.
    pub fn unprotect_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, SrtpError> {
        let plain_len = packet
            .len()
            .checked_sub(self.cipher.tag_len() + 4)
            .filter(|len| *len >= RTCP_HEADER_LEN)
            .ok_or(SrtpError::TooShort)?;
        let word = self.cipher.rtcp_index_word(packet)?;
        let index = u64::from(word & MAX_RTCP_INDEX);
        if word == word & MAX_RTCP_INDEX {
            return Err(SrtpError::NotEncrypted);
        }
        let ssrc = ssrc_of_rtcp(packet)?;
        let position = self.rtcp.position(ssrc)?;
        if !self.rtcp.is_new(position, index) {
            return Err(SrtpError::Replay);
        }
        match &self.cipher {
            Cipher::Gcm(gcm) => gcm.open_rtcp(packet, word)?,
            Cipher::Cm(cm) => cm.open_rtcp(packet, word)?,
        }
        self.rtcp.accept(position, ssrc, index);
        Ok(plain_len)
    }

    #[cfg(test)]
    pub(super) fn set_rtp_source(&mut self, ssrc: u32, highest: u64) {
        let position = self.rtp.position(ssrc).unwrap();
        self.rtp.accept(position, ssrc, highest);
    }
}

/// Where a source is in `Sources`, or where it would go.
#[derive(Debug, Clone, Copy)]
enum Position {
    Known(usize),
    Free(usize),
    /// Free, of a source that has been heard before up to index `highest`.
    Retired {
        free: usize,
        highest: u64,
    },
}

/// The sources that are heard, at most `max`, by SSRC; and those that have been.
struct Sources {
    windows: Vec<(u32, ReplayWindow)>,
    /// SSRC and highest index, longest ago first.
    retired: Vec<(u32, u64)>,
    max: usize,
}

impl Default for Sources {
    fn default() -> Self {
        Self {
            windows: Vec::new(),
            retired: Vec::new(),
            max: MAX_SOURCES,
        }
    }
}

impl Sources {
    fn position(&self, ssrc: u32) -> Result<Position, SrtpError> {
        match self.windows.binary_search_by_key(&ssrc, |(key, _)| *key) {
            Ok(at) => Ok(Position::Known(at)),
            Err(_) if self.windows.len() >= self.max => Err(SrtpError::TooManySources),
            Err(free) => {
                let retired = self.retired.iter().find(|(key, _)| *key == ssrc);
                Ok(
                    retired.map_or(Position::Free(free), |(_, highest)| Position::Retired {
                        free,
                        highest: *highest,
                    }),
                )
            }
        }
    }

    fn highest(&self, position: Position) -> Option<u64> {
        match position {
            Position::Known(at) => Some(self.windows[at].1.highest()),
            Position::Retired { highest, .. } => Some(highest),
            Position::Free(_) => None,
        }
    }

    fn is_new(&self, position: Position, index: u64) -> bool {
        match position {
            Position::Known(at) => self.windows[at].1.is_new(index),
            Position::Retired { highest, .. } => index > highest,
            Position::Free(_) => true,
        }
    }

    /// Takes note of an authentic packet.
    fn accept(&mut self, position: Position, ssrc: u32, index: u64) {
        if self.windows.is_empty() {
            // Who only watches has one, for its reports.
            self.windows.reserve_exact(1);
        }
        match position {
            Position::Known(at) => self.windows[at].1.accept(index),
            Position::Free(at) => self
                .windows
                .insert(at, (ssrc, ReplayWindow::starting_with(index))),
            Position::Retired { free, highest } => {
                let mut window = ReplayWindow::behind(highest);
                window.accept(index);
                self.windows.insert(free, (ssrc, window));
                self.retired.retain(|(key, _)| *key != ssrc);
            }
        }
    }

    fn retire(&mut self, has_ended: impl Fn(Ssrc) -> bool) {
        let ended = self
            .windows
            .extract_if(.., |(ssrc, _)| has_ended(Ssrc(*ssrc)));
        let ended = ended.map(|(ssrc, window)| (ssrc, window.highest()));
        self.retired.extend(ended);
        let surplus = self.retired.len().saturating_sub(MAX_RETIRED);
        self.retired.drain(..surplus);
    }
}

/// Packet indices that a sequence number may stand for, the likeliest first.
#[derive(Debug, Clone, Copy)]
struct Candidates {
    next: u64,
    left: u64,
}

impl Candidates {
    fn first(sequence: u16) -> Self {
        Self {
            next: u64::from(sequence),
            left: FIRST_ROLLOVERS,
        }
    }

    /// RFC 3711, section 3.3.1: the index nearest to the highest one. If it is far away, the same
    /// sequence number one rollover later comes second.
    fn after(highest: u64, sequence: u16) -> Self {
        const LAST: u64 = (1 << 48) - 1;
        let step = sequence.wrapping_sub(highest as u16) as i16;
        let (next, left) = match highest.checked_add_signed(i64::from(step)) {
            Some(nearest) if step.unsigned_abs() as u64 <= DOUBTFUL_STEP => (nearest, 1),
            Some(nearest) => (nearest, 2),
            None => (u64::from(sequence), 1),
        };
        // The index has 48 bits: beyond them the keys are used up.
        let left = if next > LAST {
            0
        } else {
            left.min(1 + ((LAST - next) >> 16))
        };
        Self { next, left }
    }
}

impl Iterator for Candidates {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        self.left = self.left.checked_sub(1)?;
        let index = self.next;
        self.next += 1 << 16;
        Some(index)
    }
}
