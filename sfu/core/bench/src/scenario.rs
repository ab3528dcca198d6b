//! One measured run: an engine with real peers, publishers that keep to a schedule, subscribers
//! whose sockets drop what arrives, and the engine's own account of what that cost.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kinguicall_net::{Engine, EngineConfig};
use kinguicall_proto::api::{ExtensionId, ExtensionKind, Ssrc};
use kinguicall_proto::rtcp::TransportFeedbackHeader;
use kinguicall_proto::rtcp::write::receiver_report;
use kinguicall_swarm::transport::Identity;

use crate::client::Client;
use crate::floor::Floor;
use crate::load::{MID_EXTENSION, Position, Schedule, Stream, TRANSPORT_CC_EXTENSION};
use crate::outcome::{Outcome, Slice};
use crate::peers::{Publisher, connect, newly_connected, publish, subscribe};
use crate::sleep_until;
use crate::totals::totals;

/// Before the measured part: first packets, caches, receive buffers that fill up, estimates that
/// rise to what is sent.
const WARM_UP: Duration = Duration::from_secs(3);
/// Parts of a run, each followed by one of the floor: one for each second. Slices differ by a tenth either
/// way, so that the median of five did by some hundredths from run to run.
const SLICES: RangeInclusive<u64> = 1..=15;
/// For a schedule that goes on after a pause.
const SETTLE: Duration = Duration::from_millis(200);
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// Of transport feedback, as browsers send it.
const FEEDBACK_INTERVAL: Duration = Duration::from_millis(100);

/// What is run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub stream: Stream,
    pub publishers: usize,
    pub subscribers: usize,
    pub threads: usize,
    pub options: ServerOptions,
    pub duration: Duration,
}

/// What an operator may switch on, to see what it costs.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ServerOptions {
    pub single_udp_port: bool,
    pub dscp: bool,
}

/// A running engine with its peers.
struct Call {
    engine: Engine,
    identity: Arc<Identity>,
    stream: Stream,
    publishers: Vec<Publisher>,
    subscribers: Vec<Client>,
    next_report: Instant,
    next_feedback: Instant,
    feedback_count: u8,
    started: Instant,
}

/// Connects everybody, runs the schedule for the plan's duration and measures; in slices, and between
/// them the floor, as the machine is not the same from one second to the next.
pub(crate) fn run(plan: &Plan) -> io::Result<Outcome> {
    let mut call = Call::start(plan)?;
    call.connect_publishers(plan.publishers)?;
    let memory_before = resident_bytes()?;
    call.connect_subscribers(plan.subscribers)?;
    let mut schedule = Schedule::new(Instant::now(), plan.stream, plan.publishers);
    call.play(&mut schedule, WARM_UP)?;
    let memory = resident_bytes()?.saturating_sub(memory_before);
    let profile = call.publishers[0].client.session().map(|s| s.profile);
    let profile = profile.ok_or_else(|| io::Error::other("a publisher has no keys"))?;
    let mut floor = Floor::new(plan, profile)?;
    let mut outcome = Outcome::new(plan, profile, memory);
    let slices = plan
        .duration
        .as_secs()
        .clamp(*SLICES.start(), *SLICES.end()) as u32;
    for _ in 0..slices {
        let slice = call.measure(&mut schedule, plan.duration / slices)?;
        floor.run(SETTLE)?;
        let floor = floor.run(plan.duration / slices / 2)?;
        outcome.add(&slice, &floor);
    }
    outcome.rejected = call.subscribers[0].rejected;
    call.engine.stop();
    Ok(outcome)
}

impl Call {
    fn start(plan: &Plan) -> io::Result<Self> {
        let engine = Engine::start(&EngineConfig {
            udp_port: 0,
            threads: plan.threads,
            single_udp_port: plan.options.single_udp_port,
            dscp: plan.options.dscp,
            bind_addresses: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
            ..EngineConfig::default()
        })?;
        Ok(Self {
            engine,
            identity: Arc::new(Identity::new()?),
            stream: plan.stream,
            publishers: Vec::new(),
            subscribers: Vec::new(),
            next_report: Instant::now(),
            next_feedback: Instant::now(),
            feedback_count: 0,
            started: Instant::now(),
        })
    }

