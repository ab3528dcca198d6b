//! A participant's `livekit.DataPacket`: rewritten to carry who sent it, and nobody else's name.

use kinguicall_proto::api::DataDelivery;
use kinguicall_proto::data::packet::{Attribution, MAX_PACKET, rewrite, wrap_raw};

const SENDER: Attribution<'_> = Attribution {
    sid: "PA_sender",
    identity: "sender",
};
/// Destinations are told at two places, which the sender need not have done; and the sender is.
const MAX_GROWTH: usize = 128;

pub fn run(data: &[u8]) {
    for sender in [Some(SENDER), None] {
        for delivery in [DataDelivery::Reliable, DataDelivery::Lossy] {
            let Ok((out, addressing)) = rewrite(data, sender, delivery) else {
                continue;
            };
            assert!(out.len() <= 2 * data.len() + MAX_GROWTH);
            if out.len() <= MAX_PACKET {
                let again = rewrite(&out, sender, delivery).expect("our own packet is sound");
                assert_eq!(again, (out, addressing));
            }
        }
    }
    let wrapped = wrap_raw(data);
    assert!(rewrite(&wrapped, Some(SENDER), DataDelivery::Reliable).is_ok());
}
