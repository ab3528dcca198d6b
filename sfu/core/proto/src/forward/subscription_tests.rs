//! What a subscriber would notice: gaps, jumps and repeats in its numbers.

use super::*;
use crate::api::{ShardId, SubscriptionId, TrackId, TransportId};
use crate::srtp::SendStreams;

const NO_CLOCKS: [Option<LayerClock>; MAX_LAYERS] = [None; MAX_LAYERS];

#[test]
fn starts_on_a_key_frame_only() {
    let mut sub = subscription();
    sub.retarget(Some(Layer(0)));
    assert_eq!(
        sub.forward(&packet(0, 70_000, 0, false), None, &NO_CLOCKS),
        Verdict::Skip
    );
    assert_eq!(sub.waits_for(), Some(Layer(0)));
    let first = sent(sub.forward(&packet(0, 70_001, 0, true), None, &NO_CLOCKS));
    assert_eq!(first.sequence, 100);
    assert_eq!(first.payload_type, 97);
    assert_eq!(sub.waits_for(), None);
}

#[test]
fn a_late_joiner_starts_at_rollover_zero() {
    for packets_before in [70_000u64, 140_000] {
        let mut sub = subscription();
        sub.retarget(Some(Layer(0)));
        let first = sent(sub.forward(
            &packet(0, 65_536 + packets_before, 0, true),
            None,
            &NO_CLOCKS,
        ));
        assert!(first.sequence < 1 << 15);
    }
}

#[test]
fn a_switch_keeps_numbers_and_time_continuous() {
    let mut sub = subscription();
    sub.retarget(Some(Layer(0)));
    let start = Instant::now();
    let mut low = packet(0, 70_000, 1_000, true);
    low.received_at = start;
    sent(sub.forward(&low, Some(&descriptor(10, 3)), &NO_CLOCKS));
    sub.retarget(Some(Layer(2)));
    let mut high = packet(2, 90_000, 555_000, false);
    high.received_at = start + Duration::from_millis(100);
    assert_eq!(
        sub.forward(&high, Some(&descriptor(70, 30)), &NO_CLOCKS),
        Verdict::Skip
    );
    let low = packet(0, 70_001, 4_000, false);
    let before = sent(sub.forward(&low, Some(&descriptor(11, 4)), &NO_CLOCKS));
    high.switch_point = true;
    high.sequence += 1;
    let after = sent(sub.forward(&high, Some(&descriptor(71, 31)), &NO_CLOCKS));
    assert_eq!(after.sequence, before.sequence + 1);
    let step = after.timestamp.wrapping_sub(before.timestamp);
    assert!(step > 0 && step < 90_000, "{step}");
    let (old, new) = (before.vp8.expect("vp8"), after.vp8.expect("vp8"));
    assert_eq!(new.picture_id, old.picture_id + 1);
    assert_eq!(new.tl0_pic_idx, old.tl0_pic_idx + 1);
    let stray = packet(0, 70_002, 7_000, false);
    assert_eq!(
        sub.forward(&stray, None, &NO_CLOCKS),
        Verdict::Skip,
        "the old layer has ended"
    );
}

#[test]
fn a_switch_follows_the_publishers_clock_where_it_is_known() {
    let mut sub = subscription();
    let now = Instant::now();
    let clock = |rtp| {
        Some(LayerClock {
            ntp: 9 << 32,
            rtp,
            received_at: now,
            clock_rate_hz: 90_000,
        })
    };
    let clocks = [clock(1_000), None, clock(500_000)];
    sub.retarget(Some(Layer(0)));
    sent(sub.forward(&packet(0, 70_000, 1_000, true), None, &clocks));
    sub.retarget(Some(Layer(2)));
    let out = sent(sub.forward(&packet(2, 90_000, 503_000, true), None, &clocks));
    assert_eq!(out.timestamp, 4_000);
    assert_eq!(
        sub.report_time(&clocks, now),
        None,
        "nothing counted as sent yet"
    );
    sub.packets_sent = 2;
    assert_eq!(sub.report_time(&clocks, now), Some((9 << 32, 1_000)));
}

