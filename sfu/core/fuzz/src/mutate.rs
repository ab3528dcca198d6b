//! Deterministic mutations, for runs that have to end the same every time. libFuzzer has its own.

/// splitmix64.
#[derive(Debug)]
pub struct Random(pub u64);

impl Random {
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// 0 to `end` - 1; 0 if there is nothing to choose from.
    pub fn below(&mut self, end: usize) -> usize {
        self.number().checked_rem(end as u64).unwrap_or(0) as usize
    }
}

/// Values at which lengths and counters turn over.
const EDGES: [u8; 8] = [0, 1, 0x0f, 0x10, 0x7f, 0x80, 0xfe, 0xff];

/// Changes `bytes` in one to four places. `other` is a seed to take parts from.
pub fn mutate(random: &mut Random, bytes: &mut Vec<u8>, other: &[u8], max_len: usize) {
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len());
        match random.below(7) {
            0 => bytes.truncate(at),
            1 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
            2 if !bytes.is_empty() => bytes[at] = EDGES[random.below(EDGES.len())],
            3 if !bytes.is_empty() => {
                bytes[at] = bytes[at]
                    .wrapping_add(random.below(9) as u8)
                    .wrapping_sub(4)
            }
            4 => bytes.insert(at, random.number() as u8),
            5 => {
                let end = at + random.below(bytes.len() - at);
                bytes.drain(at..end);
            }
            _ => {
                let from = random.below(other.len());
                let part = &other[from..from + random.below(other.len() - from)];
                bytes.splice(at..at, part.iter().copied());
            }
        }
    }
    bytes.truncate(max_len);
}
