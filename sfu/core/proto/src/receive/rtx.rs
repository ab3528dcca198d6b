//! Retransmission payload format (RFC 4588, section 4).

/// Splits the payload of a retransmission, without RTP padding, into the original sequence number
/// and the original payload, which is empty where padding is repeated. `None` for what is too short:
/// probes of padding alone, for example.
pub fn unwrap(payload: &[u8]) -> Option<(u16, &[u8])> {
    let (original, payload) = payload.split_first_chunk()?;
    Some((u16::from_be_bytes(*original), payload))
}
