//! Replays the seeds of every target, mutations of them, and the corpora of other projects where they
//! are at hand.

use std::fs;
use std::path::{Path, PathBuf};

use kinguicall_fuzz::mutate::{Random, mutate};
use kinguicall_fuzz::seeds::{self, MAX_LEN};
use kinguicall_fuzz::{Run, TARGETS};

/// Mutations of a target; those that set up an association or fill queues are dearer.
const MUTATIONS: usize = 4_000;
const DEAR_MUTATIONS: usize = 400;

fn replay(name: &str) {
    let found = TARGETS.iter().find(|(known, _)| *known == name);
    let (_, run) = found.expect("a target of that name");
    let seeds = seeds::of(name).expect("seeds");
    assert!(!seeds.is_empty(), "{name} has no seeds");
    for seed in &seeds {
        run(seed);
    }
    let mut random = Random(7);
    let count = match name {
        "framing" | "sctp" | "stun" => DEAR_MUTATIONS,
        _ => MUTATIONS,
    };
    for _ in 0..count {
        let mut input = seeds[random.below(seeds.len())].clone();
        let other = &seeds[random.below(seeds.len())];
        mutate(&mut random, &mut input, other, MAX_LEN);
        run(&input);
    }
    for sample in foreign_samples(name) {
        replay_sample(*run, name, &sample);
    }
}

/// A foreign sample as it is, and dressed as the input of targets that want more than one datagram.
fn replay_sample(run: Run, name: &str, sample: &[u8]) {
    let sample = &sample[..sample.len().min(MAX_LEN)];
    run(sample);
    let length = (sample.len() as u16).to_be_bytes();
    let dressed = match name {
        "sctp" => [&[0, 0, 255], sample.get(12..).unwrap_or_default()].concat(),
        "stun" => [&[0], sample].concat(),
        "handshake" => [&[0], &length[..], sample].concat(),
        "framing" => [&length[..], sample].concat(),
        "dependency_descriptor" => [&[length[1]], sample].concat(),
        _ => return,
    };
    run(&dressed);
}

fn foreign_samples(name: &str) -> Vec<Vec<u8>> {
    let kinds: &[&str] = match name {
        "demux" => &["any", "stun", "rtp", "rtcp", "dtls"],
        "framing" | "stun" => &["stun", "any"],
        "handshake" => &["dtls", "dtls-ext"],
        "rtp" => &["rtp", "any", "vla"],
        "rtcp" => &["rtcp", "any"],
        "dependency_descriptor" => &["dependency-descriptor"],
        "payload" => &["av1-depack", "h264-depack", "rtp"],
        "dcep" | "sctp" => &["sctp"],
        _ => &[],
    };
    let root = std::env::var_os("KINGUICALL_CORPORA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../../shared/corpora"),
        PathBuf::from,
    );
    let folders = kinds.iter().map(|kind| fs::read_dir(root.join(kind)));
    let paths = folders
        .flatten()
        .flatten()
        .map(|entry| entry.expect("an entry").path());
    let mut paths: Vec<PathBuf> = paths.collect();
    paths.sort();
    let read = |path| fs::read(path).expect("a sample");
    paths.iter().map(read).collect()
}

macro_rules! replays {
    ($($name:ident),*) => {
        $(#[test]
        fn $name() {
            replay(stringify!($name));
        })*

        #[test]
        fn every_target_is_replayed() {
            let replayed = [$(stringify!($name)),*];
            assert_eq!(TARGETS.map(|(name, _)| name), replayed);
        }
    };
}

replays!(
    demux,
    framing,
    stun,
    handshake,
    rtp,
    rtcp,
    dependency_descriptor,
    payload,
    dcep,
    sctp,
    data_packet
);
