//! Header extensions (RFC 8285): which identifier means what in a section, and their values.
//!
//! An element that is cut short, of the wrong size or of an unknown identifier is passed over: a peer's
//! odd extension must not cost it its media.

use std::ops::Range;

use super::{ExtensionBlock, Header};
use crate::api::{ExtensionId, ExtensionKind, Mid, Rid};

const KINDS: usize = ExtensionKind::PlayoutDelay as usize + 1;
pub(super) const ONE_BYTE_PROFILE: u16 = 0xbede;
pub(super) const TWO_BYTE_PROFILE: u16 = 0x1000;

/// The identifiers negotiated for a section, in both directions.
#[derive(Debug, Clone)]
pub struct ExtensionMap {
    by_id: [Option<ExtensionKind>; 256],
    by_kind: [Option<u8>; KINDS],
}

/// Audio level of a packet (RFC 6464).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AudioLevelExt {
    /// The encoder believes that it contains speech.
    pub voice: bool,
    /// 0 (loudest) to 127 (silence), in -dBov.
    pub level_dbov: u8,
}

/// Bytes of the absolute capture time, and how many of them are used: 8, or 16 with a clock offset.
pub type AbsCaptureTime = ([u8; 16], u8);

/// What a packet's extensions say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ParsedExtensions {
    pub mid: Option<Mid>,
    pub rid: Option<Rid>,
    pub repaired_rid: Option<Rid>,
    pub audio_level: Option<AudioLevelExt>,
    pub transport_cc: Option<u16>,
    /// 6.18 fixed-point seconds, 24 bits.
    pub abs_send_time: Option<u32>,
    pub abs_capture_time: Option<AbsCaptureTime>,
    /// Where the descriptor is in the packet: its meaning depends on earlier ones.
    pub dependency_descriptor: Option<Range<usize>>,
    pub video_orientation: Option<u8>,
    /// Two 12-bit numbers of 10 ms: minimum and maximum.
    pub playout_delay: Option<[u8; 3]>,
}

impl ExtensionMap {
    /// An identifier or a kind that comes twice keeps its last meaning. Identifier 0 is padding on
    /// the wire and is passed over.
    pub fn new(extensions: &[ExtensionId]) -> Self {
        let mut map = Self {
            by_id: [None; 256],
            by_kind: [None; KINDS],
        };
        for extension in extensions.iter().filter(|extension| extension.id != 0) {
            map.by_id[usize::from(extension.id)] = Some(extension.kind);
            map.by_kind[extension.kind as usize] = Some(extension.id);
        }
        map
    }

    /// The identifier to write an extension of this kind with, if it was negotiated.
    pub fn id(&self, kind: ExtensionKind) -> Option<u8> {
        self.by_kind[kind as usize]
    }

    /// What the identifier stands for.
    pub fn kind(&self, id: u8) -> Option<ExtensionKind> {
        self.by_id[usize::from(id)]
    }

    /// Reads the extensions of `packet`, whose header is `header`.
    pub fn read(&self, packet: &[u8], header: &Header) -> ParsedExtensions {
        let mut parsed = ParsedExtensions::default();
        if let Some(block) = header.extension {
            for (id, range) in Elements::new(packet, block) {
                if let (Some(kind), Some(value)) = (self.kind(id), packet.get(range.clone())) {
                    parsed.take(kind, value, range);
                }
            }
        }
        parsed
    }
}

impl ParsedExtensions {
    fn take(&mut self, kind: ExtensionKind, value: &[u8], range: Range<usize>) {
        match kind {
            ExtensionKind::Mid => self.mid = token(value),
            ExtensionKind::Rid => self.rid = token(value),
            ExtensionKind::RepairedRid => self.repaired_rid = token(value),
            ExtensionKind::AudioLevel => {
                self.audio_level = value.first().map(|byte| AudioLevelExt {
                    voice: byte & 0x80 != 0,
                    level_dbov: byte & 0x7f,
                });
            }
            ExtensionKind::TransportCc => {
                self.transport_cc = value.try_into().ok().map(u16::from_be_bytes);
            }
            ExtensionKind::AbsSendTime => {
                self.abs_send_time = <[u8; 3]>::try_from(value)
                    .ok()
                    .map(|[high, mid, low]| u32::from_be_bytes([0, high, mid, low]));
            }
            ExtensionKind::AbsCaptureTime => self.abs_capture_time = abs_capture_time(value),
            ExtensionKind::DependencyDescriptor => self.dependency_descriptor = Some(range),
            ExtensionKind::VideoOrientation => self.video_orientation = value.first().copied(),
            ExtensionKind::PlayoutDelay => self.playout_delay = value.try_into().ok(),
        }
    }
}

/// Some senders fill a token's place up with zeros.
fn token(value: &[u8]) -> Option<Mid> {
    let end = value.iter().position(|byte| *byte == 0);
    Mid::new(&value[..end.unwrap_or(value.len())])
}

fn abs_capture_time(value: &[u8]) -> Option<AbsCaptureTime> {
    if value.len() != 8 && value.len() != 16 {
        return None;
    }
    let mut bytes = [0; 16];
    bytes[..value.len()].copy_from_slice(value);
    Some((bytes, value.len() as u8))
}

/// Walks an extension block and yields identifiers and where their values are.
struct Elements<'a> {
    packet: &'a [u8],
    at: usize,
    end: usize,
    form: Form,
}

#[derive(Clone, Copy)]
enum Form {
    OneByte,
    TwoByte,
}

impl<'a> Elements<'a> {
    fn new(packet: &'a [u8], block: ExtensionBlock) -> Self {
        let (form, len) = match block.profile {
            ONE_BYTE_PROFILE => (Form::OneByte, block.len),
            // The lower four bits are "appbits" and mean nothing (RFC 8285, section 4.3).
            profile if profile & 0xfff0 == TWO_BYTE_PROFILE => (Form::TwoByte, block.len),
            _ => (Form::OneByte, 0),
        };
        Self {
            packet,
            at: block.start,
            end: block.start.saturating_add(len).min(packet.len()),
            form,
        }
    }

    /// The next element's identifier, where its value starts, and the value's length.
    fn element(&self, first: u8) -> Option<(u8, usize, usize)> {
        match self.form {
            Form::OneByte => {
                let id = first >> 4;
                // 15 is reserved, and a padding byte has no length: both end the block
                // (RFC 8285, section 4.2).
                (id != 15 && id != 0).then(|| (id, self.at + 1, usize::from(first & 0x0f) + 1))
            }
            Form::TwoByte => {
                let len = *self.packet.get(self.at + 1)?;
                Some((first, self.at + 2, usize::from(len)))
            }
        }
    }
}

impl Iterator for Elements<'_> {
    type Item = (u8, Range<usize>);

    fn next(&mut self) -> Option<Self::Item> {
        while self.at < self.end {
            let first = *self.packet.get(self.at)?;
            if first == 0 {
                self.at += 1;
                continue;
            }
            let (id, start, len) = self.element(first)?;
            if start + len > self.end {
                return None;
            }
            self.at = start + len;
            return Some((id, start..start + len));
        }
        None
    }
}
