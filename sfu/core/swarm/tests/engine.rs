//! The swarm against the engine, over loopback: media arrives, is timed, and what a simulated link
//! loses is repaired by retransmission.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kinguicall_net::{Engine, EngineConfig};
use kinguicall_proto::api::{
    Codec, Command, DtlsRole, ExtensionId, ExtensionKind, MediaKind, Mid, Publish, ReceiveCodec,
    RemoteDescription, SendCodec, Ssrc, Subscribe, SubscriptionId, SubscriptionSettings, TrackId,
    TransportId,
};
use kinguicall_swarm::clip::{Clip, SourceFrame};
use kinguicall_swarm::incoming::ReceiveConfig;
use kinguicall_swarm::io::{Swarm, SwarmConfig};
use kinguicall_swarm::link::LinkConfig;
use kinguicall_swarm::outgoing::{EncodingConfig, SendConfig};
use kinguicall_swarm::stats::StreamRecord;

const TICKS_PER_FRAME: u32 = 3_000;
const FRAMES: u32 = 30;

/// A second of 30 frames, one packet each; the first one looks like a key frame.
fn clip() -> Arc<Clip> {
    let mut key = vec![9; 400];
    key[..6].copy_from_slice(&[0x10, 0, 0, 0x9d, 0x01, 0x2a]);
    let mut delta = key.clone();
    delta[0] = 0x11;
    let source: Vec<SourceFrame<'_>> = (0..FRAMES)
        .map(|frame| SourceFrame {
            timestamp: frame * TICKS_PER_FRAME,
            level_dbov: 127,
            data: if frame == 0 { &key } else { &delta },
        })
        .collect();
    Arc::new(Clip::new(Codec::Vp8, 90_000, FRAMES * TICKS_PER_FRAME, &source).unwrap())
}

fn extensions() -> Vec<ExtensionId> {
    let kinds = [
        ExtensionKind::Mid,
        ExtensionKind::TransportCc,
        ExtensionKind::AbsCaptureTime,
    ];
    let numbered = kinds.into_iter().zip(1..);
    numbered
        .map(|(kind, id)| ExtensionId { id, kind })
        .collect()
}

/// Connects a transport of the swarm and one of the engine.
fn connect(swarm: &Swarm, engine: &Engine) -> (u32, TransportId) {
    let client = swarm.open(false).unwrap();
    let server = engine.open_transport(None, false).unwrap();
    let remote = RemoteDescription {
        ice: client.ice,
        fingerprint_sha256: swarm.fingerprint_sha256(),
        dtls_role: DtlsRole::Server,
    };
    let command = Command::SetRemote(server.id, Box::new(remote));
    engine.command(command).unwrap();
    let port = engine.udp_ports()[usize::from(server.id.shard().0)];
    let remote = RemoteDescription {
        ice: server.ice,
        fingerprint_sha256: engine.fingerprint_sha256(),
        dtls_role: DtlsRole::Client,
    };
    let candidate = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    swarm
        .set_extensions(client.id, extensions(), false)
        .unwrap();
    swarm
        .set_remote(client.id, remote, vec![candidate], true)
        .unwrap();
    (client.id, server.id)
}

fn publish(swarm: &Swarm, engine: &Engine) -> TrackId {
    let (client, server) = connect(swarm, engine);
    let codec = ReceiveCodec {
        payload_type: 96,
        codec: Codec::Vp8,
        clock_rate_hz: 90_000,
        rtx_payload_type: Some(97),
    };
    let track = engine.publish(Publish {
        track: TrackId(0),
        transport: server,
        kind: MediaKind::Video,
        mid: Mid::new(b"0").unwrap(),
        codecs: vec![codec],
        extensions: extensions(),
        rids: Vec::new(),
        ssrcs: vec![(Ssrc(10), Some(Ssrc(11)))],
        nack: true,
        microphone_of: None,
    });
    let encoding = EncodingConfig {
        clip: clip(),
        rid: None,
        ssrc: Ssrc(10),
        rtx_ssrc: Some(Ssrc(11)),
    };
    let send = SendConfig {
        track: 0,
        mid: Mid::new(b"0").unwrap(),
        payload_type: 96,
        rtx_payload_type: Some(97),
        encodings: vec![encoding],
        offset: Duration::ZERO,
    };
    swarm.send(client, send).unwrap();
    track.unwrap()
}

fn subscribe(swarm: &Swarm, engine: &Engine, track: TrackId) -> u32 {
    let (client, server) = connect(swarm, engine);
    let codec = SendCodec {
        from_payload_type: 96,
        payload_type: 96,
        rtx_payload_type: Some(97),
        codec: Codec::Vp8,
        clock_rate_hz: 90_000,
    };
    let subscribed = engine.subscribe(Subscribe {
        id: SubscriptionId(0),
        transport: server,
        track,
        via: None,
        kind: MediaKind::Video,
        ssrc: Ssrc(20),
        rtx_ssrc: Some(Ssrc(21)),
        codecs: vec![codec],
        extensions: extensions(),
        first_sequence: 0,
        cname: "publisher".to_owned(),
        settings: SubscriptionSettings::default(),
    });
    subscribed.unwrap();
    let receive = ReceiveConfig {
        stream: 7,
        kind: MediaKind::Video,
        codec: Codec::Vp8,
        clock_rate_hz: 90_000,
        ssrc: Ssrc(20),
        rtx_ssrc: Some(Ssrc(21)),
        nack: true,
    };
    swarm.receive(client, receive).unwrap();
    client
}

/// The only stream of a transport.
fn record(swarm: &Swarm, transport: u32) -> StreamRecord {
    let records = swarm.report().unwrap();
    let found = records.into_iter().find(|r| r.transport == transport);
    found.unwrap().streams.remove(0)
}

#[test]
fn media_arrives_and_losses_of_a_link_are_repaired() {
    let engine = Engine::start(&EngineConfig {
        udp_port: 0,
        threads: 1,
        bind_addresses: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
        ..EngineConfig::default()
    })
    .unwrap();
    let swarm = Swarm::start(&SwarmConfig {
        threads: 2,
        seed: 5,
    })
    .unwrap();
    let track = publish(&swarm, &engine);
    let good = subscribe(&swarm, &engine, track);
    let lossy = subscribe(&swarm, &engine, track);
    let link = LinkConfig {
        loss: 0.1,
        rate_bps: None,
        queue: Duration::ZERO,
        delay: Duration::from_millis(10),
    };
    swarm.set_link(lossy, link).unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while record(&swarm, good).frames.frames < 90 {
        assert!(Instant::now() < deadline, "{:?}", record(&swarm, good));
        std::thread::sleep(Duration::from_millis(50));
    }
    let (good, lossy) = (record(&swarm, good), record(&swarm, lossy));
    assert_eq!((good.stream, good.missing, good.repaired), (7, 0, 0));
    assert!(good.latency_mean > Duration::ZERO);
    assert!(lossy.latency_mean >= good.latency_mean + Duration::from_millis(5));
    assert!(lossy.repaired >= 3, "{lossy:?}");
    // What was lost last may be on its way still.
    assert!(lossy.missing < lossy.repaired, "{lossy:?}");
    swarm.stop();
    engine.stop();
}
