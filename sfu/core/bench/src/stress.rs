//! What a media thread does under load: how long packets take at half load and at 80 %, what is lost
//! at 120 %, how soon all is back, and what a second thread adds.
//!
//! Load is the share of a core that the media thread uses; what each camera must send for it is
//! sought. 120 % is a fifth more than what was the first to be too much.

use std::io;
use std::time::{Duration, Instant};

use crate::rooms::{Count, ROOMS, Rooms, Stretch};
use crate::threads::{self, Filler};

const WARM_UP: Duration = Duration::from_millis(1_500);
const TRIAL: Duration = Duration::from_secs(1);
const STEADY: Duration = Duration::from_secs(5);
const COMPARED: Duration = Duration::from_millis(2_500);
const ROUNDS: usize = 5;
const OVERLOAD: Duration = Duration::from_secs(6);
const RECOVERY: Duration = Duration::from_secs(7);
/// What arrives is looked at so often while it recovers.
const WINDOW: Duration = Duration::from_millis(250);
/// All is back when this share of the video arrives within a window.
const ALL_VIDEO: f64 = 0.9;
/// Packets a second of a camera, to begin with.
const FIRST_RATE: f64 = 60.0;
const TRIALS: usize = 5;
/// How exactly a load is met.
const TOLERANCE: f64 = 0.04;
/// How the limit is sought, and when a thread has nothing left.
const LIMIT_STEP: f64 = 1.12;
const LIMIT_TRIALS: usize = 12;
const FULL: f64 = 0.97;
/// It is an overload when so much of the video has to be left out.
const OVERLOADED: f64 = 0.03;
const OVERLOAD_TRIALS: usize = 4;

/// What cameras send, and the share of a core that this takes.
#[derive(Clone, Copy)]
struct Point {
    packets_per_s: f64,
    load: f64,
}

/// What cameras must send for a load, by two points.
fn packets_per_s_at(load: f64, one: Point, other: Point) -> f64 {
    let slope = (other.packets_per_s - one.packets_per_s) / (other.load - one.load).max(0.01);
    other.packets_per_s + (load - other.load) * slope
}

/// Runs all and prints it.
pub(crate) fn run() -> io::Result<()> {
    let cores = threads::allowed()?;
    println!();
    println!("{ROOMS} rooms a media thread, each of 4 cameras, 2 microphones and 20 viewers");
    let packets_per_s = on_one_thread(&cores)?;
    if cores.len() > 1 {
        compare_threads(&cores, packets_per_s)?;
    }
    Ok(())
}

/// Latency and overload. Returns what cameras send at 60 % load.
fn on_one_thread(cores: &[usize]) -> io::Result<f64> {
    let mut rooms = start(cores, 1)?;
    rooms.set_packets_per_s(FIRST_RATE);
    rooms.play(WARM_UP)?;
    let half = steady(&mut rooms, 0.5, FIRST_RATE)?;
    let high = steady(&mut rooms, 0.8, half.packets_per_s * 1.7)?;
    let limit = limit(&mut rooms, high.packets_per_s)?;
    rooms.set_packets_per_s(half.packets_per_s);
    rooms.play(RECOVERY / 2)?;
    overload(&mut rooms, limit, half.packets_per_s)?;
    finish(cores)?;
    Ok(packets_per_s_at(0.6, half, high))
}

/// Finds what cameras must send for a load, and shows how long packets take under it.
fn steady(rooms: &mut Rooms, load: f64, guess: f64) -> io::Result<Point> {
    let mut rate = guess;
    for _ in 0..TRIALS {
        rooms.set_packets_per_s(rate);
        rooms.play(TRIAL / 2)?;
        let is = rooms.measure(TRIAL)?.busy_share;
        if (is - load).abs() < TOLERANCE {
            break;
        }
        // A part of the load does not depend on the rate.
        rate *= (1.0 + 1.3 * (load - is) / is.max(0.05)).clamp(0.5, 1.8);
    }
    rooms.set_packets_per_s(rate);
    rooms.play(WARM_UP)?;
    let stretch = rooms.measure(STEADY)?;
    print_latency(load, &stretch);
    Ok(Point {
        packets_per_s: rate,
        load: stretch.busy_share,
    })
}

/// What cameras send when the thread can no longer do it all.
fn limit(rooms: &mut Rooms, from: f64) -> io::Result<f64> {
    let mut rate = from;
    for _ in 0..LIMIT_TRIALS {
        rate *= LIMIT_STEP;
        rooms.set_packets_per_s(rate);
        rooms.play(TRIAL / 2)?;
        let stretch = rooms.measure(TRIAL)?;
        if stretch.busy_share > FULL || stretch.count.video_share() < ALL_VIDEO {
            break;
        }
    }
    Ok(rate)
}

fn print_latency(load: f64, stretch: &Stretch) {
    let quantile = |q| stretch.latency.quantile_us(q).unwrap_or(f64::NAN);
    println!(
        "  {:.0} % load         p50 {:.0} us, p99 {:.0} us from receiving to sending ({:.0} % of a core, \
         {:.0} packets/s, {:.1} % of the video and {:.2} % of the audio arrived)",
        100.0 * load,
        quantile(0.5),
        quantile(0.99),
        100.0 * stretch.busy_share,
        stretch.packets_per_s,
        100.0 * stretch.count.video_share(),
        100.0 * stretch.count.audio_share(),
    );
}