    fn connect_publishers(&mut self, count: usize) -> io::Result<()> {
        for (index, (id, client)) in connect(&self.engine, &self.identity, count)?
            .into_iter()
            .enumerate()
        {
            let publish = publish(id, index, &self.stream, extensions());
            let track = self.engine.publish(publish).map_err(io::Error::other)?;
            self.publishers.push(Publisher::new(client, track, index));
        }
        Ok(())
    }

    fn connect_subscribers(&mut self, count: usize) -> io::Result<()> {
        for (id, mut client) in connect(&self.engine, &self.identity, count)? {
            for (index, publisher) in self.publishers.iter().enumerate() {
                let (track, stream) = (publisher.track, &self.stream);
                let subscribe = subscribe(id, track, index, stream, extensions());
                self.engine.subscribe(subscribe).map_err(io::Error::other)?;
            }
            client.forget_dtls();
            if self.subscribers.is_empty() {
                // The witness reads and decrypts what it gets.
                socket2::SockRef::from(client.socket()).set_recv_buffer_size(4 * 1024 * 1024)?;
            } else {
                client.become_sink()?;
            }
            self.subscribers.push(client);
        }
        Ok(())
    }

    fn measure(&mut self, schedule: &mut Schedule, duration: Duration) -> io::Result<Slice> {
        schedule.resume_at(Instant::now());
        // The first burst after a pause finds cold caches and feedback that has waited.
        self.play(schedule, SETTLE)?;
        let before = totals(&self.engine);
        let witnessed = self.subscribers[0].received;
        schedule.resume_at(Instant::now());
        let sent = self.play(schedule, duration)?;
        self.subscribers[0].drive(Instant::now())?;
        Ok(Slice {
            sent,
            before,
            after: totals(&self.engine),
            witnessed: self.subscribers[0].received - witnessed,
        })
    }

    /// Sends every burst that is due within `duration`. Returns the number of packets.
    fn play(&mut self, schedule: &mut Schedule, duration: Duration) -> io::Result<u64> {
        let end = Instant::now() + duration;
        let mut sent = 0;
        loop {
            let at = schedule.due_at();
            sleep_until(at.min(end));
            if at >= end {
                return Ok(sent);
            }
            let burst = schedule.next_burst();
            sent += u64::from(burst.packets);
            let publisher = &mut self.publishers[burst.publisher];
            let is_key_frame = burst.frame == 0 || publisher.client.take_key_frame_request();
            for index in 0..burst.packets {
                let position = Position {
                    frame: burst.frame,
                    index,
                    is_last: index + 1 == burst.packets,
                    is_key_frame,
                };
                publisher.send(&self.stream, position)?;
            }
            self.keep_alive(burst.at)?;
        }
    }

    /// Consent for everybody, and each subscriber's receiver report once a second.
    fn keep_alive(&mut self, now: Instant) -> io::Result<()> {
        newly_connected(&self.engine)?;
        for publisher in &mut self.publishers {
            publisher.client.drive(now)?;
        }
        if let Some((witness, sinks)) = self.subscribers.split_first_mut() {
            witness.drive(now)?;
            for sink in sinks {
                sink.keep_consent(now)?;
            }
        }
        let is_report_due = now >= self.next_report;
        if is_report_due {
            self.next_report = now + REPORT_INTERVAL;
        }
        let mut arrivals = Vec::new();
        if now >= self.next_feedback {
            self.next_feedback = now + FEEDBACK_INTERVAL;
            self.feedback_count = self.feedback_count.wrapping_add(1);
            let witness = self.subscribers.first_mut();
            arrivals = witness.map_or_else(Vec::new, Client::take_arrivals);
        }
        if is_report_due || !arrivals.is_empty() {
            self.send_from_all(is_report_due, &arrivals)?;
        }
        Ok(())
    }

