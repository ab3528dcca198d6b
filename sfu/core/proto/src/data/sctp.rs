//! One SCTP association over DTLS (RFC 8261): `sctp-proto` behind a check of what comes in.
//!
//! The DTLS client sends INIT, the server waits for it; browsers and libraries send one whatever
//! their role, and an INIT that crosses ours is left to the peer to resolve. `sctp-proto` draws its
//! tags and sequence numbers from the system, and reads the clock once when it connects.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use sctp_proto::{
    Association, AssociationHandle, ClientConfig, DatagramEvent, Endpoint, EndpointConfig, Event,
    Payload, PayloadProtocolIdentifier, ReliabilityType, ServerConfig, StreamEvent,
    TransportConfig,
};

use super::dcep::Reliability;
use crate::api::DtlsRole;

/// Streams that may exist: more would make each chunk dearer, as the stack walks all of them.
pub(super) const MAX_STREAMS: u16 = 1_024;
/// Longest message that is sent: readers that announce nothing take 65,535 bytes.
pub(super) const MAX_SENT_MESSAGE: u32 = super::packet::MAX_PACKET as u32;
/// The receive window: 15 Mbit/s at 100 ms.
pub(super) const RECEIVE_BUFFER: u32 = 192 * 1_024;

/// Above the window: a message that fills it without an end is answered with an ABORT, where one
/// above the stack's limit would end the association without telling the peer.
const MAX_RECEIVED_MESSAGE: u32 = 2 * RECEIVE_BUFFER;
/// Payload of one DATA chunk: with its own, SCTP and DTLS headers within `MAX_OWN_DATAGRAM`.
const MAX_PAYLOAD: u32 = 1_128;
const COMMON_HEADER: usize = 12;
const CHUNK_DATA: u8 = 0;
const CHUNK_I_DATA: u8 = 64;
const RTO_INITIAL_MS: u64 = 500;
const RTO_MIN_MS: u64 = 400;
/// Short enough that a reader whose path is back is asked again before it counts as stalled.
const RTO_MAX_MS: u64 = 3_000;

/// What happened to the association.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SctpEvent {
    Established,
    /// A complete message waits on this stream.
    Readable(u16),
    /// The peer has reset this stream.
    Finished(u16),
    Lost,
}

/// A received message.
#[derive(Debug)]
pub(super) struct ReceivedMessage {
    pub protocol: PayloadProtocolIdentifier,
    pub bytes: Vec<u8>,
}

/// One association.
#[derive(Debug)]
pub(super) struct SctpSession {
    endpoint: Endpoint,
    association: Option<(AssociationHandle, Association)>,
    outgoing: VecDeque<Bytes>,
}

impl SctpSession {
    /// Begins as the DTLS role demands: the client's INIT is there to be polled.
    pub(super) fn new(dtls_role: DtlsRole) -> Self {
        let transport = Arc::new(transport_config());
        let mut endpoint_config = EndpointConfig::default();
        endpoint_config.max_payload_size(MAX_PAYLOAD);
        let mut server = ServerConfig::default();
        server.transport = transport.clone();
        let mut endpoint = Endpoint::new(Arc::new(endpoint_config), Some(Arc::new(server)));
        let mut association = None;
        if dtls_role == DtlsRole::Client {
            let mut client = ClientConfig::default();
            client.transport = transport;
            association = endpoint.connect(client, peer_address()).ok();
            endpoint.reject_new_associations();
        }
        Self {
            endpoint,
            association,
            outgoing: VecDeque::new(),
        }
    }

    /// Takes a decrypted packet. Malformed ones and ones about streams out of range are dropped.
    pub(super) fn handle(&mut self, now: Instant, packet: &[u8]) {
        if !is_acceptable(packet) {
            return;
        }
        let packet = Bytes::copy_from_slice(packet);
        let event = self
            .endpoint
            .handle(now, peer_address(), None, None, packet);
        match event {
            Some((handle, DatagramEvent::NewAssociation(association)))
                if self.association.is_none() =>
            {
                self.association = Some((handle, association));
                self.endpoint.reject_new_associations();
            }
            Some((_, DatagramEvent::NewAssociation(_))) | None => {}
            Some((handle, DatagramEvent::AssociationEvent(event))) => {
                if let Some((known, association)) = &mut self.association
                    && *known == handle
                {
                    association.handle_event(event);
                }
            }
        }
        self.pass_endpoint_events();
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if let Some((_, association)) = &mut self.association {
            association.handle_timeout(now);
        }
        self.pass_endpoint_events();
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.association.as_ref()?.1.poll_timeout()
    }

    /// The next packet to encrypt and send. Call until `None`.
    pub(super) fn poll_transmit(&mut self, now: Instant) -> Option<Bytes> {
        while self.outgoing.is_empty() {
            let transmit = self.endpoint.poll_transmit().or_else(|| {
                let (_, association) = self.association.as_mut()?;
                association.poll_transmit(now)
            });
            if let Payload::RawEncode(packets) = transmit?.payload {
                self.outgoing.extend(packets);
            }
        }
        self.outgoing.pop_front()
    }

