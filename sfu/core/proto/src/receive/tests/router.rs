//! Which track and layer a packet belongs to.

use proptest::prelude::*;

use super::{ms, start};
use crate::api::{Codec, Layer, Mid, ReceiveCodec, Rid, Ssrc, TrackId};
use crate::receive::{Route, Router, Section, SectionError};

const OPUS: u8 = 111;
const VP8: u8 = 96;
const VP8_RTX: u8 = 97;

fn token(text: &str) -> Mid {
    Mid::new(text.as_bytes()).expect("a short token")
}

fn audio(track: u32, mid: &str) -> Section {
    Section {
        track: TrackId(track),
        mid: token(mid),
        codecs: vec![ReceiveCodec {
            payload_type: OPUS,
            codec: Codec::Opus,
            clock_rate_hz: 48_000,
            rtx_payload_type: None,
        }],
        rids: Vec::new(),
        ssrcs: Vec::new(),
    }
}

fn video(track: u32, mid: &str, rids: &[&str], ssrcs: &[(u32, Option<u32>)]) -> Section {
    Section {
        codecs: vec![ReceiveCodec {
            payload_type: VP8,
            codec: Codec::Vp8,
            clock_rate_hz: 90_000,
            rtx_payload_type: Some(VP8_RTX),
        }],
        rids: rids.iter().map(|rid| token(rid)).collect(),
        ssrcs: ssrcs
            .iter()
            .map(|&(media, rtx)| (Ssrc(media), rtx.map(Ssrc)))
            .collect(),
        ..audio(track, mid)
    }
}

fn router(sections: impl IntoIterator<Item = Section>) -> Router {
    let mut router = Router::default();
    for section in sections {
        router.add_section(section).expect("fits");
    }
    router
}

fn bare(router: &mut Router, ssrc: u32, payload_type: u8) -> Option<Route> {
    router.route(start(), Ssrc(ssrc), payload_type, None, None, None)
}

fn with_rid(router: &mut Router, ssrc: u32, mid: &str, rid: &str) -> Option<Route> {
    router.route(
        start(),
        Ssrc(ssrc),
        VP8,
        Some(token(mid)),
        Some(token(rid)),
        None,
    )
}

fn with_mid(router: &mut Router, ssrc: u32, payload_type: u8, mid: &str) -> Option<Route> {
    router.route(
        start(),
        Ssrc(ssrc),
        payload_type,
        Some(token(mid)),
        None,
        None,
    )
}

#[test]
fn simulcast_is_learnt_from_extensions_and_then_known() {
    let mut router = router([audio(1, "0"), video(2, "1", &["q", "h", "f"], &[])]);
    for (layer, rid) in ["q", "h", "f"].into_iter().enumerate() {
        let ssrc = 100 + layer as u32;
        // Without extensions it cannot be told which layer this is.
        assert_eq!(bare(&mut router, ssrc, VP8), None);
        let route = with_rid(&mut router, ssrc, "1", rid).expect("routed");
        assert_eq!((route.track, route.layer), (TrackId(2), Layer(layer as u8)));
        assert!(!route.rtx);
        assert_eq!(bare(&mut router, ssrc, VP8), Some(route));
        assert_eq!(router.media_ssrc(route), Some(Ssrc(ssrc)));
    }
    assert_eq!(with_rid(&mut router, 200, "1", "x"), None, "unknown rid");
    assert_eq!(with_rid(&mut router, 200, "9", "q"), None, "unknown mid");
}

#[test]
fn retransmissions_share_the_stream_of_their_layer() {
    let mut router = router([video(2, "1", &["q", "f"], &[])]);
    let media = with_rid(&mut router, 101, "1", "f").expect("routed");
    let rtx = router
        .route(
            start(),
            Ssrc(201),
            VP8_RTX,
            Some(token("1")),
            None,
            Some(token("f")),
        )
        .expect("routed");
    assert!(rtx.rtx);
    assert_eq!((rtx.section, rtx.layer), (media.section, Layer(1)));
    assert_eq!(rtx.codec.map(|it| it.payload_type), Some(VP8));
    let known = bare(&mut router, 201, VP8_RTX).expect("known");
    assert_eq!(known, rtx);
    // A payload type of the other kind under a known SSRC is refused.
    assert_eq!(bare(&mut router, 201, VP8), None);
    assert_eq!(bare(&mut router, 101, VP8_RTX), None);
}

