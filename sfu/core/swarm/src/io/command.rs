//! What a swarm's threads are told.

use std::net::SocketAddr;
use std::sync::mpsc::SyncSender;

use kinguicall_proto::api::{ExtensionId, IceCredentials, RemoteDescription};
use thiserror::Error;

use super::socket::PeerSocket;
use crate::incoming::ReceiveConfig;
use crate::link::LinkConfig;
use crate::outgoing::SendConfig;
use crate::stats::TransportRecord;

/// Why a command was not taken.
#[derive(Debug, Error)]
pub enum CommandError {
    #[error("no transport has the number {0}")]
    UnknownId(u32),
    #[error("the swarm has been stopped")]
    Stopped,
    #[error("the swarm's thread does not keep up with its commands")]
    QueueFull,
    #[error("no answer from the swarm's thread")]
    NoAnswer,
    #[error("no random numbers from the system")]
    NoRandom,
    #[error("no socket for another peer: {0}")]
    Socket(#[from] std::io::Error),
}

/// A transport that has just been opened, as its description must announce it.
#[derive(Debug, Clone)]
pub struct OpenedTransport {
    pub id: u32,
    pub ice: IceCredentials,
    /// Host candidates. A full agent takes a second to nominate a peer that it was not told of.
    pub candidates: Vec<String>,
}

pub(super) enum Command {
    Open {
        id: u32,
        socket: PeerSocket,
        local: IceCredentials,
        with_data: bool,
    },
    SetRemote {
        id: u32,
        remote: RemoteDescription,
        candidates: Vec<SocketAddr>,
        controlling: bool,
    },
    AddCandidate(u32, SocketAddr),
    SetExtensions {
        id: u32,
        extensions: Vec<ExtensionId>,
        sends_remb: bool,
    },
    SetLink(u32, LinkConfig),
    Receive(u32, ReceiveConfig),
    StopReceiving(u32, u32),
    SetWatched(u32, u32, bool),
    Send(u32, SendConfig),
    StopSending(u32, u32),
    SetEncodingActive {
        id: u32,
        track: u32,
        encoding: usize,
        is_active: bool,
    },
    Close(u32),
    /// Records of all transports, those that were closed included.
    Report(SyncSender<Vec<TransportRecord>>),
}
