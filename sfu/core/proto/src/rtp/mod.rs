//! RTP packets on the wire (RFC 3550, RFC 8285): reading, writing, and what forwarding has to know of
//! a payload.
//!
//! Nothing here copies a packet or allocates: parsers borrow, and give offsets back.

pub mod dependency_descriptor;
mod extension;
mod header;
pub mod payload;
#[cfg(test)]
mod tests;
mod write;

pub use extension::{AbsCaptureTime, AudioLevelExt, ExtensionMap, ParsedExtensions};
pub use header::{ExtensionBlock, FIXED_HEADER_LEN, Header};
pub use write::{OutHeader, write_header};

/// Why bytes are not an RTP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RtpError {
    #[error("packet ends within its header")]
    Truncated,
    #[error("packet is not of RTP version 2")]
    Version,
    #[error("padding count is zero or exceeds the payload")]
    Padding,
}