#[test]
fn declared_ssrcs_need_no_extensions() {
    let mut router = router([
        video(2, "1", &[], &[(10, Some(11)), (20, Some(21))]),
        video(3, "2", &[], &[(30, Some(31))]),
    ]);
    let low = bare(&mut router, 10, VP8).expect("declared");
    assert_eq!(bare(&mut router, 10, VP8), Some(low));
    let high = bare(&mut router, 21, VP8_RTX).expect("declared");
    assert_eq!(
        (high.track, high.layer, high.rtx),
        (TrackId(2), Layer(1), true)
    );
    assert_eq!(
        bare(&mut router, 30, VP8).map(|route| route.track),
        Some(TrackId(3))
    );
    let source = router.source(Ssrc(20)).expect("declared");
    assert_eq!(
        (source.track, source.layer, source.rtx),
        (TrackId(2), Layer(1), false)
    );
    assert_eq!(router.source(Ssrc(99)), None);
}

#[test]
fn extensions_win_over_the_order_of_declared_ssrcs() {
    // As Firefox lists them: the highest layer first.
    let ssrcs = [(30, Some(31)), (20, Some(21)), (10, Some(11))];
    let mut router = router([video(2, "1", &["q", "h", "f"], &ssrcs)]);
    for (ssrc, rid, layer) in [(30, "f", 2), (10, "q", 0), (20, "h", 1)] {
        let route = with_rid(&mut router, ssrc, "1", rid).expect("routed");
        assert_eq!(route.layer, Layer(layer));
    }
    let rtx = router
        .route(start(), Ssrc(11), VP8_RTX, None, None, Some(token("q")))
        .expect("declared");
    assert_eq!(rtx.layer, Layer(0));
    for (ssrc, layer) in [(30, 2), (20, 1), (10, 0)] {
        let route = bare(&mut router, ssrc, VP8).expect("known");
        assert_eq!(route.layer, Layer(layer));
        assert_eq!(router.media_ssrc(route), Some(Ssrc(ssrc)));
    }
}

#[test]
fn payload_type_decides_only_where_it_is_unique() {
    let mut router = router([audio(1, "0"), video(2, "1", &[], &[])]);
    assert_eq!(
        bare(&mut router, 5, OPUS).map(|route| route.track),
        Some(TrackId(1))
    );
    let rtx = bare(&mut router, 7, VP8_RTX).expect("the only video section");
    let media = bare(&mut router, 6, VP8).expect("the only video section");
    assert_eq!((rtx.section, rtx.layer), (media.section, media.layer));
    assert_eq!((rtx.rtx, media.rtx), (true, false));
    router.add_section(video(3, "2", &[], &[])).expect("fits");
    assert_eq!(bare(&mut router, 8, VP8), None, "two sections have it");
    assert_eq!(
        bare(&mut router, 6, VP8).map(|route| route.track),
        Some(TrackId(2))
    );
    router.remove_section(TrackId(2)).expect("exists");
    assert_eq!(
        bare(&mut router, 8, VP8).map(|route| route.track),
        Some(TrackId(3))
    );
    for payload_type in [0, 127, 128, 255] {
        assert_eq!(bare(&mut router, 9, payload_type), None);
        assert_eq!(with_mid(&mut router, 9, payload_type, "2"), None);
        // It takes up a number of a stream that is known.
        let skipped = bare(&mut router, 8, payload_type).expect("known");
        assert_eq!((skipped.track, skipped.codec), (TrackId(3), None));
    }
}

#[test]
fn a_guess_does_not_displace_knowledge() {
    let mut router = router([video(2, "1", &[], &[(10, None)])]);
    assert!(bare(&mut router, 10, VP8).is_some());
    assert_eq!(bare(&mut router, 99, VP8), None);
    // A guess gives way to another: the peer has restarted its encoder.
    router.remove_section(TrackId(2)).expect("exists");
    router.add_section(audio(1, "0")).expect("fits");
    assert!(bare(&mut router, 1, OPUS).is_some());
    assert!(bare(&mut router, 2, OPUS).is_some());
    assert_eq!(router.source(Ssrc(1)), None);
}

