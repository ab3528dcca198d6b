//! SCTP packets and channel messages of a peer that keeps to no rule, before and inside an
//! association.

use std::time::Duration;

use kinguicall_proto::api::DataDelivery;

use super::sctp_peer::Peer;
use super::stun::start;
use crate::input::Input;

/// What a message is (RFC 8831, section 8), and one that nobody knows.
const PROTOCOLS: [u32; 8] = [50, 50, 51, 53, 56, 57, 52, 999];
const BEGINS_AND_ENDS: u8 = 3;
const SACK: u8 = 3;
const MAX_STEPS: usize = 24;

pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let mut peer = match input.byte() & 1 {
        0 => Peer::associated(start()),
        _ => Peer::stranger(start()),
    };
    for _ in 0..MAX_STEPS {
        if input.is_empty() {
            break;
        }
        step(&mut peer, &mut input);
    }
    peer.wait(Duration::from_secs(2));
}

fn step(peer: &mut Peer, input: &mut Input<'_>) {
    match input.byte() & 7 {
        0 => peer.send(input.short()),
        1 => message(peer, input),
        2 => {
            let tsn = peer.tsn.wrapping_add_signed(i32::from(input.byte() as i8));
            let (flags, stream) = (input.byte(), u16::from(input.byte()));
            peer.send_data(flags, stream, tsn, input.short());
        }
        3 => peer.wait(Duration::from_millis(20 * u64::from(input.byte()))),
        4 => {
            let bytes = vec![7; 64 * usize::from(input.byte())];
            peer.node.send(DataDelivery::Reliable, &bytes);
            peer.settle();
        }
        5 => acknowledge(peer, input),
        6 => peer.send_sealed(input.short().to_vec()),
        _ => {
            let packet = input.short();
            peer.node.handle(peer.now, packet);
            peer.settle();
        }
    }
}

/// A whole message on a stream, where it should be.
fn message(peer: &mut Peer, input: &mut Input<'_>) {
    let choice = input.byte();
    let stream = u16::from(choice >> 3);
    peer.tsn = peer.tsn.wrapping_add(1);
    let mut rest = vec![0, input.byte()];
    rest.extend(PROTOCOLS[usize::from(choice & 7)].to_be_bytes());
    rest.extend(input.short());
    peer.send_data(BEGINS_AND_ENDS, stream, peer.tsn, &rest);
}

/// A SACK near what the node has sent, with the input's gaps and duplicates.
fn acknowledge(peer: &mut Peer, input: &mut Input<'_>) {
    let distance = i32::from(input.byte() as i8);
    let cumulative = peer.node_tsn.wrapping_add_signed(distance);
    let window = u32::from(input.u16()) << 8;
    let (gaps, duplicates) = (input.byte() & 7, input.byte() & 3);
    let lists = input.take(usize::from(gaps) * 4 + usize::from(duplicates) * 4);
    let mut chunk = vec![SACK, 0];
    chunk.extend((16 + lists.len() as u16).to_be_bytes());
    chunk.extend(cumulative.to_be_bytes());
    chunk.extend(window.to_be_bytes());
    chunk.extend([0, gaps, 0, duplicates]);
    chunk.extend(lists);
    chunk.resize(chunk.len().next_multiple_of(4), 0);
    peer.send(&chunk);
}
