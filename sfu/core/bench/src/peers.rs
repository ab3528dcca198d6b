//! How the peers of a run come about: they connect, publish and subscribe, and publishers send.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kinguicall_net::{Engine, EngineEvent};
use kinguicall_proto::api::{
    Command, DtlsRole, Event, ExtensionId, Mid, Publish, ReceiveCodec, RemoteDescription,
    SendCodec, Ssrc, Subscribe, SubscriptionId, SubscriptionSettings, TrackId, TransportId,
    TransportState,
};
use kinguicall_swarm::transport::Identity;

use crate::client::Client;
use crate::load::{Numbering, Position, Stream};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
const MAX_PACKET: usize = 1_500;

/// One that sends one stream.
pub(crate) struct Publisher {
    pub client: Client,
    pub track: TrackId,
    ssrc: Ssrc,
    numbering: Numbering,
}

impl Publisher {
    pub(crate) fn new(client: Client, track: TrackId, index: usize) -> Self {
        Self {
            client,
            track,
            ssrc: publisher_ssrc(index),
            numbering: Numbering::default(),
        }
    }

    /// Sends one packet.
    pub(crate) fn send(&mut self, stream: &Stream, position: Position) -> io::Result<()> {
        let mut buffer = [0x5a; MAX_PACKET];
        let plain = self
            .numbering
            .write(&mut buffer, stream, self.ssrc, b"0", position);
        let Some(session) = self.client.session() else {
            return Ok(());
        };
        let len = session
            .outbound
            .protect_rtp_numbered(&mut buffer, plain.header_len, plain.len, plain.rollover)
            .map_err(io::Error::other)?;
        self.client.socket().send(&buffer[..len])?;
        Ok(())
    }
}

/// Connects `count` clients and waits until the engine and the clients say that all are: the
/// last flight of a handshake may still be on its way when the engine has its keys.
pub(crate) fn connect(
    engine: &Engine,
    identity: &Arc<Identity>,
    count: usize,
) -> io::Result<Vec<(TransportId, Client)>> {
    let now = Instant::now();
    let mut clients = Vec::with_capacity(count);
    for _ in 0..count {
        let opened = engine.open_transport(None, false);
        let opened = opened.map_err(io::Error::other)?;
        let port = engine.udp_ports()[usize::from(opened.id.shard().0)];
        let server = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let remote = RemoteDescription {
            ice: opened.ice,
            fingerprint_sha256: engine.fingerprint_sha256(),
            dtls_role: DtlsRole::Client,
        };
        let client = Client::new(now, identity, server, remote)?;
        let remote = Box::new(client.description(identity));
        let command = Command::SetRemote(opened.id, remote);
        engine.command(command).map_err(io::Error::other)?;
        clients.push((opened.id, client));
    }
    let mut connected = 0;
    while connected < count || clients.iter_mut().any(|(_, c)| c.session().is_none()) {
        let now_turn = Instant::now();
        if now_turn > now + CONNECT_TIMEOUT {
            let message = format!("{connected} of {count} peers have connected");
            return Err(io::Error::new(io::ErrorKind::TimedOut, message));
        }
        for (_, client) in &mut clients {
            client.drive(now_turn)?;
        }
        connected += newly_connected(engine)?;
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(clients)
}

/// Takes in what the engine tells; returns how many peers have connected.
pub(crate) fn newly_connected(engine: &Engine) -> io::Result<usize> {
    let mut connected = 0;
    for event in engine.poll_events() {
        match event {
            EngineEvent::Shard(Event::TransportState(_, TransportState::Connected)) => {
                connected += 1;
            }
            EngineEvent::Shard(Event::TransportState(id, TransportState::Closed(why))) => {
                let message = format!("transport {id:?} closed: {why:?}");
                return Err(io::Error::other(message));
            }
            EngineEvent::Failed { message, .. } => return Err(io::Error::other(message)),
            EngineEvent::Shard(_) => {}
        }
    }
    Ok(connected)
}

/// Publisher number `index` publishes a stream.
pub(crate) fn publish(
    transport: TransportId,
    index: usize,
    stream: &Stream,
    extensions: Vec<ExtensionId>,
) -> Publish {
    Publish {
        track: TrackId(0),
        transport,
        kind: stream.kind,
        mid: Mid::new(b"0").expect("a short mid"),
        codecs: vec![ReceiveCodec {
            payload_type: stream.payload_type,
            codec: stream.codec,
            clock_rate_hz: stream.clock_rate_hz,
            rtx_payload_type: None,
        }],
        extensions,
        rids: Vec::new(),
        ssrcs: vec![(publisher_ssrc(index), None)],
        nack: true,
        microphone_of: None,
    }
}

/// Somebody subscribes to what publisher number `index` sends.
pub(crate) fn subscribe(
    transport: TransportId,
    track: TrackId,
    index: usize,
    stream: &Stream,
    extensions: Vec<ExtensionId>,
) -> Subscribe {
    Subscribe {
        id: SubscriptionId(0),
        transport,
        track,
        via: None,
        kind: stream.kind,
        ssrc: Ssrc(1_000 + index as u32),
        rtx_ssrc: None,
        codecs: vec![SendCodec {
            from_payload_type: stream.payload_type,
            payload_type: stream.payload_type,
            rtx_payload_type: None,
            codec: stream.codec,
            clock_rate_hz: stream.clock_rate_hz,
        }],
        extensions,
        first_sequence: 0,
        cname: format!("publisher-{index}"),
        settings: SubscriptionSettings {
            paused: false,
            max_layer: 2,
            ..SubscriptionSettings::default()
        },
    }
}

fn publisher_ssrc(index: usize) -> Ssrc {
    Ssrc(100 + index as u32)
}