#[test]
fn another_ssrc_than_declared_is_told_by_a_payload_type_that_is_unique() {
    let mut router = router([audio(1, "0"), video(2, "1", &[], &[(10, Some(11))])]);
    let now = start();
    let at = |router: &mut Router, after, ssrc| {
        let now = now + ms(after);
        router.route(now, Ssrc(ssrc), VP8, None, None, None)
    };
    let undeclared = at(&mut router, 0, 99).expect("the only video section");
    assert_eq!((undeclared.track, undeclared.rtx), (TrackId(2), false));
    // The declared one does come, and is not displaced while it is heard.
    let declared = at(&mut router, 100, 10).expect("declared");
    assert_eq!(declared, undeclared);
    router.remove_section(TrackId(2)).expect("exists");
    router
        .add_section(video(2, "1", &[], &[(10, None)]))
        .expect("fits");
    assert!(at(&mut router, 200, 10).is_some());
    assert_eq!(at(&mut router, 2_100, 99), None);
    assert!(
        at(&mut router, 2_200, 99).is_some(),
        "silent for two seconds"
    );
    // With a second section of this payload type nothing can be told.
    router
        .add_section(video(3, "2", &[], &[(20, None)]))
        .expect("fits");
    assert_eq!(at(&mut router, 9_000, 98), None);
    assert_eq!(
        at(&mut router, 9_000, 20).map(|it| it.track),
        Some(TrackId(3))
    );
}

#[test]
fn the_longest_silent_ssrc_makes_room() {
    let mut router = router((0..120).map(|track| audio(track, &track.to_string())));
    let now = start();
    let mut at = |after, track: u32| {
        let mid = Some(token(&track.to_string()));
        let ssrc = Ssrc(1_000 + track);
        router.route(now + ms(after), ssrc, OPUS, mid, None, None)
    };
    for track in 0..96 {
        assert!(at(u64::from(track), track).is_some());
    }
    assert!(at(9_000, 0).is_some(), "the first one is heard again");
    assert_eq!(at(9_001, 96), None, "none has been silent for long");
    assert!(at(10_001, 96).is_some());
    assert_eq!(at(10_001, 97), None);
    assert!(at(10_002, 97).is_some());
    assert!(at(10_002, 0).is_some());
    assert!(!router.is_in_use(now + ms(10_002), Ssrc(1_001)));
    assert!(router.is_in_use(now + ms(10_002), Ssrc(1_097)));
}

#[test]
fn a_new_ssrc_for_the_same_layer_replaces_the_old() {
    let mut router = router([video(2, "1", &["q", "f"], &[])]);
    let old = with_rid(&mut router, 100, "1", "q").expect("routed");
    let new = with_rid(&mut router, 101, "1", "q").expect("routed");
    assert_eq!((new.section, new.layer), (old.section, old.layer));
    assert_eq!(bare(&mut router, 100, VP8), None);
    assert_eq!(router.media_ssrc(new), Some(Ssrc(101)));
}

#[test]
fn an_ssrc_follows_its_mid_to_another_section() {
    let mut router = router([audio(1, "0"), audio(2, "1")]);
    assert_eq!(
        with_mid(&mut router, 5, OPUS, "0").map(|route| route.track),
        Some(TrackId(1))
    );
    let moved = with_mid(&mut router, 5, OPUS, "1").expect("routed");
    assert_eq!(moved.track, TrackId(2));
    assert_eq!(
        bare(&mut router, 5, OPUS).map(|route| route.track),
        Some(TrackId(2))
    );
}

#[test]
fn a_rid_without_mid_stays_in_the_section_of_its_ssrc() {
    let ssrcs = [(10, Some(11)), (20, Some(21))];
    let mut router = router([
        video(2, "1", &["q", "f"], &ssrcs),
        video(3, "2", &["q", "f"], &[]),
    ]);
    let route = router
        .route(start(), Ssrc(10), VP8, None, Some(token("f")), None)
        .expect("known");
    assert_eq!((route.track, route.layer), (TrackId(2), Layer(1)));
}

#[test]
fn a_removed_section_takes_its_ssrcs_along() {
    let mut router = router([audio(1, "0"), video(2, "1", &["q"], &[(10, Some(11))])]);
    let section = bare(&mut router, 10, VP8).expect("declared").section;
    let removed = router.remove_section(TrackId(2)).expect("exists");
    assert_eq!(removed, [Ssrc(10), Ssrc(11)]);
    assert_eq!(router.source(Ssrc(10)), None);
    assert_eq!(bare(&mut router, 10, VP8), None);
    assert!(router.section(section).is_none());
    assert!(router.remove_section(TrackId(2)).is_none());
    // The MID, the track and the SSRCs may come back.
    router
        .add_section(video(2, "1", &["q"], &[(10, Some(11))]))
        .expect("fits");
    assert!(bare(&mut router, 11, VP8_RTX).is_some());
}