/// Plays a fifth more than the limit; if the thread can do that, too, the limit was too low.
fn overloaded(rooms: &mut Rooms, mut limit: f64, half: f64) -> io::Result<(f64, Count, Stretch)> {
    let mut trials = 0;
    loop {
        trials += 1;
        let (begun, too_much) = (rooms.count(), 1.2 * limit);
        rooms.set_packets_per_s(too_much);
        let stretch = rooms.measure(OVERLOAD)?;
        let left_out = 1.0 - stretch.count.video_share();
        if left_out > OVERLOADED || trials == OVERLOAD_TRIALS {
            return Ok((too_much, begun, stretch));
        }
        limit *= LIMIT_STEP;
        rooms.set_packets_per_s(half);
        rooms.play(RECOVERY / 2)?;
    }
}

/// More than the thread can do, then half of what it can.
fn overload(rooms: &mut Rooms, limit: f64, half: f64) -> io::Result<()> {
    let (too_much, begun, overloaded) = overloaded(rooms, limit, half)?;
    rooms.set_packets_per_s(half);
    let (fallen, mut back_at, mut shed_until) = (Instant::now(), None, Duration::ZERO);
    while fallen.elapsed() < RECOVERY {
        let before = rooms.count();
        rooms.play(WINDOW)?;
        back_at = match rooms.count().since(&before).video_share() >= ALL_VIDEO {
            true => back_at.or(Some(fallen.elapsed())),
            false => None,
        };
        if rooms.shedding_level() > 0 {
            shed_until = fallen.elapsed();
        }
    }
    let all = rooms.count().since(&begun);
    println!(
        "  120 % load        audio lost {:.2} %, video left out {:.0} % ({:.0} packets/s of each camera \
         instead of {half:.0}, {:.0} % of a core)",
        100.0 * (1.0 - overloaded.count.audio_share()).max(0.0),
        100.0 * (1.0 - overloaded.count.video_share()),
        too_much,
        100.0 * overloaded.busy_share,
    );
    let back = back_at.map_or("not yet back".to_owned(), |it| {
        format!("back after {:.1} s", it.as_secs_f64())
    });
    println!(
        "  then 50 %         all video {back}, nothing left out after {:.1} s; audio lost {:.2} % in all",
        shed_until.as_secs_f64(),
        100.0 * (1.0 - all.audio_share()).max(0.0),
    );
    Ok(())
}

/// One thread, and two with twice the rooms, all of which they share; in turns, as the machine is not
/// always the same. What a packet costs the first thread tells how much more two forward if each has
/// a core and neither waits for the other.
fn compare_threads(cores: &[usize], packets_per_s: f64) -> io::Result<()> {
    let mut engines = [start(cores, 1)?, {
        threads::stay_on(cores)?;
        start(cores, 2)?
    }];
    let filler = Filler::start()?;
    let (mut pairs, mut arrived) = (Vec::new(), 1.0_f64);
    for _ in 0..ROUNDS {
        let mut costs = [0.0; 2];
        for (rooms, cost) in engines.iter_mut().zip(&mut costs) {
            rooms.set_packets_per_s(packets_per_s);
            rooms.play(TRIAL)?;
            let stretch = rooms.measure(COMPARED)?;
            *cost = stretch.us_per_packet;
            arrived = arrived.min(stretch.count.video_share());
        }
        pairs.push(costs);
    }
    drop(filler);
    let times = |[one, two]: &[f64; 2]| 2.0 * one / two;
    pairs.sort_by(|one, other| times(one).total_cmp(&times(other)));
    let median = pairs[ROUNDS / 2];
    println!(
        "  2 threads         forward {:.2} times what 1 does ({:.2} to {:.2} in {ROUNDS} pairs): with twice \
         the rooms a packet costs each {:.2} us, {:.2} us the only one; {:.1} % of the video arrived, and \
         they waited for a lock in {} of {} looks",
        times(&median),
        times(&pairs[0]),
        times(&pairs[ROUNDS - 1]),
        median[1],
        median[0],
        100.0 * arrived,
        engines[1].in_lock,
        engines[1].looks,
    );
    finish(cores)
}

fn start(cores: &[usize], media_threads: usize) -> io::Result<Rooms> {
    let rooms = Rooms::start(media_threads)?;
    if let [.., last] = cores {
        threads::stay_on(&[*last])?;
    }
    Ok(rooms)
}

fn finish(cores: &[usize]) -> io::Result<()> {
    threads::prefer_nobody();
    threads::stay_on(cores)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_load_is_read_off_a_line() {
        let [one, other] = [(60.0, 0.2), (180.0, 0.5)].map(|(packets_per_s, load)| Point {
            packets_per_s,
            load,
        });
        assert!((packets_per_s_at(0.5, one, other) - 180.0).abs() < 1e-6);
        assert!((packets_per_s_at(0.8, one, other) - 300.0).abs() < 1e-6);
    }
}