    /// Feedback about what the witness has received, from everybody: all are sent the same packets,
    /// though perhaps under other transport-wide numbers, as not everything began to flow to all
    /// of them at one moment.
    fn send_from_all(&mut self, with_report: bool, arrivals: &[(u64, Instant)]) -> io::Result<()> {
        let Some((witness, sinks)) = self.subscribers.split_first_mut() else {
            return Ok(());
        };
        let aheads: Vec<i16> = sinks.iter_mut().map(|it| it.ahead_of(witness)).collect();
        let (mut packet, started) = (Vec::new(), self.started);
        let ticks = |at: Instant| (at - started).as_micros() as i64 / 250;
        let clients = [witness].into_iter().chain(sinks);
        for (client, ahead) in clients.zip([0].into_iter().chain(aheads)) {
            packet.clear();
            if with_report {
                receiver_report(&mut packet, Ssrc(1), &[]);
            }
            let shifted = |number: u64| number.checked_add_signed(i64::from(ahead));
            if let Some(base_sequence) = arrivals.first().and_then(|it| shifted(it.0)) {
                let header = TransportFeedbackHeader {
                    sender: Ssrc(1),
                    media: Ssrc(1_000),
                    base_sequence,
                    feedback_count: self.feedback_count,
                };
                let arrivals = arrivals.iter();
                let arrivals = arrivals.filter_map(|(n, at)| Some((shifted(*n)?, ticks(*at))));
                header.write(&mut packet, arrivals);
            }
            let len = packet.len();
            packet.resize(len + 32, 0);
            let Some(session) = client.session().filter(|_| len > 0) else {
                continue;
            };
            let protected = session.outbound.protect_rtcp(&mut packet, len);
            let len = protected.map_err(io::Error::other)?;
            client.socket().send(&packet[..len])?;
        }
        Ok(())
    }
}

fn extensions() -> Vec<ExtensionId> {
    vec![
        ExtensionId {
            id: MID_EXTENSION,
            kind: ExtensionKind::Mid,
        },
        ExtensionId {
            id: TRANSPORT_CC_EXTENSION,
            kind: ExtensionKind::TransportCc,
        },
    ]
}

/// Resident memory of this process once the allocator has given back what it does not use.
fn resident_bytes() -> io::Result<u64> {
    // SAFETY: takes no pointers and may be called at any time.
    unsafe { libc::malloc_trim(0) };
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages = statm.split(' ').nth(1).and_then(|field| field.parse().ok());
    let pages: u64 = pages.ok_or_else(|| io::Error::other("unexpected /proc/self/statm"))?;
    // SAFETY: takes no pointers.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    Ok(pages * page as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{AUDIO, VIDEO};

    /// Publishers and subscribers spread over both threads, so media crosses between them.
    fn run_on_two_threads(stream: Stream, single_udp_port: bool) -> Outcome {
        run(&Plan {
            stream,
            publishers: 2,
            subscribers: 4,
            threads: 2,
            options: ServerOptions {
                single_udp_port,
                dscp: single_udp_port,
            },
            duration: Duration::from_secs(2),
        })
        .unwrap()
    }

    fn assert_all_arrived(outcome: &Outcome) {
        let expected = outcome.expected_packets as f64;
        // Of each slice of a second, a tenth may be in the next statistics.
        let forwarded = outcome.cost.packets as f64;
        assert!((0.9..1.1).contains(&(forwarded / expected)), "{forwarded}");
        let witnessed = outcome.witnessed as f64;
        assert!(
            (0.99..1.01).contains(&(witnessed * 4.0 / expected)),
            "{witnessed}"
        );
        assert_eq!(outcome.rejected, 0);
    }

    #[test]
    fn video_reaches_a_subscriber_on_another_thread() {
        assert_all_arrived(&run_on_two_threads(VIDEO, false));
    }

    #[test]
    fn audio_reaches_a_subscriber_on_another_thread() {
        assert_all_arrived(&run_on_two_threads(AUDIO, true));
    }
}