    /// Call until `None`.
    pub(super) fn poll_event(&mut self) -> Option<SctpEvent> {
        let (_, association) = self.association.as_mut()?;
        loop {
            match association.poll()? {
                Event::Connected => return Some(SctpEvent::Established),
                Event::HandshakeFailed { .. } | Event::AssociationLost { .. } => {
                    return Some(SctpEvent::Lost);
                }
                Event::Stream(StreamEvent::Readable { id }) => {
                    return Some(SctpEvent::Readable(id));
                }
                Event::Stream(StreamEvent::Finished { id } | StreamEvent::Stopped { id, .. }) => {
                    return Some(SctpEvent::Finished(id));
                }
                _ => {}
            }
        }
    }

    /// Opens an outgoing stream. Returns whether it could be.
    pub(super) fn open(&mut self, id: u16) -> bool {
        let Some((_, association)) = &mut self.association else {
            return false;
        };
        let protocol = PayloadProtocolIdentifier::Binary;
        association.open_stream(id, protocol).is_ok()
    }

    /// Sets how messages on a stream are delivered.
    pub(super) fn set_reliability(&mut self, id: u16, ordered: bool, reliability: Reliability) {
        let (kind, value) = match reliability {
            Reliability::Reliable => (ReliabilityType::Reliable, 0),
            Reliability::MaxRetransmits(times) => (ReliabilityType::Rexmit, times),
            Reliability::MaxLifetimeMs(lifetime) => (ReliabilityType::Timed, lifetime),
        };
        if let Some((_, association)) = &mut self.association
            && let Ok(mut stream) = association.stream(id)
        {
            let _ = stream.set_reliability_params(!ordered, kind, value);
        }
    }

    /// The next complete message of a stream.
    pub(super) fn read(&mut self, id: u16) -> Option<ReceivedMessage> {
        let (_, association) = self.association.as_mut()?;
        let message = association.stream(id).ok()?.read_sctp().ok()??;
        let mut bytes = vec![0; message.len()];
        message.read(&mut bytes).ok()?;
        Some(ReceivedMessage {
            protocol: message.ppi,
            bytes,
        })
    }

    /// Queues a message. Returns whether it was accepted.
    pub(super) fn write(
        &mut self,
        id: u16,
        protocol: PayloadProtocolIdentifier,
        bytes: &[u8],
    ) -> bool {
        let Some((_, association)) = &mut self.association else {
            return false;
        };
        let stream = association.stream(id);
        stream.is_ok_and(|mut stream| stream.write_with_ppi(bytes, protocol).is_ok())
    }

    /// Bytes of a stream that the peer has not acknowledged.
    pub(super) fn buffered(&mut self, id: u16) -> usize {
        let buffered = self
            .association
            .as_mut()
            .and_then(|(_, association)| association.stream(id).ok()?.buffered_amount().ok());
        buffered.unwrap_or(0)
    }

    #[cfg(test)]
    pub(super) fn set_longest(&mut self, bytes: usize) {
        if let Some((_, association)) = &mut self.association {
            association.set_max_send_message_size(u32::try_from(bytes).unwrap_or(u32::MAX));
        }
    }

    /// Resets a stream (RFC 6525).
    pub(super) fn close(&mut self, id: u16) {
        if let Some((_, association)) = &mut self.association
            && let Ok(mut stream) = association.stream(id)
        {
            let _ = stream.close();
        }
    }

    fn pass_endpoint_events(&mut self) {
        let Some((handle, association)) = &mut self.association else {
            return;
        };
        while let Some(event) = association.poll_endpoint_event() {
            if let Some(event) = self.endpoint.handle_event(*handle, event) {
                association.handle_event(event);
            }
        }
    }
}

fn transport_config() -> TransportConfig {
    TransportConfig::default()
        .with_max_receive_buffer_size(RECEIVE_BUFFER)
        .with_max_receive_message_size(MAX_RECEIVED_MESSAGE)
        .with_max_send_message_size(MAX_SENT_MESSAGE)
        .with_max_num_inbound_streams(MAX_STREAMS)
        .with_max_num_outbound_streams(MAX_STREAMS)
        // Consent (RFC 7675) decides when a peer is gone.
        .with_max_data_retransmits(None)
        .with_rto_initial_ms(RTO_INITIAL_MS)
        .with_rto_min_ms(RTO_MIN_MS)
        .with_rto_max_ms(RTO_MAX_MS)
}

/// The association has one peer, whatever its address.
fn peer_address() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 5_000))
}

/// Walks the chunks (RFC 9260, section 3.2): each has a length that fits, and data is about a
/// stream in range.
fn is_acceptable(packet: &[u8]) -> bool {
    let Some(mut chunks) = packet.get(COMMON_HEADER..) else {
        return false;
    };
    while let Some(header) = chunks.first_chunk::<4>() {
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        if length < header.len() || length > chunks.len() {
            return false;
        }
        if matches!(header[0], CHUNK_DATA | CHUNK_I_DATA) {
            match chunks.get(8..10) {
                Some(id) if u16::from_be_bytes([id[0], id[1]]) < MAX_STREAMS => {}
                _ => return false,
            }
        }
        chunks = &chunks[length.next_multiple_of(4).min(chunks.len())..];
    }
    true
}
