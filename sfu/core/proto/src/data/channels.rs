//! The data channels of one transport: labels on SCTP streams, opened in-band (RFC 8832), with a
//! bound on everything the peer or a slow reader could make grow.
//!
//! The contract is the transport's: after every call, move all `poll_transmit` packets to
//! [`crate::transport::Transport::send_application_data`] (draining its output in between), and take
//! all `poll_event`s.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use bytes::Bytes;
use sctp_proto::PayloadProtocolIdentifier;

use super::dcep::{self, Message, Open, Reliability};
use super::sctp::{MAX_SENT_MESSAGE, SctpEvent, SctpSession};
use crate::api::{DataDelivery, DtlsRole};

/// Channels of one transport; a further one is reset.
pub const MAX_CHANNELS: usize = 16;
/// A lossy message is dropped when its channel has this many bytes under way.
const LOSSY_BUFFER: usize = 64 * 1_024;
/// A reliable message is dropped when its reader is this many bytes behind.
const RELIABLE_BUFFER: usize = 4 * 1_024 * 1_024;
/// Messages read in one go, so that one peer cannot hold its thread.
const MAX_READS: usize = 256;

/// What a channel is for, by its label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelKind {
    Reliable,
    Lossy,
    DataTrack,
    /// A label that the protocol does not know: its bytes are user data.
    Raw,
}

impl ChannelKind {
    fn from_label(label: &str) -> Self {
        match label {
            "_reliable" => Self::Reliable,
            "_lossy" => Self::Lossy,
            "_data_track" => Self::DataTrack,
            _ => Self::Raw,
        }
    }
}

