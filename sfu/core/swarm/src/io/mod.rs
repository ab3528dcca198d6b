//! Sockets and threads for peers: a few threads, each with an epoll set of its peers' sockets.
//!
//! A swarm takes commands through bounded queues and gives back totals, published by its threads
//! every 100 ms, and records on request. Every peer has a socket of its own, because servers tell
//! peers apart by their addresses.

mod command;
mod socket;
mod swarm;
mod worker;

pub use command::{CommandError, OpenedTransport};
pub use swarm::{Swarm, SwarmConfig};
