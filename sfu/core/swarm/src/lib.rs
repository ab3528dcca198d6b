//! The client role: peers that publish recorded media and receive, by the server's own parts for
//! DTLS, SRTP, RTP and RTCP, and an ICE agent of their own.
//!
//! Everything but [`io`] is pure: it takes datagrams, their arrival times and `now`, and puts
//! datagrams into an [`outbox::Outbox`]. [`io`] has the sockets and threads. What a peer measures
//! (latency, loss after repair, freezes) is in [`stats`].

pub mod clip;
pub mod clock;
pub mod frames;
pub mod histogram;
pub mod ice;
pub mod incoming;
pub mod io;
pub mod link;
pub mod outbox;
pub mod outgoing;
mod packetise;
pub mod peer;
pub mod random;
pub mod stats;
pub mod transport;
