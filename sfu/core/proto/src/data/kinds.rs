//! What data channels are for, and what happens on them.

pub(super) const RELIABLE_LABEL: &str = "_reliable";

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
    pub(super) fn from_label(label: &str) -> Self {
        match label {
            RELIABLE_LABEL => Self::Reliable,
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
    /// The reader takes too little of what waits for it: [`Channels::give_up`] ends this.
    Stalled,
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