#[test]
fn another_track_follows_the_publishers_clock_too() {
    let mut sub = subscription();
    let clock = |rtp| LayerClock {
        ntp: 9 << 32,
        rtp,
        received_at: Instant::now(),
        clock_rate_hz: 90_000,
    };
    let before = [Some(clock(1_000)), None, None];
    sub.retarget(Some(Layer(0)));
    let last = sent(sub.forward(&packet(0, 70_000, 4_000, true), None, &before));
    let codec = SendCodec {
        payload_type: 99,
        rtx_payload_type: None,
        ..sub.codecs[0]
    };
    sub.change_track(&[codec], SubscriptionSettings::default(), &before);
    let after = [None, Some(clock(500_000)), None];
    sub.retarget(Some(Layer(1)));
    assert_eq!(
        sub.forward(&packet(1, 9, 505_000, false), None, &after),
        Verdict::Skip,
        "not before a key frame"
    );
    let out = sent(sub.forward(&packet(1, 10, 506_000, true), None, &after));
    assert_eq!((out.sequence, out.payload_type), (last.sequence + 1, 99));
    assert_eq!(out.timestamp, 7_000);
    let answer = sub.answer_nack(last.sequence as u16, Instant::now(), Duration::ZERO);
    assert_eq!(answer, None, "it was of the track before");
}

#[test]
fn pausing_stops_at_once_and_resuming_continues() {
    let mut sub = subscription();
    sub.retarget(Some(Layer(0)));
    let before = sent(sub.forward(&packet(0, 70_000, 0, true), None, &NO_CLOCKS));
    sub.set_settings(SubscriptionSettings {
        paused: true,
        max_layer: 2,
        ..SubscriptionSettings::default()
    });
    sub.retarget(Some(Layer(0)));
    assert_eq!(
        sub.forward(&packet(0, 70_001, 0, true), None, &NO_CLOCKS),
        Verdict::Skip
    );
    sub.set_settings(SubscriptionSettings {
        paused: false,
        max_layer: 2,
        ..SubscriptionSettings::default()
    });
    sub.retarget(Some(Layer(0)));
    assert_eq!(
        sub.forward(&packet(0, 80_000, 3_000, false), None, &NO_CLOCKS),
        Verdict::Skip
    );
    let after = sent(sub.forward(&packet(0, 80_001, 6_000, true), None, &NO_CLOCKS));
    assert_eq!(after.sequence, before.sequence + 1);
    assert_eq!(after.timestamp, 6_000, "one layer is one clock");
}

#[test]
fn a_temporal_limit_leaves_no_hole_in_any_number() {
    let mut sub = subscription();
    sub.retarget(Some(Layer(0)));
    sub.set_settings(SubscriptionSettings {
        max_temporal_layer: 1,
        ..sub.settings()
    });
    sub.retarget(Some(Layer(0)));
    let mut last: Option<Outgoing> = None;
    // Frames of two packets, in the temporal pattern 0 2 1 2.
    for n in 0..80u64 {
        let temporal_id = [0, 2, 1, 2][n as usize % 4];
        for part in 0..2 {
            let meta = packet(0, 70_000 + 2 * n + part, n as u32 * 3_000, n == 0);
            let descriptor = temporal(32_760 + n as u16, (n / 4) as u8, temporal_id);
            let verdict = sub.forward(&meta, Some(&descriptor), &NO_CLOCKS);
            if temporal_id == 2 {
                assert_eq!(verdict, Verdict::Skip);
                continue;
            }
            let out = sent(verdict);
            if let Some(before) = last.replace(out) {
                assert_eq!(out.sequence, before.sequence + 1);
                let (old, new) = (before.vp8.expect("vp8"), out.vp8.expect("vp8"));
                let step = new.picture_id.wrapping_sub(old.picture_id) & 0x7fff;
                assert_eq!(u64::from(step), 1 - part);
                assert!(new.tl0_pic_idx.wrapping_sub(old.tl0_pic_idx) <= 1);
            }
        }
    }
}

