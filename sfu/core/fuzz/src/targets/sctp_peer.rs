//! The hostile end of an association: a real one until the channels are open, then whatever the
//! input says, with a tag and a checksum that the node accepts.

use std::time::{Duration, Instant};

use kinguicall_proto::api::{DataDelivery, DtlsRole};
use kinguicall_proto::data::channels::{ChannelEvent, Channels, MAX_CHANNELS};

const COMMON_HEADER: usize = 12;
const DATA: u8 = 0;
/// Packets that one packet, or one timer, may bring about: a window of 1,200 bytes each, and more.
const MAX_SENT: usize = 1_024;

pub(super) struct Peer {
    pub(super) now: Instant,
    pub(super) node: Channels,
    /// Ports and tag of packets to the node.
    header: [u8; 8],
    /// The last transmission sequence number sent to the node, and received from it.
    pub(super) tsn: u32,
    pub(super) node_tsn: u32,
    open: Vec<u16>,
}

impl Peer {
    /// A node that nobody has spoken to yet.
    pub(super) fn stranger(now: Instant) -> Self {
        Self {
            now,
            node: Channels::new(DtlsRole::Server, true),
            header: [0x13, 0x88, 0x13, 0x88, 0, 0, 0, 0],
            tsn: 0,
            node_tsn: 0,
            open: Vec::new(),
        }
    }

    /// A node whose association is established and whose channels are open.
    pub(super) fn associated(now: Instant) -> Self {
        let mut this = Self::stranger(now);
        let mut peer = Channels::new(DtlsRole::Client, false);
        for _ in 0..8 {
            while let Some(packet) = peer.poll_transmit(now) {
                this.header.copy_from_slice(&packet[..8]);
                this.tsn = last_tsn(&packet).unwrap_or(this.tsn);
                this.node.handle(now, &packet);
            }
            while let Some(packet) = this.node.poll_transmit(now) {
                this.node_tsn = last_tsn(&packet).unwrap_or(this.node_tsn);
                peer.handle(now, &packet);
            }
            while peer.poll_event().is_some() {}
        }
        this.settle();
        assert!(this.node.is_open(DataDelivery::Reliable));
        this
    }

    /// Sends chunks with the right header.
    pub(super) fn send(&mut self, chunks: &[u8]) {
        let mut packet = self.header.to_vec();
        packet.extend([0; 4]);
        packet.extend(chunks);
        self.send_sealed(packet);
    }

    /// Sends a packet once its checksum is right, if it is long enough to have one.
    pub(super) fn send_sealed(&mut self, mut packet: Vec<u8>) {
        if packet.len() >= COMMON_HEADER {
            packet[8..COMMON_HEADER].fill(0);
            let checksum = crc32c(&packet);
            packet[8..COMMON_HEADER].copy_from_slice(&checksum.to_le_bytes());
        }
        self.node.handle(self.now, &packet);
        self.settle();
    }

    /// Sends one DATA chunk (RFC 9260, section 3.3.1).
    pub(super) fn send_data(&mut self, flags: u8, stream: u16, tsn: u32, rest: &[u8]) {
        let mut chunk = vec![DATA, flags];
        chunk.extend((12 + rest.len() as u16).to_be_bytes());
        chunk.extend(tsn.to_be_bytes());
        chunk.extend(stream.to_be_bytes());
        chunk.extend(rest);
        chunk.resize(chunk.len().next_multiple_of(4), 0);
        self.send(&chunk);
    }

    /// Lets time pass, with each of the node's timers in its turn.
    pub(super) fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        for _ in 0..64 {
            match self.node.poll_timeout() {
                Some((at, _)) if at <= end => self.now = self.now.max(at),
                _ => break,
            }
            self.node.handle_timeout(self.now);
            self.settle();
        }
        self.now = end;
        self.node.handle_timeout(end);
        self.settle();
    }

    /// Takes all that the node says and checks that it makes sense.
    pub(super) fn settle(&mut self) {
        let mut sent = 0;
        while let Some(packet) = self.node.poll_transmit(self.now) {
            assert!(packet.len() <= 1_195, "{} bytes", packet.len());
            sent += 1;
            assert!(sent <= MAX_SENT, "the node does not stop sending");
            self.node_tsn = last_tsn(&packet).unwrap_or(self.node_tsn);
        }
        while let Some(event) = self.node.poll_event() {
            match event {
                ChannelEvent::Opened { id, label, .. } => {
                    assert!(!self.open.contains(&id) && label.len() <= 64);
                    self.open.push(id);
                    assert!(self.open.len() <= MAX_CHANNELS);
                }
                ChannelEvent::Message { bytes, .. } => assert!(bytes.len() <= 512 * 1_024),
                ChannelEvent::Closed { id, .. } => self.open.retain(|open| *open != id),
                ChannelEvent::Stalled => panic!("nothing waits for this peer"),
            }
        }
    }
}

fn last_tsn(packet: &[u8]) -> Option<u32> {
    let mut chunks = packet.get(COMMON_HEADER..)?;
    let mut found = None;
    while let Some(header) = chunks.first_chunk::<8>() {
        if header[0] == DATA {
            found = Some(u32::from_be_bytes([
                header[4], header[5], header[6], header[7],
            ]));
        }
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        chunks = chunks
            .get(length.max(4).next_multiple_of(4)..)
            .unwrap_or_default();
    }
    found
}

/// CRC-32C (RFC 9260, appendix A).
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        crc >> 8 ^ CRC[usize::from(crc as u8 ^ byte)]
    })
}

static CRC: [u32; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut crc = index as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = crc >> 1 ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
};