#[test]
fn contradicting_sections_are_refused() {
    let mut router = router([audio(1, "0")]);
    assert_eq!(
        router.add_section(audio(2, "0")),
        Err(SectionError::MidTaken)
    );
    assert_eq!(
        router.add_section(audio(1, "1")),
        Err(SectionError::TrackTaken)
    );
    for many in [
        video(3, "2", &["a", "b", "c", "d"], &[]),
        video(3, "2", &[], &[(1, None), (2, None), (3, None), (4, None)]),
    ] {
        assert_eq!(router.add_section(many), Err(SectionError::TooManyLayers));
    }
}

#[test]
fn a_declared_ssrc_stays_where_it_was_declared_first() {
    let mut router = router([
        video(1, "0", &[], &[(10, None)]),
        video(2, "1", &[], &[(10, Some(10))]),
    ]);
    assert_eq!(
        bare(&mut router, 10, VP8).map(|route| route.track),
        Some(TrackId(1))
    );
}

#[test]
fn ssrcs_of_a_transport_are_bounded() {
    let mut router = router((0..120).map(|track| audio(track, &track.to_string())));
    let mut routed = 0;
    for track in 0..120 {
        let mid = track.to_string();
        routed += u32::from(with_mid(&mut router, 1_000 + track, OPUS, &mid).is_some());
    }
    assert_eq!(routed, 96);
    // The old ones are kept, and may still be replaced.
    assert!(bare(&mut router, 1_000, OPUS).is_some());
    assert!(with_mid(&mut router, 5_000, OPUS, "3").is_some());
    assert_eq!(with_mid(&mut router, 5_001, OPUS, "119"), None);
}

#[test]
fn a_flood_of_ssrcs_takes_no_room() {
    let ssrcs = [(1, Some(2)), (3, Some(4)), (5, Some(6))];
    let mut router = router([audio(1, "0"), video(2, "1", &["q", "h", "f"], &ssrcs)]);
    let mut random: u32 = 12_345;
    for _ in 0..100_000 {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let rid = ["q", "h", "f", "x"][random as usize >> 16 & 3];
        let payload_type = [OPUS, VP8, VP8_RTX, 50][random as usize >> 20 & 3];
        let mid = [None, Some(token("0")), Some(token("1"))][(random as usize >> 8) % 3];
        router.route(
            start(),
            Ssrc(random),
            payload_type,
            mid,
            Some(token(rid)),
            None,
        );
        assert!(router.source_count() <= 8, "{}", router.source_count());
    }
    assert!(with_mid(&mut router, 7, OPUS, "0").is_some());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever comes, every SSRC that is known is the one in its place.
    #[test]
    fn places_and_sources_agree(
        packets in prop::collection::vec(
            (0_u32..40, prop::sample::select(vec![OPUS, VP8, VP8_RTX, 3]), 0_usize..5, 0_usize..4, any::<bool>()),
            0..300,
        ),
        removals in prop::collection::vec(0_usize..300, 0..4),
    ) {
        let mut router = router([
            audio(1, "0"),
            video(2, "1", &["q", "f"], &[(1, Some(2)), (3, None)]),
            video(3, "2", &[], &[(4, Some(5))]),
        ]);
        let mids = [None, Some(token("0")), Some(token("1")), Some(token("2")), Some(token("3"))];
        let rids: [Option<Rid>; 4] = [None, Some(token("q")), Some(token("f")), Some(token("x"))];
        for (at, (ssrc, payload_type, mid, rid, repaired)) in packets.into_iter().enumerate() {
            if removals.contains(&at) {
                router.remove_section(TrackId(3));
            }
            let (rid, repaired_rid) = if repaired { (None, rids[rid]) } else { (rids[rid], None) };
            let route = router.route(start(), Ssrc(ssrc), payload_type, mids[mid], rid, repaired_rid);
            if let Some(route) = route {
                let source = router.source(Ssrc(ssrc)).expect("learnt");
                let meant = (source.track, source.layer, source.rtx);
                prop_assert_eq!(meant, (route.track, route.layer, route.rtx));
                if !route.rtx {
                    prop_assert_eq!(router.media_ssrc(route), Some(Ssrc(ssrc)));
                }
                let is_known = route.codec.is_some();
                prop_assert!(!is_known || route.rtx == (payload_type == VP8_RTX));
            }
            prop_assert!(router.source_count() <= 8);
        }
    }
}
