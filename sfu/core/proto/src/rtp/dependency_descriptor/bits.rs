//! Fields of any number of bits, and the non-symmetric code of the AV1 RTP specification
//! (appendix A.8.2).

/// Reads from the highest bit of the first byte on.
#[derive(Debug, Clone)]
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// `None` at the end of the bytes.
    pub(super) fn flag(&mut self) -> Option<bool> {
        let byte = *self.bytes.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Some(bit == 1)
    }

    /// An unsigned number of `count` bits, at most 32.
    pub(super) fn number(&mut self, count: u32) -> Option<u32> {
        let mut value = 0;
        for _ in 0..count.min(32) {
            value = value << 1 | u32::from(self.flag()?);
        }
        Some(value)
    }

    /// ns(`values`): one of 0 to `values` - 1, in as few bits as it takes.
    pub(super) fn non_symmetric(&mut self, values: u32) -> Option<u32> {
        let width = u32::BITS - values.leading_zeros();
        if width == 0 {
            return Some(0);
        }
        let short_codes = (1_u32 << width) - values;
        let value = self.number(width - 1)?;
        if value < short_codes {
            return Some(value);
        }
        let extra = u32::from(self.flag()?);
        Some((value << 1) - short_codes + extra)
    }
}
