//! Many rooms of ordinary size on few media threads: the load of a node that is used in earnest, in
//! an amount that can be chosen while it runs.
//!
//! The first media thread has a core to itself: whoever sends the load is on the last one. Transport
//! feedback is not negotiated, so that nothing but overload makes the engine send less.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kinguicall_net::{Engine, EngineConfig, Latency};
use kinguicall_proto::api::{ExtensionId, ExtensionKind, MediaKind, TransportId};
use kinguicall_swarm::transport::Identity;

use crate::client::Client;
use crate::load::{AUDIO, Burst, MID_EXTENSION, Position, Schedule, Stream, VIDEO};
use crate::peers::{Publisher, connect, newly_connected, publish, subscribe};
use crate::sleep_until;
use crate::threads::{self, MediaThread};
use crate::totals::totals_and_first;

/// Of each room.
const VIDEOS: usize = 4;
const AUDIOS: usize = 2;
const VIEWERS: usize = 20;
/// On each media thread; every room is on all of them.
pub(crate) const ROOMS: usize = 16;
/// Viewers who read and decrypt what they get, each in another room.
const WITNESSES: usize = 4;
/// How often some of the peers are driven, and the media threads looked at. All at once would hold up
/// what is to be sent.
const CHECK_INTERVAL: Duration = Duration::from_millis(1);
/// Each peer is driven in one of so many checks.
const TURNS: usize = 16;
/// For what is on its way to arrive.
const SETTLE: Duration = Duration::from_millis(300);

const CAMERA: Stream = Stream {
    temporal_layers: true,
    ..VIDEO
};

/// What has been sent and got since the beginning.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Count {
    /// By publishers, to the rooms of the witnesses.
    pub video_sent: u64,
    pub audio_sent: u64,
    /// By witnesses.
    pub video_got: u64,
    pub audio_got: u64,
}

/// What one stretch of time has shown.
pub(crate) struct Stretch {
    pub busy_share: f64,
    /// Of the first media thread, which has its core to itself.
    pub us_per_packet: f64,
    pub packets_per_s: f64,
    pub latency: Latency,
    pub count: Count,
}

/// A running engine with its rooms.
pub(crate) struct Rooms {
    engine: Engine,
    rooms: usize,
    threads: Vec<MediaThread>,
    publishers: Vec<Publisher>,
    witnesses: Vec<Client>,
    sinks: Vec<Client>,
    video: Schedule,
    audio: Schedule,
    check_at: Instant,
    turn: usize,
    sent: Count,
    /// How often a media thread was looked at, and how often it waited for a lock.
    pub looks: u64,
    pub in_lock: u64,
}

impl Rooms {
    /// Connects everybody. The calling thread is moved to the last core; see `threads`.
    pub(crate) fn start(media_threads: usize) -> io::Result<Self> {
        let others = threads::of_media()?;
        let engine = Engine::start(&EngineConfig {
            udp_port: 0,
            threads: media_threads,
            pin_threads: true,
            bind_addresses: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
            ..EngineConfig::default()
        })?;
        let identity = Arc::new(Identity::new()?);
        let now = Instant::now();
        let count = ROOMS * media_threads;
        let mut rooms = Self {
            rooms: count,
            threads: threads::of_media()?
                .into_iter()
                .filter(|it| !others.contains(it))
                .collect(),
            publishers: Vec::new(),
            witnesses: Vec::new(),
            sinks: Vec::new(),
            video: Schedule::new(now, CAMERA, count * VIDEOS),
            audio: Schedule::new(now, AUDIO, count * AUDIOS),
            check_at: now,
            turn: 0,
            sent: Count::default(),
            looks: 0,
            in_lock: 0,
            engine,
        };
        rooms.add_publishers(connect(
            &rooms.engine,
            &identity,
            count * (VIDEOS + AUDIOS),
        )?)?;
        rooms.add_viewers(connect(&rooms.engine, &identity, count * VIEWERS)?)?;
        threads::prefer_media(&rooms.threads);
        Ok(rooms)
    }

    fn add_publishers(&mut self, clients: Vec<(TransportId, Client)>) -> io::Result<()> {
        for (index, (id, client)) in clients.into_iter().enumerate() {
            let request = publish(id, index, self.stream(index), extensions());
            let track = self.engine.publish(request).map_err(io::Error::other)?;
            self.publishers.push(Publisher::new(client, track, index));
        }
        Ok(())
    }

    /// Publisher and viewer `n` are in room `n` modulo the number of rooms.
    fn add_viewers(&mut self, clients: Vec<(TransportId, Client)>) -> io::Result<()> {
        for (number, (id, mut client)) in clients.into_iter().enumerate() {
            let all = self.publishers.iter().enumerate();
            for (index, publisher) in all.skip(number % self.rooms).step_by(self.rooms) {
                let (track, stream) = (publisher.track, self.stream(index));
                let request = subscribe(id, track, index, stream, extensions());
                self.engine.subscribe(request).map_err(io::Error::other)?;
            }
            client.forget_dtls();
            if number < WITNESSES {
                socket2::SockRef::from(client.socket()).set_recv_buffer_size(8 * 1024 * 1024)?;
                self.witnesses.push(client);
            } else {
                client.become_sink()?;
                self.sinks.push(client);
            }
        }
        Ok(())
    }

