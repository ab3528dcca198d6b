//! Send streams: what keeps a nonce from being used for two packets.
//!
//! A nonce is made of SSRC and packet index (sequence number and rollover counter; RFC 7714, section
//! 8.1). A [`SendStream`] is opened once per SSRC in the life of a transport's keys and owns its
//! numbers from then on: media has one and its retransmissions have another, whatever track they come
//! from. Packets are protected only under a [`PacketIndex`], which nothing but a stream gives.

use super::SrtpError;
use crate::api::Ssrc;

/// A stream's first number is below this, so that both sides agree on rollover counter 0.
const FIRST_NUMBERS: u16 = 0x8000;

/// The SSRCs that have been used under one transport's keys. A transport has one set of keys in its
/// life: it outlives ICE restarts and ends with its DTLS session.
#[derive(Debug, Default)]
pub struct SendStreams {
    /// Sorted. Four bytes for each stream ever, and a client spends an offer and an answer on one.
    used: Vec<u32>,
}

impl SendStreams {
    /// Opens the stream of an SSRC that has never been used before. `first` is its first sequence
    /// number, modulo 2^15.
    ///
    /// Fails with `SsrcUsed` for any other, also when its stream ended long ago.
    pub fn open(&mut self, ssrc: Ssrc, first: u16) -> Result<SendStream, SrtpError> {
        match self.used.binary_search(&ssrc.0) {
            Ok(_) => Err(SrtpError::SsrcUsed),
            Err(place) => {
                self.used.insert(place, ssrc.0);
                Ok(SendStream {
                    ssrc,
                    next: u64::from(first % FIRST_NUMBERS),
                })
            }
        }
    }
}

/// The numbers of one SSRC under one set of keys. Neither copied nor cloned.
#[derive(Debug)]
pub struct SendStream {
    /// The next number that has never been used, with its rollovers.
    next: u64,
    ssrc: Ssrc,
}

impl SendStream {
    pub fn ssrc(&self) -> Ssrc {
        self.ssrc
    }

    /// The next number that has never been used.
    #[inline]
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Uses the next number.
    pub fn take(&mut self) -> PacketIndex {
        let number = self.next;
        self.next += 1;
        PacketIndex {
            number,
            ssrc: self.ssrc,
        }
    }

    /// Every number up to this one counts as used: those left out are losses, or come late.
    #[inline]
    pub fn reach(&mut self, number: u64) {
        self.next = self.next.max(number + 1);
    }

    /// A number that the stream has reached, for a packet that comes late or the same packet again.
    #[inline]
    pub fn index_of(&self, number: u64) -> Option<PacketIndex> {
        (number < self.next).then_some(PacketIndex {
            number,
            ssrc: self.ssrc,
        })
    }
}

/// What a packet is encrypted under: its SSRC, sequence number and rollover counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacketIndex {
    number: u64,
    ssrc: Ssrc,
}

impl PacketIndex {
    pub fn ssrc(self) -> Ssrc {
        self.ssrc
    }

    pub fn sequence(self) -> u16 {
        self.number as u16
    }

    /// How often the sequence number has wrapped.
    pub fn rollover(self) -> u32 {
        (self.number >> 16) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ssrc_is_used_once_under_the_same_keys() {
        let mut streams = SendStreams::default();
        let mut numbers = Vec::new();
        for ssrc in [7, 3, u32::MAX, 5].map(Ssrc) {
            numbers.push(streams.open(ssrc, 9).unwrap().take());
            assert_eq!(streams.open(ssrc, 10).err(), Some(SrtpError::SsrcUsed));
        }
        assert!(numbers.iter().all(|it| it.sequence() == 9));
        let other_keys = SendStreams::default().open(Ssrc(7), 9);
        assert!(other_keys.is_ok());
    }

    #[test]
    fn a_number_is_given_once_and_late_ones_only_below_it() {
        let mut stream = SendStreams::default().open(Ssrc(1), 0xffff).unwrap();
        assert_eq!(stream.take().sequence(), 0x7fff, "rollover counter 0");
        assert_eq!(stream.index_of(0x8000), None, "not reached yet");
        stream.reach(0x1_0002);
        let late = stream.index_of(0x1_0001).unwrap();
        assert_eq!((late.sequence(), late.rollover()), (1, 1));
        stream.reach(5);
        let next = stream.take();
        assert_eq!((next.sequence(), next.rollover()), (3, 1));
    }
}
