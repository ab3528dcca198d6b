//! RTCP: a compound packet taken apart without allocation, and packets written into a buffer.
//!
//! Reading (`packets`) is tolerant where peers differ and bounded by the input's length; what is
//! not understood becomes `Packet::Unknown`. Writing (`write`, `TransportFeedbackHeader::write`)
//! appends whole packets to a `Vec` that its owner keeps and clears, so nothing is allocated in
//! steady state. RFC 3550, 3611, 4585, 5104, draft-alvestrand-rmcat-remb and
//! draft-holmer-rmcat-transport-wide-cc-extensions.

mod feedback;
mod parse;
mod report;
mod split;
mod twcc;
mod twcc_write;
pub mod write;

pub use feedback::{Fir, FirEntry, Nack, Pli, Remb, SsrcList};
pub use parse::{Packet, Packets, RtcpError, packets};
pub use report::{
    Dlrr, ExtendedReport, ReceiverReport, ReportBlock, ReportBlocks, SenderInfo, SenderReport,
    compact_ntp, short_duration,
};
pub use split::split;
pub use twcc::{PacketStatuses, TransportFeedback};
pub use twcc_write::TransportFeedbackHeader;

#[cfg(test)]
mod tests;

pub(crate) const SENDER_REPORT: u8 = 200;
pub(crate) const RECEIVER_REPORT: u8 = 201;
pub(crate) const SOURCE_DESCRIPTION: u8 = 202;
pub(crate) const BYE: u8 = 203;
pub(crate) const TRANSPORT_LAYER_FEEDBACK: u8 = 205;
pub(crate) const PAYLOAD_SPECIFIC_FEEDBACK: u8 = 206;
pub(crate) const EXTENDED_REPORT: u8 = 207;

/// Formats of transport layer feedback (RFC 4585, section 6.2).
pub(crate) const FORMAT_NACK: u8 = 1;
pub(crate) const FORMAT_TRANSPORT_CC: u8 = 15;
/// Formats of payload-specific feedback (RFC 4585, section 6.3; RFC 5104, section 4.3).
pub(crate) const FORMAT_PLI: u8 = 1;
pub(crate) const FORMAT_FIR: u8 = 4;
pub(crate) const FORMAT_APPLICATION: u8 = 15;
