//! Data packets: who is named as their sender, where they may go, which ones are refused.

use proptest::prelude::*;

use super::*;

const SENDER: Attribution<'_> = Attribution {
    sid: "PA_sender",
    identity: "ada",
};

fn text(number: u32, value: &str) -> Vec<u8> {
    bytes(number, value.as_bytes())
}

fn bytes(number: u32, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_bytes_field(&mut out, number, value);
    out
}

fn varint(number: u32, value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    put_varint_field(&mut out, number, value);
    out
}

/// Numbers and values of a message's fields, in order.
fn fields(packet: &[u8]) -> Vec<(u32, Vec<u8>)> {
    Fields(packet)
        .map(|field| field.unwrap())
        .map(|field| (field.number, field.value.to_vec()))
        .collect()
}

fn values(packet: &[u8], number: u32) -> Vec<Vec<u8>> {
    let fields = fields(packet).into_iter();
    let fields = fields.filter(|(found, _)| *found == number);
    fields.map(|(_, value)| value).collect()
}

#[test]
fn a_forged_sender_is_replaced() {
    let user = [
        text(1, "PA_forged"),
        bytes(2, b"hello"),
        text(5, "eve"),
        text(4, "chat"),
    ]
    .concat();
    let packet = [
        text(4, "eve"),
        bytes(2, &user),
        varint(16, 7),
        text(17, "PA_forged"),
    ]
    .concat();
    let (out, addressing) = rewrite(&packet, Some(SENDER), DataDelivery::Reliable).unwrap();
    assert_eq!(values(&out, 4), [b"ada".to_vec()]);
    assert_eq!(values(&out, 17), [b"PA_sender".to_vec()]);
    assert_eq!(values(&out, 16), [vec![7]]);
    assert_eq!(addressing.sequence, 7);
    let user = &values(&out, 2)[0];
    assert_eq!(values(user, 1), [b"PA_sender".to_vec()]);
    assert_eq!(values(user, 5), [b"ada".to_vec()]);
    assert_eq!(values(user, 2), [b"hello".to_vec()]);
    assert_eq!(values(user, 4), [b"chat".to_vec()]);
}

#[test]
fn a_hidden_sender_leaves_no_trace() {
    let nobody = Attribution {
        sid: "",
        identity: "",
    };
    let user = [text(1, "PA_x"), bytes(2, b"hello"), text(5, "x")].concat();
    let packet = [text(4, "x"), bytes(2, &user), text(17, "PA_x")].concat();
    let (out, _) = rewrite(&packet, Some(nobody), DataDelivery::Reliable).unwrap();
    assert_eq!(fields(&out), [(2, bytes(2, b"hello"))]);
}

#[test]
fn the_kind_is_that_of_the_channel() {
    let packet = [varint(1, 0), bytes(2, &bytes(2, b"x"))].concat();
    let (out, _) = rewrite(&packet, Some(SENDER), DataDelivery::Lossy).unwrap();
    assert_eq!(values(&out, 1), [vec![1]]);
    let packet = [varint(1, 1), bytes(2, &bytes(2, b"x"))].concat();
    let (out, _) = rewrite(&packet, Some(SENDER), DataDelivery::Reliable).unwrap();
    assert!(values(&out, 1).is_empty());
}

#[test]
fn destinations_are_the_same_in_both_places() {
    let outer = [text(5, "bo"), text(5, "cy"), bytes(2, &bytes(2, b"x"))].concat();
    let user = [
        bytes(2, b"x"),
        text(6, "bo"),
        text(6, "cy"),
        text(3, "PA_d"),
    ]
    .concat();
    for packet in [outer, bytes(2, &user)] {
        let (out, addressing) = rewrite(&packet, Some(SENDER), DataDelivery::Reliable).unwrap();
        let both = [b"bo".to_vec(), b"cy".to_vec()];
        assert_eq!(addressing.destination_identities, ["bo", "cy"]);
        assert!(addressing.is_directed());
        assert_eq!(values(&out, 5), both);
        assert_eq!(values(&values(&out, 2)[0], 6), both);
    }
}

#[test]
fn packets_that_participants_do_not_send_are_refused() {
    for number in [3, 7, 8] {
        let packet = bytes(number, b"");
        let result = rewrite(&packet, Some(SENDER), DataDelivery::Reliable);
        assert_eq!(result, Err(PacketError::NotAllowed));
        assert!(rewrite(&packet, None, DataDelivery::Reliable).is_ok());
    }
}

#[test]
fn the_servers_own_packets_keep_their_sender() {
    let packet = [bytes(2, &text(5, "api")), text(4, "api")].concat();
    let (out, _) = rewrite(&packet, None, DataDelivery::Reliable).unwrap();
    assert_eq!(out, packet);
}

