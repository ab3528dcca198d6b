//! Sender reports of many streams to one subscriber.

mod support;

use std::collections::HashSet;
use std::time::Duration;

use kinguicall_netem::{SentPacket, Track, World};
use kinguicall_proto::api::MediaKind;
use support::Vp8Source;

const CAMERAS: usize = 4;

#[test]
fn the_reports_of_all_streams_share_datagrams() {
    let mut world = World::new(1);
    let viewer = world.connect(0, false);
    let listener = world.connect(0, false);
    let publishers: Vec<_> = (0..CAMERAS).map(|_| world.connect(0, false)).collect();
    world.run_until_connected();
    let mut cameras = Vec::new();
    let mut microphones = Vec::new();
    let (mut seen, mut heard) = (Vec::new(), Vec::new());
    for publisher in publishers {
        let camera = world.publish(publisher, MediaKind::Video, 1);
        let microphone = world.publish(publisher, MediaKind::Audio, 1);
        seen.push(world.subscribe(viewer, &camera).1);
        heard.push(world.subscribe(listener, &microphone).1);
        cameras.push(Vp8Source::new(&camera, 0, 1_000));
        microphones.push(microphone);
    }
    let mut frame = 0;
    // Everybody begins at another time.
    for active in 1..=CAMERAS {
        let limit = frame + 7;
        play(
            &mut world,
            &mut cameras[..active],
            &microphones[..active],
            &mut frame,
            limit,
        );
    }
    // The publishers of audio report their clocks every five seconds.
    let limit = frame + 190;
    play(&mut world, &mut cameras, &microphones, &mut frame, limit);
    for (client, streams) in [(viewer, &seen), (listener, &heard)] {
        for ssrc in streams {
            let last = world.clients[client.0].packets(*ssrc).last();
            let last = last.expect("it flows");
            assert!(last.reported_rtp.is_some(), "no report of stream {ssrc}");
        }
    }

    let before = [viewer, listener].map(|it| world.clients[it.0].report_datagrams);
    let reported = |world: &World| -> HashSet<_> {
        let last = |ssrc: &u32| world.clients[viewer.0].packets(*ssrc).last().cloned();
        let last = seen.iter().filter_map(last);
        last.filter_map(|packet| packet.reported_rtp).collect()
    };
    let mut all = HashSet::new();
    for _ in 0..30 {
        let limit = frame + 10;
        play(&mut world, &mut cameras, &microphones, &mut frame, limit);
        all.extend(reported(&world));
    }
    let sent = [(viewer, before[0]), (listener, before[1])]
        .map(|(it, before)| world.clients[it.0].report_datagrams - before);
    // Ten seconds.
    assert!(
        (9..=12).contains(&sent[0]),
        "{sent:?} of 40 reports of video"
    );
    assert!((2..=3).contains(&sent[1]), "{sent:?} of 8 reports of audio");
    assert!(all.len() >= CAMERAS * 9, "{} reports of video", all.len());
}

#[test]
fn reports_leave_with_the_media_and_end_with_it() {
    let mut world = World::new(1);
    let viewer = world.connect(0, false);
    let publisher = world.connect(0, false);
    world.run_until_connected();
    let camera = world.publish(publisher, MediaKind::Video, 1);
    let ssrc = world.subscribe(viewer, &camera).1;
    let mut source = Vp8Source::new(&camera, 0, 1_000);
    let counts = |world: &World| {
        let client = &world.clients[viewer.0];
        (client.packets(ssrc).count(), client.report_datagrams)
    };
    let (mut media_at, mut reports_at) = (HashSet::new(), Vec::new());
    for step in 0..5_000 {
        let before = counts(&world);
        if step % 200 == 0 {
            source.frame(&mut world, false);
        }
        world.run(Duration::from_millis(1));
        let after = counts(&world);
        if after.0 > before.0 {
            media_at.insert(step);
        }
        if after.1 > before.1 {
            reports_at.push(step);
        }
    }
    // Media is counted once it has left the downlink.
    let is_with_media = |step: &i32| media_at.contains(step) || media_at.contains(&(step + 1));
    assert!(reports_at.iter().all(is_with_media), "{reports_at:?}");
    assert!((4..=5).contains(&reports_at.len()), "{reports_at:?}");
    let before = counts(&world);
    world.run(Duration::from_secs(3));
    assert_eq!(counts(&world), before, "nothing follows");
}

/// Cameras of 30 frames a second and microphones of as many packets.
fn play(
    world: &mut World,
    cameras: &mut [Vp8Source],
    microphones: &[Track],
    frame: &mut u64,
    limit: u64,
) {
    while *frame < limit {
        for camera in cameras.iter_mut() {
            camera.frame(world, false);
        }
        for microphone in microphones {
            let packet = SentPacket {
                sequence: *frame,
                timestamp: (*frame * 1_600) as u32,
                marker: false,
                payload: b"sound",
                audio_level: None,
            };
            world.send(microphone, 0, &packet);
        }
        *frame += 1;
        world.run(Duration::from_millis(33));
    }
}
