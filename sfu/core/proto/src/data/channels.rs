//! The data channels of one transport: labels on SCTP streams, opened in-band (RFC 8832), with a
//! bound on everything the peer or a slow reader could make grow.
//!
//! The contract is the transport's: after every call, move all `poll_transmit` packets to
//! [`crate::transport::Transport::send_application_data`] (draining its output in between), and take
//! all `poll_event`s. What the peer says reliably can be held back (`hold`): its receive window
//! shrinks then, and nothing is lost.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use bytes::Bytes;
use sctp_proto::PayloadProtocolIdentifier;

use super::dcep::{self, Message, Open, Reliability};
use super::inbox::Inbox;
use super::kinds::RELIABLE_LABEL;
pub use super::kinds::{ChannelEvent, ChannelKind, SendOutcome};
use super::outbox::{Outbox, Waiting};
use super::sctp::{MAX_SENT_MESSAGE, SctpEvent, SctpSession};
use super::sender::Sender;
use super::window::Window;
use crate::api::{DataDelivery, DtlsRole};

/// Channels of one transport; a further one is reset.
pub const MAX_CHANNELS: usize = 16;
/// A lossy message is dropped when its channel has this many bytes under way.
const LOSSY_BUFFER: usize = 64 * 1_024;
/// Most that is given to the stack of a reliable channel; the shard gives it less (`outbox`).
const RELIABLE_BUFFER: usize = 512 * 1_024;
/// Messages read in one go, so that one peer cannot hold its thread.
const MAX_READS: usize = 256;

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
    pub(super) sctp: SctpSession,
    dtls_role: DtlsRole,
    is_established: bool,
    pub(super) opens_channels: bool,
    /// Channels to open as soon as the association stands.
    wanted: VecDeque<Open>,
    channels: BTreeMap<u16, Channel>,
    /// Streams with messages to read.
    readable: VecDeque<u16>,
    pub(super) events: VecDeque<ChannelEvent>,
    /// Messages that a slow reader did not get.
    dropped: u64,
    /// Longest message that is sent.
    longest: usize,
    pub(super) inbox: Inbox,
    pub(super) window: Window,
    pub(super) outbox: Outbox,
    /// What this peer may say, as far as it is a sender.
    pub(crate) sender: Sender,
    pub(super) flow: Flow,
}

/// Where the peer stands as reader and as sender.
#[derive(Debug, Default)]
pub(super) struct Flow {
    /// When the inbox is to be looked at again.
    pub(super) resume_at: Option<Instant>,
    /// When a reader that stalled gets a new channel.
    pub(super) reopen_at: Option<Instant>,
    /// Given-up streams whose last messages the stack still holds.
    pub(super) draining: Vec<u16>,
    /// Bytes in the stack as they were counted last.
    pub(super) counted: usize,
    /// Messages that the reader will not get any more.
    pub(super) abandoned: Vec<Waiting>,
    /// The shard has noted that there may be something to send.
    pub(super) is_noted: bool,
}

impl Channels {
    /// To be made when DTLS is established. With `open_data_channels` this side opens the channels
    /// that the LiveKit client expects of a server.
    pub fn new(dtls_role: DtlsRole, open_data_channels: bool) -> Self {
        let mut channels = Self {
            sctp: SctpSession::new(dtls_role),
            dtls_role,
            is_established: false,
            opens_channels: open_data_channels,
            wanted: VecDeque::new(),
            channels: BTreeMap::new(),
            readable: VecDeque::new(),
            events: VecDeque::new(),
            dropped: 0,
            longest: MAX_SENT_MESSAGE as usize,
            inbox: Inbox::default(),
            window: Window::default(),
            outbox: Outbox::default(),
            sender: Sender::default(),
            flow: Flow::default(),
        };
        if open_data_channels {
            channels.open(RELIABLE_LABEL, true, None);
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
        if self.inbox.is_full() {
            if let Some(rest) = self.window.refuse(packet) {
                self.sctp.handle(now, &rest);
            }
        } else {
            self.sctp.handle(now, packet);
        }
        self.progress();
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        self.sctp.handle_timeout(now);
        self.progress();
        self.look_at_reader(now);
    }

    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        let sctp = self.sctp.poll_timeout().map(|at| (at, "SCTP"));
        let own = [
            self.outbox.poll_timeout().map(|at| (at, "stalled reader")),
            self.flow.reopen_at.map(|at| (at, "new data channel")),
            self.flow.resume_at.map(|at| (at, "pace of data")),
        ];
        let all = own.into_iter().flatten().chain(sctp);
        all.min_by_key(|(at, _)| *at)
    }

    /// The next SCTP packet to encrypt and send. Call until `None`.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Bytes> {
        let withheld = self.inbox.cost();
        match self.sctp.poll_transmit(now) {
            Some(packet) => Some(self.window.outgoing(packet, withheld)),
            None => self.window.update(withheld),
        }
    }

    /// Call until `None`. Reliable messages come last, and not while they are held.
    pub fn poll_event(&mut self) -> Option<ChannelEvent> {
        if self.events.is_empty() {
            self.read();
        }
        self.events.pop_front().or_else(|| self.inbox.pop())
    }

    /// Whether messages of this delivery can be sent.
    pub fn is_open(&self, delivery: DataDelivery) -> bool {
        self.channel_for(delivery).is_some()
    }

    /// Sends a message on `_reliable` or `_lossy`.
    pub fn send(&mut self, delivery: DataDelivery, bytes: &[u8]) -> SendOutcome {
        if bytes.is_empty() || bytes.len() > self.longest {
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
            if delivery == DataDelivery::Reliable {
                self.outbox.on_written(bytes.len());
            }
            SendOutcome::Queued
        } else {
            self.dropped += 1;
            SendOutcome::BufferFull
        }
    }

    #[cfg(test)]
    pub(super) fn set_longest(&mut self, bytes: usize) {
        self.longest = bytes;
        self.sctp.set_longest(bytes);
    }

    /// Messages dropped because the reader was too far behind.
    #[cfg(test)]
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Closes a channel whose peer has said what cannot be passed on: both ends see that.
    pub(crate) fn refuse(&mut self, id: u16) {
        self.close(id);
    }

    pub(super) fn channel_for(&self, delivery: DataDelivery) -> Option<u16> {
        let wanted = match delivery {
            DataDelivery::Reliable => ChannelKind::Reliable,
            DataDelivery::Lossy => ChannelKind::Lossy,
        };
        let mut channels = self.channels.iter();
        let found = channels
            .find(|(_, channel)| channel.kind == wanted && channel.state == ChannelState::Open);
        found.map(|(&id, _)| id)
    }

    pub(super) fn progress(&mut self) {
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
            let Some(channel) = self.channels.get(&id) else {
                continue;
            };
            let (kind, len) = (channel.kind, message.bytes.len());
            let bytes = if is_empty { Vec::new() } else { message.bytes };
            let message = ChannelEvent::Message {
                id,
                kind,
                binary,
                bytes,
            };
            match kind {
                ChannelKind::Reliable | ChannelKind::Raw => self.inbox.push(message, len),
                ChannelKind::Lossy | ChannelKind::DataTrack => self.events.push_back(message),
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

    pub(super) fn close(&mut self, id: u16) {
        self.sctp.close(id);
        if let Some(channel) = self.channels.remove(&id) {
            if channel.kind == ChannelKind::Reliable {
                self.flow.draining.push(id);
                self.abandon_reader();
            }
            self.events.push_back(ChannelEvent::Closed {
                id,
                kind: channel.kind,
            });
        }
    }
}
