//! DTLS 1.2 records and handshake messages as they lie on the wire (RFC 6347, sections 4.1 and
//! 4.2), and the reassembly of fragmented messages. Just enough to decide what a handshake may see.

pub(super) const RECORD_HEADER: usize = 13;
pub(super) const HANDSHAKE_HEADER: usize = 12;

pub(super) const CHANGE_CIPHER_SPEC: u8 = 20;
pub(super) const ALERT: u8 = 21;
pub(super) const HANDSHAKE: u8 = 22;
pub(super) const APPLICATION_DATA: u8 = 23;

pub(super) const CLIENT_HELLO: u8 = 1;
pub(super) const SERVER_HELLO: u8 = 2;
pub(super) const HELLO_VERIFY_REQUEST: u8 = 3;
pub(super) const NEW_SESSION_TICKET: u8 = 4;
pub(super) const CERTIFICATE: u8 = 11;
pub(super) const SERVER_KEY_EXCHANGE: u8 = 12;
pub(super) const CERTIFICATE_REQUEST: u8 = 13;
pub(super) const SERVER_HELLO_DONE: u8 = 14;
pub(super) const CERTIFICATE_VERIFY: u8 = 15;
pub(super) const CLIENT_KEY_EXCHANGE: u8 = 16;

/// A plaintext alert that ends a handshake. Its number is beyond those of the handshake's records.
pub(super) fn alert(level_and_description: [u8; 2]) -> [u8; RECORD_HEADER + 2] {
    let mut record = [ALERT, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 2, 0, 0];
    record[RECORD_HEADER..].copy_from_slice(&level_and_description);
    record
}

/// Longest handshake message that is put together: a ClientHello with post-quantum key shares or a
/// certificate chain of some depth.
const MAX_MESSAGE: usize = 8_192;
/// Messages that are being put together at the same time.
const MAX_PARTIAL: usize = 4;
/// Pieces of one message that do not touch each other.
const MAX_PIECES: usize = 16;

/// One record of a datagram.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record<'a> {
    pub content_type: u8,
    pub epoch: u16,
    /// Header and body.
    pub bytes: &'a [u8],
}

impl<'a> Record<'a> {
    pub(super) fn body(&self) -> &'a [u8] {
        &self.bytes[RECORD_HEADER..]
    }
}

/// The records of a datagram, up to the first that is cut short.
pub(super) fn records(mut datagram: &[u8]) -> impl Iterator<Item = Record<'_>> {
    std::iter::from_fn(move || {
        let header = datagram.first_chunk::<RECORD_HEADER>()?;
        let length = usize::from(u16::from_be_bytes([header[11], header[12]]));
        let (bytes, rest) = datagram.split_at_checked(RECORD_HEADER + length)?;
        datagram = rest;
        Some(Record {
            content_type: header[0],
            epoch: u16::from_be_bytes([header[3], header[4]]),
            bytes,
        })
    })
}

/// One handshake message or a piece of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fragment<'a> {
    pub message_type: u8,
    pub sequence: u16,
    /// Length of the whole message.
    pub length: usize,
    pub offset: usize,
    pub body: &'a [u8],
}

impl Fragment<'_> {
    pub(super) fn is_whole(&self) -> bool {
        self.offset == 0 && self.body.len() == self.length
    }
}

/// The handshake messages in a record, up to the first that is malformed.
pub(super) fn fragments(mut body: &[u8]) -> impl Iterator<Item = Fragment<'_>> {
    std::iter::from_fn(move || {
        let header = body.first_chunk::<HANDSHAKE_HEADER>()?;
        let u24 = |at: usize| {
            usize::from(header[at]) << 16
                | usize::from(header[at + 1]) << 8
                | usize::from(header[at + 2])
        };
        let (length, offset, fragment_length) = (u24(1), u24(6), u24(9));
        let end = HANDSHAKE_HEADER + fragment_length;
        let fragment = body.get(HANDSHAKE_HEADER..end)?;
        body = &body[end..];
        let is_sound = offset + fragment_length <= length
            && length <= MAX_MESSAGE
            && (fragment_length > 0 || length == 0);
        is_sound.then_some(Fragment {
            message_type: header[0],
            sequence: u16::from_be_bytes([header[4], header[5]]),
            length,
            offset,
            body: fragment,
        })
    })
}

/// A handshake message with the header it has when it is not fragmented, as a record of its own.
pub(super) fn write_message(
    out: &mut Vec<u8>,
    record_header: &[u8],
    fragment: &Fragment<'_>,
    body: &[u8],
) {
    let record_length = (HANDSHAKE_HEADER + body.len()) as u16;
    let length = (body.len() as u32).to_be_bytes();
    out.extend(record_header.iter().take(RECORD_HEADER - 2));
    out.extend(record_length.to_be_bytes());
    out.push(fragment.message_type);
    out.extend(&length[1..]);
    out.extend(fragment.sequence.to_be_bytes());
    out.extend([0, 0, 0]);
    out.extend(&length[1..]);
    out.extend(body);
}

#[derive(Debug)]
struct Partial {
    message_type: u8,
    sequence: u16,
    bytes: Vec<u8>,
    /// Received ranges, in order, none touching the next.
    pieces: Vec<(usize, usize)>,
}

/// Puts fragmented messages together, whatever order their pieces come in.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    partial: Vec<Partial>,
}

impl Assembler {
    /// Takes a piece; returns the body when it was the last one missing.
    pub(super) fn add(&mut self, fragment: &Fragment<'_>) -> Option<Vec<u8>> {
        let index = self.place(fragment);
        let partial = &mut self.partial[index];
        let end = fragment.offset + fragment.body.len();
        let covered = partial
            .pieces
            .iter()
            .any(|&(from, to)| from <= fragment.offset && end <= to);
        if covered {
            return None;
        }
        let overlaps = partial
            .pieces
            .iter()
            .any(|&(from, to)| from < end && fragment.offset < to);
        if overlaps || partial.pieces.len() >= MAX_PIECES {
            // Sent again in other pieces: what came before may have been somebody else's.
            partial.pieces.clear();
        }
        partial.bytes[fragment.offset..end].copy_from_slice(fragment.body);
        insert_piece(&mut partial.pieces, fragment.offset, end);
        if partial.pieces == [(0, fragment.length)] {
            return Some(self.partial.remove(index).bytes);
        }
        None
    }

    fn place(&mut self, fragment: &Fragment<'_>) -> usize {
        let known = self.partial.iter().position(|partial| {
            partial.message_type == fragment.message_type
                && partial.sequence == fragment.sequence
                && partial.bytes.len() == fragment.length
        });
        if let Some(index) = known {
            return index;
        }
        if self.partial.len() >= MAX_PARTIAL {
            self.partial.remove(0);
        }
        self.partial.push(Partial {
            message_type: fragment.message_type,
            sequence: fragment.sequence,
            bytes: vec![0; fragment.length],
            pieces: Vec::new(),
        });
        self.partial.len() - 1
    }
}

fn insert_piece(pieces: &mut Vec<(usize, usize)>, from: usize, to: usize) {
    let index = pieces.partition_point(|&(start, _)| start < from);
    pieces.insert(index, (from, to));
    let mut merged: Vec<(usize, usize)> = Vec::with_capacity(pieces.len());
    for &(start, end) in pieces.iter() {
        match merged.last_mut() {
            Some(last) if last.1 >= start => last.1 = last.1.max(end),
            _ => merged.push((start, end)),
        }
    }
    *pieces = merged;
}
