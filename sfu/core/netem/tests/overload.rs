//! A thread that does not keep up: what goes, in which order, and that it comes back.

#[path = "support/camera.rs"]
#[allow(
    dead_code,
    reason = "each test file looks at something else of the viewer"
)]
mod camera;

use std::time::Duration;

use camera::{Camera, Viewer, run};
use kinguicall_netem::World;
use kinguicall_proto::api::{Event, ShardId};

const HERE: ShardId = ShardId(0);
const BEHIND: Duration = Duration::from_millis(60);

/// Lets time pass in which the thread is behind at the end of every turn.
fn overloaded(world: &mut World, camera: &mut Camera, viewer: &mut Viewer, time: Duration) {
    let end = world.now + time;
    while world.now < end {
        world.fall_behind(HERE, BEHIND);
        run(world, camera, &mut [viewer], Duration::from_millis(1));
    }
}

#[test]
fn video_goes_layer_by_layer_and_audio_never() {
    let mut world = World::new(1);
    let publisher = world.connect(0, false);
    let client = world.connect(0, false);
    world.run_until_connected();
    let mut camera = Camera::new(&mut world, publisher);
    let mut viewer = Viewer::new(&mut world, client, &camera);
    run(
        &mut world,
        &mut camera,
        &mut [&mut viewer],
        Duration::from_secs(2),
    );
    let begin = world.now;
    assert!(
        viewer.layers(world.start, begin)[2] > 40,
        "the top layer flows"
    );

    // Half the levels: everybody is on the lowest layer and nobody without a picture.
    overloaded(
        &mut world,
        &mut camera,
        &mut viewer,
        Duration::from_millis(195),
    );
    let half = world.now;
    run(
        &mut world,
        &mut camera,
        &mut [&mut viewer],
        Duration::from_millis(250),
    );
    assert!(viewer.first_of(0, half).is_some(), "the lowest layer flows");
    assert!(!paused(&world));
    overloaded(
        &mut world,
        &mut camera,
        &mut viewer,
        Duration::from_millis(600),
    );
    assert!(paused(&world));
    let dark = world.now + Duration::from_millis(250);
    overloaded(&mut world, &mut camera, &mut viewer, Duration::from_secs(1));
    assert_eq!(viewer.layers(dark, world.now), [0, 0, 0]);

    let end = world.now;
    let recovery = end + Duration::from_secs(5);
    while world.now < recovery + Duration::from_millis(500) {
        world.fall_behind(HERE, Duration::ZERO);
        run(
            &mut world,
            &mut camera,
            &mut [&mut viewer],
            Duration::from_millis(1),
        );
    }
    assert!(!paused(&world));
    assert!(viewer.first_of(2, end).is_some_and(|at| at <= recovery));
    let silence = viewer.longest_silence(begin, world.now);
    assert!(
        silence < Duration::from_millis(50),
        "{silence:?} without audio"
    );
}

fn paused(world: &World) -> bool {
    let mut events = world.events.iter().rev();
    events
        .find_map(|event| match event {
            Event::StreamState { paused, .. } => Some(*paused),
            _ => None,
        })
        .unwrap_or(false)
}

#[test]
fn who_joins_an_overloaded_thread_gets_no_more_than_those_who_are_there() {
    let mut world = World::new(1);
    let publisher = world.connect(0, false);
    let clients = [world.connect(0, false), world.connect(0, false)];
    world.run_until_connected();
    let mut camera = Camera::new(&mut world, publisher);
    let mut present = Viewer::new(&mut world, clients[0], &camera);
    let second = Duration::from_secs(1);
    run(&mut world, &mut camera, &mut [&mut present], second);
    overloaded(&mut world, &mut camera, &mut present, second);
    assert!(paused(&world), "everybody's picture has gone");

    let mut late = Viewer::new(&mut world, clients[1], &camera);
    overloaded(&mut world, &mut camera, &mut late, second);
    assert_eq!(late.layers(world.start, world.now), [0, 0, 0]);
    assert!(!late.heard.is_empty(), "audio flows");
    let told = world.events.iter().any(|event| {
        matches!(event, Event::StreamState { subscription, paused: true } if *subscription == late.subscription)
    });
    assert!(told, "the late one has not been told");

    let end = world.now;
    while world.now < end + Duration::from_millis(5_500) {
        world.fall_behind(HERE, Duration::ZERO);
        run(
            &mut world,
            &mut camera,
            &mut [&mut late],
            Duration::from_millis(1),
        );
    }
    let back = late.first_of(2, end);
    assert!(back.is_some_and(|at| at <= end + Duration::from_secs(5)));
}