#[test]
fn repeats_exactly_what_was_sent() {
    let mut sub = subscription();
    sub.retarget(Some(Layer(0)));
    let meta = packet(0, 70_000, 1_000, true);
    let first = sent(sub.forward(&meta, Some(&descriptor(10, 3)), &NO_CLOCKS));
    let (sequence, history) = sub
        .answer_nack(first.sequence as u16, Instant::now(), Duration::ZERO)
        .expect("just sent");
    assert_eq!(sub.repeat(&meta, sequence, &history), Some(first));
    let (payload_type, one) = sub.next_rtx(96).expect("negotiated");
    assert_eq!((one.ssrc(), payload_type), (Ssrc(8), 98));
    let (_, two) = sub.next_rtx(96).expect("negotiated");
    assert_eq!(two.sequence(), one.sequence() + 1);
    assert!(
        sub.answer_nack(5_000, Instant::now(), Duration::ZERO)
            .is_none()
    );
}

#[test]
fn a_larger_layer_is_not_repaired_after_the_switch_to_a_smaller_one() {
    let mut sub = subscription();
    let mut sequence = 70_000;
    let mut switch = |layer: u8| {
        sub.retarget(Some(Layer(layer)));
        sequence += 10_000;
        let meta = packet(layer, sequence, sequence as u32, true);
        let first = sent(sub.forward(&meta, Some(&descriptor(10, 3)), &NO_CLOCKS));
        let before = (first.sequence as u16).wrapping_sub(1);
        sub.answer_nack(before, Instant::now(), Duration::ZERO)
            .is_some()
    };
    assert!(!switch(0), "nothing has been sent before");
    assert!(switch(2), "the smaller picture is still of use");
    assert!(!switch(0));
}

#[test]
fn a_codec_that_was_not_negotiated_is_skipped() {
    let mut sub = subscription();
    sub.retarget(Some(Layer(0)));
    let mut meta = packet(0, 70_000, 0, true);
    meta.payload_type = 45;
    assert_eq!(sub.forward(&meta, None, &NO_CLOCKS), Verdict::Skip);
}

#[test]
fn packets_of_a_codec_that_was_not_negotiated_leave_no_hole() {
    let mut sub = subscription();
    sub.retarget(Some(Layer(0)));
    let forward = |sub: &mut Subscription, sequence, payload_type| {
        let mut meta = packet(0, sequence, 0, true);
        meta.payload_type = payload_type;
        sub.forward(&meta, None, &NO_CLOCKS)
    };
    assert_eq!(sent(forward(&mut sub, 70_000, 96)).sequence, 100);
    assert_eq!(forward(&mut sub, 70_001, 45), Verdict::Skip);
    assert_eq!(forward(&mut sub, 70_002, 45), Verdict::Skip);
    assert_eq!(sent(forward(&mut sub, 70_003, 96)).sequence, 101);
}

#[test]
fn a_filler_goes_only_to_who_sees_the_hole() {
    let (mut sees, mut does_not) = (subscription(), subscription());
    for sub in [&mut sees, &mut does_not] {
        sub.retarget(Some(Layer(0)));
        sent(sub.forward(&packet(0, 70_000, 0, true), None, &NO_CLOCKS));
    }
    let next = packet(0, 70_002, 3_000, false);
    sent(sees.forward(&next, None, &NO_CLOCKS));
    let mut filler = packet(0, 70_001, 0, false);
    filler.is_filler = true;
    assert_eq!(sent(sees.forward(&filler, None, &NO_CLOCKS)).sequence, 101);
    assert_eq!(does_not.forward(&filler, None, &NO_CLOCKS), Verdict::Skip);
    assert_eq!(
        sent(does_not.forward(&next, None, &NO_CLOCKS)).sequence,
        101
    );
}