#[test]
fn a_packet_grows_by_no_more_than_its_destinations_and_its_sender() {
    let name = "n".repeat(30);
    let named: Vec<u8> = (0..1_000).flat_map(|_| text(5, &name)).collect();
    let packet = [named, bytes(2, b"")].concat();
    let (out, _) = rewrite(&packet, Some(SENDER), DataDelivery::Reliable).unwrap();
    assert!(out.len() <= 2 * packet.len() + 128, "{}", out.len());
    let many = [packet, bytes(2, b"").repeat(16_000)].concat();
    let result = rewrite(&many, Some(SENDER), DataDelivery::Reliable);
    assert_eq!(result, Err(PacketError::Malformed));
}

#[test]
fn malformed_packets_are_refused() {
    for packet in [
        &[0x12, 5, 1][..],         // longer than the message
        &[0x00, 0],                // field number 0
        &[0x0b, 0],                // a group
        &[0x80; 11],               // an endless varint
        &[0x20, 1, 0x2a, 1, 0xff], // a name that is not UTF-8
        &[0x10, 1],                // `user` as a number
    ] {
        let result = rewrite(packet, Some(SENDER), DataDelivery::Reliable);
        assert_eq!(result, Err(PacketError::Malformed), "{packet:?}");
    }
}

#[test]
fn large_packets_are_refused() {
    let packet = bytes(2, &bytes(2, &vec![0; MAX_PACKET]));
    let result = rewrite(&packet, Some(SENDER), DataDelivery::Reliable);
    assert_eq!(result, Err(PacketError::TooLarge));
    let crowd = text(5, "x").repeat(MAX_DESTINATIONS + 1);
    let result = rewrite(&crowd, Some(SENDER), DataDelivery::Reliable);
    assert_eq!(result, Err(PacketError::TooLarge));
}

/// As descriptions announce it.
const ANNOUNCED: usize = 64_512;

#[test]
fn what_is_as_long_as_announced_fits_whoever_says_it() {
    let user = |len| bytes(2, &bytes(2, &vec![7; len]));
    let packet = user(60_000);
    let packet = user(60_000 + ANNOUNCED - packet.len());
    assert_eq!(packet.len(), ANNOUNCED);
    let longest = "x".repeat(256);
    let sender = Attribution {
        sid: "PA_0123456789ab",
        identity: &longest,
    };
    for delivery in [DataDelivery::Reliable, DataDelivery::Lossy] {
        let (out, _) = rewrite(&packet, Some(sender), delivery).unwrap();
        assert!(out.len() <= MAX_PACKET, "{} bytes", out.len());
    }
}

#[test]
fn destinations_are_not_told_twice_where_that_is_too_long() {
    let names: Vec<String> = (0..100).map(|n| format!("{n:0>200}")).collect();
    let named: Vec<u8> = names.iter().flat_map(|name| text(5, name)).collect();
    for (payload, told) in [(1_000, 100), (40_000, 0)] {
        let packet = [named.clone(), bytes(2, &bytes(2, &vec![7; payload]))].concat();
        let (out, addressing) = rewrite(&packet, Some(SENDER), DataDelivery::Reliable).unwrap();
        assert_eq!(addressing.destination_identities, names);
        assert_eq!(values(&out, 5).len(), 100);
        assert_eq!(values(&values(&out, 2)[0], 6).len(), told);
    }
}

#[test]
fn raw_bytes_become_a_user_packet() {
    let packet = wrap_raw(b"from another label");
    let (out, _) = rewrite(&packet, Some(SENDER), DataDelivery::Reliable).unwrap();
    let user = &values(&out, 2)[0];
    assert_eq!(values(user, 2), [b"from another label".to_vec()]);
    assert_eq!(values(user, 5), [b"ada".to_vec()]);
}

proptest! {
    #[test]
    fn any_bytes_are_survived(packet in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = rewrite(&packet, Some(SENDER), DataDelivery::Lossy);
        let _ = rewrite(&packet, None, DataDelivery::Reliable);
    }

    #[test]
    fn other_fields_stay_byte_by_byte(
        parts in proptest::collection::vec(
            (prop_oneof![9_u32..16, 18_u32..40, 1_000_u32..1_010],
             proptest::collection::vec(any::<u8>(), 0..40), any::<u64>(), 0_u8..4), 0..12),
    ) {
        let mut packet = Vec::new();
        for (number, value, number_value, wire) in &parts {
            match wire {
                0 => put_varint_field(&mut packet, *number, *number_value),
                1 => {
                    put_varint(&mut packet, u64::from(*number) << 3 | 1);
                    packet.extend(number_value.to_le_bytes());
                }
                2 => {
                    put_varint(&mut packet, u64::from(*number) << 3 | 5);
                    packet.extend((*number_value as u32).to_le_bytes());
                }
                _ => put_bytes_field(&mut packet, *number, value),
            }
        }
        let original = packet.clone();
        packet.extend(text(4, "forged"));
        let (out, _) = rewrite(&packet, Some(SENDER), DataDelivery::Reliable).unwrap();
        prop_assert!(out.starts_with(&original));
        let rest = [text(4, "ada"), text(17, "PA_sender")].concat();
        prop_assert_eq!(&out[original.len()..], &rest[..]);
    }
}