/// News of the channels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChannelEvent {
    Opened {
        id: u16,
        kind: ChannelKind,
        label: String,
    },
    Message {
        id: u16,
        kind: ChannelKind,
        /// Sent as bytes, not as a string.
        binary: bool,
        bytes: Vec<u8>,
    },
    Closed {
        id: u16,
        kind: ChannelKind,
    },
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendOutcome {
    Queued,
    /// No channel of this kind is open.
    NoChannel,
    /// The reader is too far behind.
    BufferFull,
    TooLarge,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ChannelState {
    /// OPEN has been sent.
    AwaitingAck,
    Open,
}

#[derive(Debug)]
struct Channel {
    state: ChannelState,
    kind: ChannelKind,
    label: String,
}

/// All channels of one transport.
#[derive(Debug)]
pub struct Channels {
    sctp: SctpSession,
    dtls_role: DtlsRole,
    is_established: bool,
    /// Channels to open as soon as the association stands.
    wanted: VecDeque<Open>,
    channels: BTreeMap<u16, Channel>,
    /// Streams with messages to read.
    readable: VecDeque<u16>,
    events: VecDeque<ChannelEvent>,
    /// Messages that a slow reader did not get.
    dropped: u64,
}

impl Channels {
    /// To be made when DTLS is established. With `open_data_channels` this side opens the channels
    /// that the LiveKit client expects of a server.
    pub fn new(dtls_role: DtlsRole, open_data_channels: bool) -> Self {
        let mut channels = Self {
            sctp: SctpSession::new(dtls_role),
            dtls_role,
            is_established: false,
            wanted: VecDeque::new(),
            channels: BTreeMap::new(),
            readable: VecDeque::new(),
            events: VecDeque::new(),
            dropped: 0,
        };
        if open_data_channels {
            channels.open("_reliable", true, None);
            channels.open("_lossy", false, Some(0));
            channels.open("_data_track", false, Some(0));
        }
        channels
    }

    /// Opens a channel; `Opened` tells when it may be used. Returns `false` when there are too many
    /// or the label is too long.
    pub fn open(&mut self, label: &str, ordered: bool, max_retransmits: Option<u16>) -> bool {
        let taken = self.channels.len() + self.wanted.len();
        if taken >= MAX_CHANNELS || label.len() > dcep::MAX_LABEL {
            return false;
        }
        self.wanted.push_back(Open {
            label: label.to_owned(),
            ordered,
            reliability: max_retransmits.map_or(Reliability::Reliable, |times| {
                Reliability::MaxRetransmits(u32::from(times))
            }),
        });
        self.open_wanted();
        true
    }

    /// Takes a decrypted SCTP packet.
    pub fn handle(&mut self, now: Instant, packet: &[u8]) {
        self.sctp.handle(now, packet);
        self.progress();
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        self.sctp.handle_timeout(now);
        self.progress();
    }

    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        self.sctp.poll_timeout().map(|at| (at, "SCTP"))
    }

    /// The next SCTP packet to encrypt and send. Call until `None`.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Bytes> {
        self.sctp.poll_transmit(now)
    }

    /// Call until `None`.
    pub fn poll_event(&mut self) -> Option<ChannelEvent> {
        if self.events.is_empty() {
            self.read();
        }
        self.events.pop_front()
    }

    /// Whether messages of this delivery can be sent.
    pub fn is_open(&self, delivery: DataDelivery) -> bool {
        self.channel_for(delivery).is_some()
    }

    /// Sends a message on `_reliable` or `_lossy`.
    pub fn send(&mut self, delivery: DataDelivery, bytes: &[u8]) -> SendOutcome {
        if bytes.is_empty() || bytes.len() > MAX_SENT_MESSAGE as usize {
            return SendOutcome::TooLarge;
        }
        let Some(id) = self.channel_for(delivery) else {
            return SendOutcome::NoChannel;
        };
        let limit = match delivery {
            DataDelivery::Reliable => RELIABLE_BUFFER,
            DataDelivery::Lossy => LOSSY_BUFFER,
        };
        let fits = self.sctp.buffered(id) + bytes.len() <= limit;
        if fits
            && self
                .sctp
                .write(id, PayloadProtocolIdentifier::Binary, bytes)
        {
            SendOutcome::Queued
        } else {
            self.dropped += 1;
            SendOutcome::BufferFull
        }
    }

    /// Messages dropped because the reader was too far behind.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    fn channel_for(&self, delivery: DataDelivery) -> Option<u16> {
        let wanted = match delivery {
            DataDelivery::Reliable => ChannelKind::Reliable,
            DataDelivery::Lossy => ChannelKind::Lossy,
        };
        let mut channels = self.channels.iter();
        let found = channels
            .find(|(_, channel)| channel.kind == wanted && channel.state == ChannelState::Open);
        found.map(|(&id, _)| id)
    }

    fn progress(&mut self) {
        while let Some(event) = self.sctp.poll_event() {
            match event {
                SctpEvent::Established => {
                    self.is_established = true;
                    self.open_wanted();
                }
                SctpEvent::Readable(id) => {
                    if !self.readable.contains(&id) {
                        self.readable.push_back(id);
                    }
                    // Also keeps the stack's own queue short, on which its events wait.
                    self.read();
                }
                SctpEvent::Finished(id) => self.close(id),
                SctpEvent::Lost => {
                    self.is_established = false;
                    for id in self.channels.keys().copied().collect::<Vec<_>>() {
                        self.close(id);
                    }
                }
            }
        }
    }

    /// Streams that this side may open: even for the DTLS client, odd for the server (RFC 8832,
    /// section 6).
    fn open_wanted(&mut self) {
        if !self.is_established {
            return;
        }
        let first = match self.dtls_role {
            DtlsRole::Client => 0,
            DtlsRole::Server => 1,
        };
        while let Some(open) = self.wanted.pop_front() {
            let free = (first..super::sctp::MAX_STREAMS)
                .step_by(2)
                .find(|id| !self.channels.contains_key(id) && self.sctp.open(*id));
            let Some(id) = free else {
                return;
            };
            // The OPEN itself travels reliably and in order; what follows waits for the ACK.
            let message = dcep::write_open(&open);
            let sent = self
                .sctp
                .write(id, PayloadProtocolIdentifier::Dcep, &message);
            if sent {
                self.sctp
                    .set_reliability(id, open.ordered, open.reliability);
                self.channels.insert(
                    id,
                    Channel {
                        state: ChannelState::AwaitingAck,
                        kind: ChannelKind::from_label(&open.label),
                        label: open.label,
                    },
                );
            }
        }
    }

    fn read(&mut self) {
        for _ in 0..MAX_READS {
            let Some(&id) = self.readable.front() else {
                return;
            };
            let Some(message) = self.sctp.read(id) else {
                self.readable.pop_front();
                continue;
            };
            let binary = match message.protocol {
                PayloadProtocolIdentifier::Dcep => {
                    self.establish(id, &message.bytes);
                    continue;
                }
                PayloadProtocolIdentifier::Binary | PayloadProtocolIdentifier::BinaryEmpty => true,
                PayloadProtocolIdentifier::String | PayloadProtocolIdentifier::StringEmpty => false,
                PayloadProtocolIdentifier::Unknown => continue,
            };
            let is_empty = matches!(
                message.protocol,
                PayloadProtocolIdentifier::BinaryEmpty | PayloadProtocolIdentifier::StringEmpty
            );
            // Data on a stream that nobody has opened says nothing about what it is.
            if let Some(channel) = self.channels.get(&id) {
                self.events.push_back(ChannelEvent::Message {
                    id,
                    kind: channel.kind,
                    binary,
                    bytes: if is_empty { Vec::new() } else { message.bytes },
                });
            }
        }
    }

    /// A DCEP message.
    fn establish(&mut self, id: u16, bytes: &[u8]) {
        let has_room = self.channels.len() < MAX_CHANNELS;
        match (dcep::read(bytes), self.channels.get_mut(&id)) {
            (Some(Message::Ack), Some(channel)) => {
                if channel.state == ChannelState::AwaitingAck {
                    channel.state = ChannelState::Open;
                    let opened = ChannelEvent::Opened {
                        id,
                        kind: channel.kind,
                        label: channel.label.clone(),
                    };
                    self.events.push_back(opened);
                }
            }
            (Some(Message::Open(open)), None) if has_room => {
                let protocol = PayloadProtocolIdentifier::Dcep;
                if self.sctp.write(id, protocol, &dcep::ACK) {
                    self.sctp
                        .set_reliability(id, open.ordered, open.reliability);
                    self.accept(id, open.label);
                }
            }
            (Some(Message::Open(_)), Some(_)) | (Some(Message::Ack), None) => {}
            (Some(Message::Open(_)), None) | (None, _) => {
                self.sctp.close(id);
                self.close(id);
            }
        }
    }

    fn accept(&mut self, id: u16, label: String) {
        let kind = ChannelKind::from_label(&label);
        self.channels.insert(
            id,
            Channel {
                state: ChannelState::Open,
                kind,
                label: label.clone(),
            },
        );
        self.events
            .push_back(ChannelEvent::Opened { id, kind, label });
    }

    fn close(&mut self, id: u16) {
        self.sctp.close(id);
        if let Some(channel) = self.channels.remove(&id) {
            self.events.push_back(ChannelEvent::Closed {
                id,
                kind: channel.kind,
            });
        }
    }
}
