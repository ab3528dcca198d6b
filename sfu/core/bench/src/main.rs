//! What a forwarded packet costs: CPU, memory and time, next to the floor of this machine.
//!
//! Publishers and subscribers are real peers (ICE, DTLS, SRTP) over loopback. CPU time is the media
//! thread's own, so other work on the machine disturbs it little; the floor is taken in turns with
//! each run, on the same schedule.

#![allow(clippy::print_stdout, reason = "printing is what this program is for")]

mod client;
mod floor;
mod load;
mod outcome;
mod peers;
mod rooms;
mod scenario;
mod stress;
mod threads;
mod totals;

use std::io;
use std::time::{Duration, Instant};

use load::{AUDIO, SINGLES, SLOW_SINGLES, Stream, VIDEO};
use outcome::Outcome;
use scenario::{Plan, ServerOptions};

const USAGE: &str = "usage: kinguicall-bench [--seconds S] [--subscribers N] [--threads T] [--only NAME] [--single-udp-port 1] [--dscp 1]

  --seconds S      length of each measured part, 1 to 600 (15)
  --subscribers N  subscribers of each run, 1 to 2000 (100)
  --threads T      media threads, 1 to 64 (1)
  --only NAME      only the runs with this in their name
  --single-udp-port 1, --dscp 1
                   with these options of the server (0)";

struct Arguments {
    duration: Duration,
    subscribers: usize,
    threads: usize,
    only: String,
    options: ServerOptions,
}

struct Run {
    name: &'static str,
    stream: Stream,
    publishers: usize,
}

const RUNS: [Run; 5] = [
    Run {
        name: "1 video",
        stream: VIDEO,
        publishers: 1,
    },
    Run {
        name: "5 audio",
        stream: AUDIO,
        publishers: 5,
    },
    Run {
        name: "8 video",
        stream: VIDEO,
        publishers: 8,
    },
    Run {
        name: "1 stream of single packets",
        stream: SINGLES,
        publishers: 1,
    },
    Run {
        name: "30 streams of single packets",
        stream: SLOW_SINGLES,
        publishers: 30,
    },
];

fn main() -> io::Result<()> {
    let Some(arguments) = parse(std::env::args().skip(1)) else {
        println!("{USAGE}");
        std::process::exit(2);
    };
    println!(
        "{} subscribers, {} media threads, {:?} a run; load of this machine: {}",
        arguments.subscribers,
        arguments.threads,
        arguments.duration,
        load_average(),
    );
    let before = machine_time();
    for run in RUNS.iter().filter(|it| it.name.contains(&arguments.only)) {
        let plan = Plan {
            stream: run.stream,
            publishers: run.publishers,
            subscribers: arguments.subscribers,
            threads: arguments.threads,
            options: arguments.options,
            duration: arguments.duration,
        };
        print(run, &arguments, &scenario::run(&plan)?);
    }
    if "rooms".contains(&arguments.only) {
        stress::run()?;
    }
    if let (Some((all, stolen)), Some((all_before, stolen_before))) = (machine_time(), before) {
        let share = (stolen - stolen_before) as f64 / (all - all_before).max(1) as f64;
        println!(
            "\nThe hypervisor kept {:.1} % of the machine's time for others.",
            100.0 * share
        );
    }
    Ok(())
}

fn parse(arguments: impl Iterator<Item = String>) -> Option<Arguments> {
    let mut parsed = Arguments {
        duration: Duration::from_secs(15),
        subscribers: 100,
        threads: 1,
        only: String::new(),
        options: ServerOptions::default(),
    };
    let arguments: Vec<String> = arguments.collect();
    for pair in arguments.chunks(2) {
        let [name, value] = pair else {
            return None;
        };
        if name == "--only" {
            parsed.only.clone_from(value);
            continue;
        }
        let value: u64 = value.parse().ok()?;
        match name.as_str() {
            "--seconds" if (1..=600).contains(&value) => {
                parsed.duration = Duration::from_secs(value);
            }
            "--subscribers" if (1..=2_000).contains(&value) => {
                parsed.subscribers = value as usize;
            }
            "--single-udp-port" if value <= 1 => parsed.options.single_udp_port = value == 1,
            "--dscp" if value <= 1 => parsed.options.dscp = value == 1,
            "--threads" if (1..=64).contains(&value) => parsed.threads = value as usize,
            _ => return None,
        }
    }
    Some(parsed)
}

fn print(run: &Run, arguments: &Arguments, outcome: &Outcome) {
    let (user, system, total) = outcome.cost.per_packet();
    let (floor_user, floor_system, floor_total) = outcome.floor.per_packet();
    let packets = outcome.cost.packets;
    let expected = outcome.expected_packets.max(1) as f64 / arguments.subscribers as f64;
    let arrived = 100.0 * outcome.witnessed as f64 / expected;
    let quantile = |q| outcome.latency.quantile_us(q).unwrap_or(f64::NAN);
    println!();
    println!(
        "{}, {} B, {:?}: {:.0} packets/s forwarded",
        run.name,
        run.stream.payload_bytes,
        outcome.profile,
        packets as f64 / arguments.duration.as_secs_f64(),
    );
    println!(
        "  a subscriber     decrypted {} packets ({arrived:.1} %) and could not decrypt {}",
        outcome.witnessed, outcome.rejected
    );
    println!("  CPU a packet     {total:.2} us (user {user:.2}, system {system:.2})");
    println!(
        "  floor            {floor_total:.2} us (user {floor_user:.2}, system {floor_system:.2})"
    );
    let (low, median, high) = outcome.ratios();
    println!("  ratio            {median:.2} (median of slices from {low:.2} to {high:.2})");
    println!("  a core forwards  {:.0} packets/s", 1e6 / total);
    println!("  GSO run          {:.1} datagrams", outcome.run_length());
    println!(
        "  latency          p50 {:.0} us, p99 {:.0} us",
        quantile(0.5),
        quantile(0.99)
    );
    println!(
        "  memory           {:.0} KiB a subscriber",
        outcome.bytes_per_subscriber / 1024.0
    );
}

/// Latency means little on a machine that is busy with something else.
fn load_average() -> String {
    let averages = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    averages.split(' ').next().unwrap_or_default().to_owned()
}

/// What all cores have done since the machine was started, and what the hypervisor has kept of that
/// (proc(5), /proc/stat): it is why a figure may differ from the one before.
fn machine_time() -> Option<(u64, u64)> {
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    let fields = stat.lines().next()?.split_ascii_whitespace().skip(1);
    let times: Vec<u64> = fields.map_while(|field| field.parse().ok()).collect();
    let stolen = *times.get(7)?;
    // Guests' time is in that of users already.
    Some((times[..8].iter().sum(), stolen))
}

fn sleep_until(at: Instant) {
    std::thread::sleep(at.saturating_duration_since(Instant::now()));
}
