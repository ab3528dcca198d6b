//! Takes a compound RTCP packet apart (RFC 3550, section 6.1).
//!
//! Each packet's length field is checked before anything inside it is looked at, and every list
//! inside a packet is a slice that has already been checked against its count.

use std::iter::FusedIterator;

use thiserror::Error;

use super::feedback::{Fir, Nack, Pli, Remb, SsrcList};
use super::report::{ExtendedReport, ReceiverReport, SenderReport};
use super::twcc::{MAX_STATUSES, TransportFeedback};
use crate::api::Ssrc;

/// Why a packet could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RtcpError {
    #[error("fewer than four bytes left for a header")]
    ShortHeader,
    #[error("version {0} is not 2")]
    Version(u8),
    #[error("the length field points {0} bytes beyond the end")]
    Length(usize),
    #[error("the padding does not fit its packet of type {0}")]
    Padding(u8),
    #[error("the content of a packet of type {packet_type}, format {format}, is malformed")]
    Malformed { packet_type: u8, format: u8 },
}

/// One packet of a compound.
#[derive(Debug, Clone, Copy)]
pub enum Packet<'a> {
    SenderReport(SenderReport<'a>),
    ReceiverReport(ReceiverReport<'a>),
    /// Source descriptions are skipped: signalling has told who the sources are.
    SourceDescription,
    Bye(SsrcList<'a>),
    Nack(Nack<'a>),
    Pli(Pli),
    Fir(Fir<'a>),
    Remb(Remb<'a>),
    TransportFeedback(TransportFeedback<'a>),
    ExtendedReport(ExtendedReport),
    /// A well-framed packet of another kind.
    Unknown {
        packet_type: u8,
        format: u8,
    },
}

/// Iterates over the packets of a compound, complete or of reduced size (RFC 5506).
///
/// A packet with malformed content yields an error and reading goes on behind it; after one whose
/// framing is wrong there is no next packet, so its error is the last item.
pub fn packets(compound: &[u8]) -> Packets<'_> {
    Packets {
        rest: compound,
        statuses_left: MAX_STATUSES,
    }
}

/// See [`packets`].
#[derive(Debug, Clone)]
pub struct Packets<'a> {
    rest: &'a [u8],
    /// Packets that transport feedback may still speak of. The bound is one for all feedback of a
    /// compound: 24 bytes are enough to reach it, and a datagram holds fifty times as many.
    statuses_left: u16,
}

impl<'a> Packets<'a> {
    fn read(&mut self, frame: Frame<'a>) -> Result<Packet<'a>, RtcpError> {
        let packet = frame.parse()?;
        if let Packet::TransportFeedback(feedback) = &packet {
            let left = self.statuses_left.checked_sub(feedback.packet_count);
            self.statuses_left = left.ok_or_else(|| frame.malformed())?;
        }
        Ok(packet)
    }
}

impl<'a> Iterator for Packets<'a> {
    type Item = Result<Packet<'a>, RtcpError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        match Frame::split(self.rest) {
            Ok((frame, rest)) => {
                self.rest = rest;
                Some(frame.and_then(|frame| self.read(frame)))
            }
            Err(error) => {
                self.rest = &[];
                Some(Err(error))
            }
        }
    }
}

impl FusedIterator for Packets<'_> {}

/// A packet's header fields and its content without padding.
#[derive(Debug, Clone, Copy)]
struct Frame<'a> {
    packet_type: u8,
    /// Count of reports or sources, or the feedback's format: the header's lower five bits.
    format: u8,
    content: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Splits the first packet off. The outer error means that no packet can follow.
    fn split(bytes: &'a [u8]) -> Result<(Result<Self, RtcpError>, &'a [u8]), RtcpError> {
        let Some((&[flags, packet_type, high, low], after_header)) = bytes.split_first_chunk()
        else {
            return Err(RtcpError::ShortHeader);
        };
        if flags >> 6 != 2 {
            return Err(RtcpError::Version(flags >> 6));
        }
        let len = usize::from(u16::from_be_bytes([high, low])) * 4;
        let Some((content, rest)) = after_header.split_at_checked(len) else {
            return Err(RtcpError::Length(len - after_header.len()));
        };
        let frame = if flags & 0x20 == 0 {
            Ok(content)
        } else {
            without_padding(content).ok_or(RtcpError::Padding(packet_type))
        };
        let frame = frame.map(|content| Self {
            packet_type,
            format: flags & 0x1f,
            content,
        });
        Ok((frame, rest))
    }

    fn parse(self) -> Result<Packet<'a>, RtcpError> {
        self.parse_content().ok_or_else(|| self.malformed())
    }

    fn malformed(self) -> RtcpError {
        RtcpError::Malformed {
            packet_type: self.packet_type,
            format: self.format,
        }
    }

    fn parse_content(self) -> Option<Packet<'a>> {
        let Self {
            packet_type,
            format,
            content,
        } = self;
        Some(match (packet_type, format) {
            (super::SENDER_REPORT, count) => {
                Packet::SenderReport(SenderReport::parse(count, content)?)
            }
            (super::RECEIVER_REPORT, count) => {
                Packet::ReceiverReport(ReceiverReport::parse(count, content)?)
            }
            (super::SOURCE_DESCRIPTION, _) => Packet::SourceDescription,
            (super::BYE, count) => Packet::Bye(SsrcList::parse(count, content)?),
            (super::TRANSPORT_LAYER_FEEDBACK, super::FORMAT_NACK) => {
                Packet::Nack(Nack::parse(content)?)
            }
            (super::TRANSPORT_LAYER_FEEDBACK, super::FORMAT_TRANSPORT_CC) => {
                Packet::TransportFeedback(TransportFeedback::parse(content)?)
            }
            (super::PAYLOAD_SPECIFIC_FEEDBACK, super::FORMAT_PLI) => {
                Packet::Pli(Pli::parse(content)?)
            }
            (super::PAYLOAD_SPECIFIC_FEEDBACK, super::FORMAT_FIR) => {
                Packet::Fir(Fir::parse(content)?)
            }
            (super::PAYLOAD_SPECIFIC_FEEDBACK, super::FORMAT_APPLICATION)
                if Remb::is_remb(content) =>
            {
                Packet::Remb(Remb::parse(content)?)
            }
            (super::EXTENDED_REPORT, _) => Packet::ExtendedReport(ExtendedReport::parse(content)?),
            _ => Packet::Unknown {
                packet_type,
                format,
            },
        })
    }
}

/// Drops padding, whose last byte says how long it is. RFC 3550 wants multiples of four, but
/// libwebrtc pads transport feedback by one to three bytes.
fn without_padding(content: &[u8]) -> Option<&[u8]> {
    let padding = usize::from(*content.last()?);
    if padding == 0 {
        return None;
    }
    content.get(..content.len().checked_sub(padding)?)
}

/// Splits an SSRC off the front.
pub(super) fn split_ssrc(bytes: &[u8]) -> Option<(Ssrc, &[u8])> {
    let (ssrc, rest) = bytes.split_first_chunk()?;
    Some((Ssrc(u32::from_be_bytes(*ssrc)), rest))
}

/// Splits off the sender's and the media source's SSRC, which start all feedback (RFC 4585,
/// section 6.1).
pub(super) fn split_feedback_header(bytes: &[u8]) -> Option<(Ssrc, Ssrc, &[u8])> {
    let (sender, rest) = split_ssrc(bytes)?;
    let (media, rest) = split_ssrc(rest)?;
    Some((sender, media, rest))
}
