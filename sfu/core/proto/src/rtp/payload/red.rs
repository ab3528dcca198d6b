//! Redundant audio (RFC 2198): one payload that carries a frame and copies of earlier ones.
//!
//! Subscribers that have not negotiated it get the primary block by itself. A copy of a frame whose
//! own packet has not arrived takes that packet's place, for every subscriber.

use arrayvec::ArrayVec;

/// Most copies in one packet. Senders put in one or two; Chromium accepts no more than 32 blocks.
pub const MAX_REDUNDANT: usize = 31;

/// Bytes of the header of a redundant block; that of the primary one is a single byte.
const HEADER_LEN: usize = 4;

/// One frame in a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block<'a> {
    pub payload_type: u8,
    /// How much older than the packet it is, in units of the RTP clock; 0 for the primary block.
    pub timestamp_offset: u16,
    pub payload: &'a [u8],
}

/// The blocks of one payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload<'a> {
    pub primary: Block<'a>,
    /// In the order of the packet, which is oldest first.
    pub redundant: ArrayVec<Block<'a>, MAX_REDUNDANT>,
}

/// A lost packet's frame, found in a later packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recovered<'a> {
    /// Extended sequence number of the packet that had it.
    pub sequence: u64,
    pub timestamp: u32,
    pub block: Block<'a>,
}

impl<'a> Payload<'a> {
    /// Reads a payload; `None` if it ends within a header or a block, or has too many of them.
    pub fn parse(payload: &'a [u8]) -> Option<Self> {
        let mut headers: ArrayVec<(u8, u16, usize), MAX_REDUNDANT> = ArrayVec::new();
        let mut rest = payload;
        let primary_type = loop {
            let first = *rest.first()?;
            if first & 0x80 == 0 {
                rest = rest.get(1..)?;
                break first;
            }
            let (header, after) = rest.split_first_chunk::<HEADER_LEN>()?;
            let word = u32::from_be_bytes(*header);
            let offset = (word >> 10 & 0x3fff) as u16;
            let len = (word & 0x3ff) as usize;
            headers.try_push((first & 0x7f, offset, len)).ok()?;
            rest = after;
        };
        let mut redundant = ArrayVec::new();
        for (payload_type, timestamp_offset, len) in headers {
            let (payload, after) = rest.split_at_checked(len)?;
            redundant.push(Block {
                payload_type,
                timestamp_offset,
                payload,
            });
            rest = after;
        }
        Some(Self {
            primary: Block {
                payload_type: primary_type,
                timestamp_offset: 0,
                payload: rest,
            },
            redundant,
        })
    }

    /// The frames of the packets between `previous`, the last one before this one that is held,
    /// and this one; both are given by extended sequence number and timestamp. Oldest first.
    ///
    /// Blocks have no sequence number: theirs follows from the timestamp where frames are equally
    /// long, or where only one is missing. What fits neither is left out.
    pub fn recover(
        &self,
        previous: (u64, u32),
        own: (u64, u32),
    ) -> impl Iterator<Item = Recovered<'a>> {
        let steps = own.0.saturating_sub(previous.0);
        let ticks = u64::from(own.1.wrapping_sub(previous.1));
        let step = ticks.checked_div(steps).unwrap_or(0);
        let is_even = step > 0 && ticks % steps == 0;
        let youngest = self.redundant.last().map_or(0, |it| it.timestamp_offset);
        let blocks = self.redundant.clone().into_iter();
        blocks.filter_map(move |block| {
            let offset = u64::from(block.timestamp_offset);
            if block.payload.is_empty() || offset == 0 || offset >= ticks {
                return None;
            }
            let back = match (steps, is_even) {
                (2, _) if block.timestamp_offset == youngest => 1,
                (_, true) if offset % step == 0 => offset / step,
                _ => return None,
            };
            let sequence = own.0.checked_sub(back).filter(|it| *it > previous.0)?;
            Some(Recovered {
                sequence,
                timestamp: own.1.wrapping_sub(offset as u32),
                block,
            })
        })
    }
}
