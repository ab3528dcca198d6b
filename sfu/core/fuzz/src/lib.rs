//! Fuzz targets for everything that reads bytes of strangers: one function `fn(&[u8])` each, which
//! asserts what must hold whatever the bytes are: no panic, ranges within bounds, bounded work, and
//! that what was read is read again the same once it has been written.
//!
//! `cargo test` replays the seeds (`seeds/`, one file a target) and thousands of mutations of them.
//! `scripts/check fuzz TARGET SECONDS` goes on from there with libFuzzer; it needs no nightly
//! toolchain, only a C++ compiler. Its corpus and findings stay in `artefacts/fuzz/`; a finding
//! becomes a regression test beside the code that is repaired, and a line of the seeds.

pub mod input;
pub mod mutate;
pub mod seeds;
pub mod targets;

/// A target: panics if the bytes make something happen that must not.
pub type Run = fn(&[u8]);

/// All targets by name.
pub const TARGETS: [(&str, Run); 11] = [
    ("demux", targets::demux::run),
    ("framing", targets::framing::run),
    ("stun", targets::stun::run),
    ("handshake", targets::handshake::run),
    ("rtp", targets::rtp::run),
    ("rtcp", targets::rtcp::run),
    ("dependency_descriptor", targets::dependency_descriptor::run),
    ("payload", targets::payload::run),
    ("dcep", targets::dcep::run),
    ("sctp", targets::sctp::run),
    ("data_packet", targets::data_packet::run),
];
