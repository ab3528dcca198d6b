//! The receive window that a peer is told (RFC 9260, section 3.3.4), and what comes beyond it.
//!
//! Messages that were read but may not be passed on yet still occupy the window, which the SCTP
//! stack does not know: they are taken off each SACK on its way out. When they have gone, the last
//! SACK is sent once more with the new window, so that the peer need not probe for it. Left in the
//! stack instead, a window full of one-byte messages would cost it a hundred times the window.

use bytes::Bytes;

const COMMON_HEADER: usize = 12;
const CHUNK_HEADER: usize = 4;
const CHUNK_DATA: u8 = 0;
const CHUNK_SACK: u8 = 3;
const CHUNK_I_DATA: u8 = 64;
/// Where a SACK that comes first in its packet has the window.
const CREDIT: std::ops::Range<usize> = COMMON_HEADER + 8..COMMON_HEADER + 12;
/// The peer is told when its window has grown by this much.
const STEP: usize = 64 * 1_024;

/// What a peer believes of its window.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// The last SACK, as the stack made it, and how much was taken off its window.
    told: Option<(Bytes, usize)>,
    /// The last packet with data beyond the window: taken when there is room, it saves the peer the
    /// wait for its timer.
    refused: Option<Bytes>,
}

impl Window {
    /// Adapts a packet of the stack's: `withheld` bytes of the window are in use.
    pub(super) fn outgoing(&mut self, packet: Bytes, withheld: usize) -> Bytes {
        if packet.get(COMMON_HEADER) != Some(&CHUNK_SACK) || packet.len() < CREDIT.end {
            return packet;
        }
        if withheld == 0 {
            self.told = None;
            return packet;
        }
        let adapted = with_less_credit(&packet, withheld);
        self.told = Some((packet, withheld));
        adapted
    }

    /// The packet that announces a window which has opened again, if it has.
    pub(super) fn update(&mut self, withheld: usize) -> Option<Bytes> {
        let (sack, before) = self.told.as_mut()?;
        if withheld > 0 && withheld + STEP > *before {
            return None;
        }
        *before = withheld;
        let adapted = with_less_credit(sack, withheld);
        if withheld == 0 {
            self.told = None;
        }
        Some(adapted)
    }

    /// Keeps a packet's data out. Returns what else the packet brings, if anything.
    pub(super) fn refuse(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        let mut rest = packet.get(..COMMON_HEADER)?.to_vec();
        let mut has_data = false;
        let mut chunks = &packet[COMMON_HEADER..];
        while let Some(header) = chunks.first_chunk::<CHUNK_HEADER>() {
            let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
            let padded = length.next_multiple_of(4).min(chunks.len());
            if padded < CHUNK_HEADER {
                break;
            }
            match header[0] {
                CHUNK_DATA | CHUNK_I_DATA => has_data = true,
                _ => rest.extend_from_slice(&chunks[..padded]),
            }
            chunks = &chunks[padded..];
        }
        if !has_data {
            return Some(packet.to_vec());
        }
        self.refused = Some(Bytes::copy_from_slice(packet));
        if rest.len() == COMMON_HEADER {
            return None;
        }
        seal(&mut rest);
        Some(rest)
    }

    /// What was refused last, now that there is room.
    pub(super) fn take_refused(&mut self) -> Option<Bytes> {
        self.refused.take()
    }
}

fn with_less_credit(sack: &Bytes, withheld: usize) -> Bytes {
    let mut packet = sack.to_vec();
    if let Some(credit) = packet.get(CREDIT).and_then(|c| c.first_chunk::<4>()) {
        let less = u32::try_from(withheld).unwrap_or(u32::MAX);
        let credit = u32::from_be_bytes(*credit).saturating_sub(less);
        packet[CREDIT].copy_from_slice(&credit.to_be_bytes());
        seal(&mut packet);
    }
    packet.into()
}

/// Writes the checksum (RFC 9260, appendix A).
fn seal(packet: &mut [u8]) {
    packet[8..COMMON_HEADER].fill(0);
    let mut crc = !0_u32;
    for byte in packet.iter() {
        crc = CRC32C[usize::from(crc as u8 ^ byte)] ^ (crc >> 8);
    }
    packet[8..COMMON_HEADER].copy_from_slice(&(!crc).to_le_bytes());
}

const CRC32C: [u32; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut value = index as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 {
                value >> 1 ^ 0x82f6_3b78
            } else {
                value >> 1
            };
            bit += 1;
        }
        table[index] = value;
        index += 1;
    }
    table
};