#[test]
fn redundancy_comes_and_goes_with_loss() {
    let mut sub = subscription();
    let as_codec = |from_payload_type, payload_type, codec| SendCodec {
        from_payload_type,
        payload_type,
        rtx_payload_type: None,
        codec,
        clock_rate_hz: 48_000,
    };
    sub.codecs = Box::new([
        as_codec(63, 64, Codec::Red),
        as_codec(111, 112, Codec::Opus),
    ]);
    sub.retarget(Some(Layer(0)));
    let start = Instant::now();
    let forward = |sub: &mut Subscription, sequence| {
        let meta = MediaMeta {
            payload_type: 63,
            codec: Codec::Red,
            ..packet(0, sequence, 0, true)
        };
        let out = sent(sub.forward(&meta, None, &NO_CLOCKS));
        (out.payload_type, out.unwrap_red, out.sequence as u16)
    };
    let seconds = Duration::from_secs;
    let (_, _, first) = forward(&mut sub, 70_000);
    for (at, lost, payload_type) in [(1, 0, 64), (25, 1, 64), (50, 0, 64), (56, 0, 112)] {
        sub.on_reception_report(start + seconds(at), lost);
        let (sent_as, unwrapped, _) = forward(&mut sub, 70_000 + at);
        assert_eq!((sent_as, unwrapped), (payload_type, payload_type == 112));
    }
    let now = start + seconds(57);
    assert!(
        sub.answer_nack(first, now, Duration::ZERO).is_none(),
        "its number must not be used with another content"
    );
    let (_, _, last) = forward(&mut sub, 70_100);
    assert!(sub.answer_nack(last, now, Duration::ZERO).is_some());
    sub.on_reception_report(now, 3);
    assert_eq!(forward(&mut sub, 70_101).0, 64);
}

fn sent(verdict: Verdict) -> Outgoing {
    match verdict {
        Verdict::Send(outgoing) => outgoing,
        Verdict::Skip => panic!("expected the packet to be sent"),
    }
}

fn descriptor(picture_id: u16, tl0: u8) -> vp8::Descriptor {
    // X, I and L set, 15-bit picture id, TL0PICIDX; start of partition 0.
    let [high, low] = (picture_id | 0x8000).to_be_bytes();
    vp8::Descriptor::parse(&[0x90, 0xc0, high, low, tl0, 0x00, 0, 0, 0x9d, 1, 0x2a])
        .expect("well formed")
}

fn temporal(picture_id: u16, tl0: u8, temporal_id: u8) -> vp8::Descriptor {
    // X; I, L and T set.
    let [high, low] = (picture_id | 0x8000).to_be_bytes();
    let payload = [0x90, 0xe0, high, low, tl0, temporal_id << 6, 1, 0, 0, 1, 2];
    vp8::Descriptor::parse(&payload).expect("well formed")
}

fn packet(layer: u8, sequence: u64, timestamp: u32, switch_point: bool) -> MediaMeta {
    MediaMeta {
        layer: Layer(layer),
        timestamp,
        switch_point,
        ..super::super::track::tests::meta(sequence)
    }
}

fn subscription() -> Subscription {
    let shard = ShardId(0);
    let request = Subscribe {
        id: SubscriptionId::new(shard, 1),
        transport: TransportId::new(shard, 1),
        track: TrackId::new(shard, 1),
        via: None,
        kind: MediaKind::Video,
        ssrc: Ssrc(7),
        rtx_ssrc: Some(Ssrc(8)),
        codecs: vec![SendCodec {
            from_payload_type: 96,
            payload_type: 97,
            rtx_payload_type: Some(98),
            codec: Codec::Vp8,
            clock_rate_hz: 90_000,
        }],
        extensions: Vec::new(),
        first_sequence: 100,
        cname: "PA_x".to_owned(),
        settings: SubscriptionSettings {
            paused: false,
            max_layer: 2,
            ..SubscriptionSettings::default()
        },
    };
    let mut streams = SendStreams::default();
    let mut open = |ssrc| streams.open(ssrc, request.first_sequence).expect("fresh");
    let (media, rtx) = (open(request.ssrc), request.rtx_ssrc.map(open));
    Subscription::new(&request, media, rtx, Instant::now())
}
