//! ICE over TCP (RFC 6544, passive): for those whose network lets no UDP through.
//!
//! By a flag the HTTP server's port takes it too, told apart by the first bytes.
//!
//! One thread accepts. It reads nothing: it looks at the first bytes of a connection (`MSG_PEEK`)
//! until they name a shard, and hands the connection to that shard's thread. There it has to pass
//! a connectivity check at once, or it is closed. Everything before that check is bounded: the
//! number of connections, by address and in total, their time, and the bytes looked at.

mod acceptor;
mod connections;
mod listener;
mod options;
mod web;

use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

pub(crate) use acceptor::{Acceptor, Route};
pub(crate) use connections::{Connections, READ_BYTES, Reading};
pub(crate) use listener::TcpPorts;
pub(crate) use web::WebConnections;

/// A connection has passed a connectivity check this long after it was accepted, or is closed.
pub(crate) const PROOF_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection that has proved nothing yet.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub stream: TcpStream,
    pub from: SocketAddr,
    pub deadline: Instant,
}
