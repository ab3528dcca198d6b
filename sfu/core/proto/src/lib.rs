//! The media plane as pure state machines: no clock, no socket, no thread.
//!
//! A [`shard::Shard`] takes datagrams, commands and the time, and hands datagrams, events and peer
//! messages to its [`api::Host`]. Everything below it is a part that can be tested by itself.

#![deny(unsafe_code)]

pub mod allocate;
pub mod api;
pub mod bwe;
pub mod data;
pub mod egress;
pub mod forward;
mod prefetch;
pub mod receive;
pub mod rtcp;
pub mod rtp;
pub mod shard;
pub mod srtp;
pub mod stats;
pub mod transport;
