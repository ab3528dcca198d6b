//! The VP8 payload descriptor (RFC 7741, section 4.2), read and renumbered in place.
//!
//! When a subscriber is switched to another layer, picture id and TL0PICIDX have to go on from where
//! the old layer left them: decoders take a jump for a loss.

/// A picture id and how it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PictureId {
    pub value: u16,
    /// The 15-bit form, otherwise 7 bits.
    pub is_long: bool,
    /// Offset of its first byte in the payload.
    pub offset: usize,
}

/// TL0PICIDX, the running number of temporal layer 0 frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tl0PicIdx {
    pub value: u8,
    /// Offset in the payload.
    pub offset: usize,
}

/// A parsed descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptor {
    /// Bytes of the descriptor, at most the payload's.
    pub len: usize,
    pub picture_id: Option<PictureId>,
    pub tl0_pic_idx: Option<Tl0PicIdx>,
    pub temporal_id: Option<u8>,
    /// The frame depends on temporal layer 0 only.
    pub layer_sync: bool,
    /// The packet starts the frame: it holds the first bytes of partition 0.
    pub starts_partition_0: bool,
    /// The packet starts a key frame.
    pub key_frame: bool,
}

impl Descriptor {
    /// Returns `None` when `payload` ends within the descriptor, or right after it.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let mut reader = Reader { payload, at: 0 };
        let first = reader.byte()?;
        let flags = if first & 0x80 != 0 { reader.byte()? } else { 0 };
        let picture_id = if flags & 0x80 != 0 {
            Some(reader.picture_id()?)
        } else {
            None
        };
        let tl0_pic_idx = if flags & 0x40 != 0 {
            let offset = reader.at;
            let value = reader.byte()?;
            Some(Tl0PicIdx { value, offset })
        } else {
            None
        };
        let temporal = if flags & 0x30 != 0 { reader.byte()? } else { 0 };
        let has_temporal_id = flags & 0x20 != 0;
        let len = reader.at;
        let frame = payload.get(len..).filter(|frame| !frame.is_empty())?;
        let starts_partition_0 = first & 0x10 != 0 && first & 0x07 == 0;
        Some(Self {
            len,
            picture_id,
            tl0_pic_idx,
            temporal_id: has_temporal_id.then_some(temporal >> 6),
            layer_sync: has_temporal_id && temporal & 0x20 != 0,
            starts_partition_0,
            key_frame: starts_partition_0 && is_key_frame_header(frame),
        })
    }

    /// Replaces picture id and TL0PICIDX of `payload`, which parsed to `self`. A field that the
    /// descriptor does not have stays away; a picture id keeps its width and loses higher bits.
    pub fn patch(&self, payload: &mut [u8], picture_id: Option<u16>, tl0: Option<u8>) {
        if let (Some(place), Some(value)) = (self.picture_id, picture_id) {
            if place.is_long {
                if let Some(bytes) = payload.get_mut(place.offset..place.offset + 2) {
                    bytes.copy_from_slice(&(value | 0x8000).to_be_bytes());
                }
            } else if let Some(byte) = payload.get_mut(place.offset) {
                *byte = (value & 0x7f) as u8;
            }
        }
        if let (Some(place), Some(value)) = (self.tl0_pic_idx, tl0)
            && let Some(byte) = payload.get_mut(place.offset)
        {
            *byte = value;
        }
    }
}

/// RFC 6386, section 9.1: three bytes of frame tag, whose lowest bit is clear in a key frame, then a
/// start code and the dimensions.
fn is_key_frame_header(frame: &[u8]) -> bool {
    frame.len() >= 10 && frame[0] & 0x01 == 0 && frame[3..6] == [0x9d, 0x01, 0x2a]
}

struct Reader<'a> {
    payload: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn byte(&mut self) -> Option<u8> {
        let byte = *self.payload.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn picture_id(&mut self) -> Option<PictureId> {
        let offset = self.at;
        let first = self.byte()?;
        let is_long = first & 0x80 != 0;
        let value = if is_long {
            u16::from_be_bytes([first & 0x7f, self.byte()?])
        } else {
            u16::from(first)
        };
        Some(PictureId {
            value,
            is_long,
            offset,
        })
    }
}
