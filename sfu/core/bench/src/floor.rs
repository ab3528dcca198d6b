//! The floor: what it costs this machine to encrypt the same packets for the same number of
//! subscribers and to send them in the same batches, with nothing else done.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use kinguicall_net::{SendBatch, thread_cpu};
use kinguicall_proto::api::Ssrc;
use kinguicall_proto::egress::{Batch, SocketIndex, TrafficClass};
use kinguicall_proto::srtp::Profile;

use crate::load::{Burst, Numbering, Position, Schedule, Stream};
use crate::scenario::Plan;
use crate::sleep_until;

const BATCH_DATAGRAMS: usize = 512;
const TAG_BYTES: usize = 16;

/// CPU and packets of a run.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cost {
    pub user_us: u64,
    pub system_us: u64,
    pub packets: u64,
}

impl Cost {
    pub(crate) fn add(&mut self, other: &Self) {
        self.user_us += other.user_us;
        self.system_us += other.system_us;
        self.packets += other.packets;
    }

    /// User, system and both in microseconds per packet.
    pub(crate) fn per_packet(&self) -> (f64, f64, f64) {
        let packets = self.packets.max(1) as f64;
        let (user, system) = (self.user_us as f64, self.system_us as f64);
        (user / packets, system / packets, (user + system) / packets)
    }
}

struct Subscriber {
    key: LessSafeKey,
    numbering: Vec<Numbering>,
    to: SocketAddr,
    /// Kept open and never read, with the smallest buffer: as the sockets of the measured run.
    _sink: UdpSocket,
}

/// The same load as a run's, with nothing done but what must be.
pub(crate) struct Floor {
    stream: Stream,
    subscribers: Vec<Subscriber>,
    schedule: Schedule,
    sockets: [UdpSocket; 1],
    batch: Batch,
    send: SendBatch,
    payload: Vec<u8>,
}

impl Floor {
    pub(crate) fn new(plan: &Plan, profile: Profile) -> io::Result<Self> {
        let stream = plan.stream;
        let sockets = [UdpSocket::bind("127.0.0.1:0")?];
        socket2::SockRef::from(&sockets[0]).set_send_buffer_size(4 * 1024 * 1024)?;
        let subscribers = (0..plan.subscribers).map(|_| subscriber(plan.publishers, profile));
        Ok(Self {
            stream,
            subscribers: subscribers.collect::<io::Result<_>>()?,
            schedule: Schedule::new(Instant::now(), stream, plan.publishers),
            sockets,
            batch: Batch::new(BATCH_DATAGRAMS),
            send: SendBatch::new(1, BATCH_DATAGRAMS),
            payload: vec![0x5a; stream.payload_bytes],
        })
    }

    /// Runs the schedule on the calling thread for so long.
    pub(crate) fn run(&mut self, duration: Duration) -> io::Result<Cost> {
        let end = Instant::now() + duration;
        self.schedule.resume_at(Instant::now());
        let mut packets = 0;
        let (user_before, system_before) = thread_cpu();
        while self.schedule.due_at() < end {
            let burst = self.schedule.next_burst();
            sleep_until(burst.at);
            packets += self.send(burst)?;
        }
        let (user, system) = thread_cpu();
        Ok(Cost {
            user_us: user - user_before,
            system_us: system - system_before,
            packets,
        })
    }

    fn send(&mut self, burst: Burst) -> io::Result<u64> {
        let mut packets = 0;
        for subscriber in &mut self.subscribers {
            for index in 0..burst.packets {
                if !self.batch.has_room() {
                    let sent = self.send.send(Instant::now(), &self.sockets, &self.batch);
                    packets += sent.datagrams;
                    self.batch.clear();
                }
                let (stream, payload) = (&self.stream, &self.payload);
                put(&mut self.batch, subscriber, stream, payload, burst, index)?;
            }
        }
        let sent = self.send.send(Instant::now(), &self.sockets, &self.batch);
        self.batch.clear();
        Ok(packets + sent.datagrams)
    }
}

fn subscriber(publishers: usize, profile: Profile) -> io::Result<Subscriber> {
    let algorithm = match profile {
        Profile::AeadAes256Gcm => &AES_256_GCM,
        Profile::AeadAes128Gcm | Profile::Aes128CmSha1_80 => &AES_128_GCM,
    };
    let mut secret = vec![0; algorithm.key_len()];
    aws_lc_rs::rand::fill(&mut secret).map_err(io::Error::other)?;
    let key = UnboundKey::new(algorithm, &secret).map_err(io::Error::other)?;
    let sink = UdpSocket::bind("127.0.0.1:0")?;
    socket2::SockRef::from(&sink).set_recv_buffer_size(1)?;
    let mut numbering = Vec::new();
    numbering.resize_with(publishers, Numbering::default);
    Ok(Subscriber {
        key: LessSafeKey::new(key),
        numbering,
        to: sink.local_addr()?,
        _sink: sink,
    })
}

fn put(
    batch: &mut Batch,
    subscriber: &mut Subscriber,
    stream: &Stream,
    payload: &[u8],
    burst: Burst,
    index: u32,
) -> io::Result<()> {
    let space = batch.space();
    let position = Position {
        frame: burst.frame,
        index,
        is_last: index + 1 == burst.packets,
        is_key_frame: burst.frame == 0,
    };
    let ssrc = Ssrc(burst.publisher as u32 + 1);
    let numbering = &mut subscriber.numbering[burst.publisher];
    let plain = numbering.write(space, stream, ssrc, b"0", position);
    let (header, body) = space.split_at_mut(plain.header_len);
    let body_len = payload.len();
    body[12..body_len].copy_from_slice(&payload[12..]);
    // Sequence number, timestamp and SSRC: never twice with one key.
    let mut nonce = [0; 12];
    nonce.copy_from_slice(&header[..12]);
    let tag = subscriber
        .key
        .seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(header),
            &mut body[..body_len],
        )
        .map_err(io::Error::other)?;
    body[body_len..body_len + TAG_BYTES].copy_from_slice(tag.as_ref());
    let len = plain.len + TAG_BYTES;
    let class = TrafficClass::Video;
    batch.commit(SocketIndex(0), subscriber.to, len, class, None);
    Ok(())
}
