//! The targets, each named after what it feeds.

pub mod data_packet;
pub mod dcep;
pub mod demux;
pub mod dependency_descriptor;
pub mod framing;
pub mod handshake;
pub mod payload;
pub mod rtcp;
pub mod rtp;
pub mod sctp;
mod sctp_peer;
pub mod stun;