    /// What publisher number `index` sends.
    fn stream(&self, index: usize) -> &'static Stream {
        if index < self.rooms * VIDEOS {
            &CAMERA
        } else {
            &AUDIO
        }
    }

    /// What each camera sends from now on.
    pub(crate) fn set_packets_per_s(&mut self, packets_per_s: f64) {
        self.video.set_packets_per_s(packets_per_s.round() as u32);
    }

    /// Plays for `duration` and measures. What a stretch begins with may be of the one before.
    pub(crate) fn measure(&mut self, duration: Duration) -> io::Result<Stretch> {
        let ((before, first_before), counted) = (totals_and_first(&self.engine), self.count());
        let begun = Instant::now();
        self.play(duration)?;
        let elapsed = begun.elapsed();
        std::thread::sleep(SETTLE);
        for _ in 0..TURNS {
            self.check(Instant::now())?;
        }
        let ((after, first), count) = (totals_and_first(&self.engine), self.count());
        let cpu_us = after.cpu_us() - before.cpu_us();
        Ok(Stretch {
            busy_share: cpu_us as f64 / elapsed.as_micros() as f64,
            us_per_packet: first.us_per_packet_since(&first_before),
            packets_per_s: (after.forwarded - before.forwarded) as f64 / elapsed.as_secs_f64(),
            latency: after.latency_since(&before),
            count: count.since(&counted),
        })
    }

    /// Sends what is due within `duration`. What was due before is not made up for.
    pub(crate) fn play(&mut self, duration: Duration) -> io::Result<()> {
        let now = Instant::now();
        self.video.resume_at(now);
        self.audio.resume_at(now);
        let end = now + duration;
        loop {
            let is_video = self.video.due_at() <= self.audio.due_at();
            let at = self.video.due_at().min(self.audio.due_at());
            if at >= end {
                sleep_until(end);
                return Ok(());
            }
            sleep_until(at);
            if is_video {
                let burst = self.video.next_burst();
                self.send(burst.publisher, &burst)?;
            } else {
                let burst = self.audio.next_burst();
                self.send(self.rooms * VIDEOS + burst.publisher, &burst)?;
            }
            let now = Instant::now();
            if now >= self.check_at {
                self.check_at = now + CHECK_INTERVAL;
                self.check(now)?;
            }
        }
    }

    fn send(&mut self, index: usize, burst: &Burst) -> io::Result<()> {
        let (stream, is_witnessed) = (self.stream(index), index % self.rooms < WITNESSES);
        let publisher = &mut self.publishers[index];
        let is_base = burst.frame.is_multiple_of(2);
        let is_key_frame =
            burst.frame == 0 || (is_base && publisher.client.take_key_frame_request());
        for index in 0..burst.packets {
            let position = Position {
                frame: burst.frame,
                index,
                is_last: index + 1 == burst.packets,
                is_key_frame,
            };
            publisher.send(stream, position)?;
        }
        if is_witnessed {
            let sent = match stream.kind {
                MediaKind::Video => &mut self.sent.video_sent,
                MediaKind::Audio => &mut self.sent.audio_sent,
            };
            *sent += u64::from(burst.packets);
        }
        Ok(())
    }

    /// Reads what has come for some, and looks what the media threads do.
    fn check(&mut self, now: Instant) -> io::Result<()> {
        newly_connected(&self.engine)?;
        self.turn = (self.turn + 1) % TURNS;
        let publishers = self.publishers.iter_mut().map(|it| &mut it.client);
        let read = self.witnesses.iter_mut().chain(publishers);
        for client in read.skip(self.turn).step_by(TURNS) {
            client.drive(now)?;
        }
        for sink in self.sinks.iter_mut().skip(self.turn).step_by(TURNS) {
            sink.keep_consent(now)?;
        }
        for thread in &self.threads {
            self.looks += 1;
            self.in_lock += u64::from(thread.waits_for_lock());
        }
        Ok(())
    }

    pub(crate) fn count(&self) -> Count {
        let audio_got = self.witnesses.iter().map(|it| it.received_audio).sum();
        let got: u64 = self.witnesses.iter().map(|it| it.received).sum();
        Count {
            audio_got,
            video_got: got - audio_got,
            ..self.sent
        }
    }

    /// How much is left out at this moment, at most a tenth of a second ago: of 16.
    pub(crate) fn shedding_level(&self) -> u8 {
        let stats = self.engine.stats();
        let levels = stats.iter().map(|thread| thread.shard.shedding_level);
        levels.max().unwrap_or(0)
    }
}

impl Count {
    pub(crate) fn since(&self, before: &Self) -> Self {
        Self {
            video_sent: self.video_sent - before.video_sent,
            audio_sent: self.audio_sent - before.audio_sent,
            video_got: self.video_got - before.video_got,
            audio_got: self.audio_got - before.audio_got,
        }
    }

    /// Share of what was sent that the witnesses got.
    pub(crate) fn video_share(&self) -> f64 {
        self.video_got as f64 / self.video_sent.max(1) as f64
    }

    pub(crate) fn audio_share(&self) -> f64 {
        self.audio_got as f64 / self.audio_sent.max(1) as f64
    }
}

fn extensions() -> Vec<ExtensionId> {
    vec![ExtensionId {
        id: MID_EXTENSION,
        kind: ExtensionKind::Mid,
    }]
}
