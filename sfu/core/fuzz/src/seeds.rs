//! The seeds in `seeds/`: a file for each target, an input a line, in hexadecimal digits; what
//! follows a `#` is a comment.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Most bytes that an input may have: libFuzzer is told so too.
pub const MAX_LEN: usize = 4_096;

/// The seeds of a target.
pub fn of(target: &str) -> io::Result<Vec<Vec<u8>>> {
    let text = fs::read_to_string(path(target))?;
    let lines = text.lines().enumerate();
    let seeds = lines.filter_map(|(number, line)| {
        let digits = line.split('#').next().unwrap_or_default().trim();
        let seed = (!digits.is_empty()).then(|| from_hex(digits))?;
        Some(seed.ok_or_else(|| {
            let place = format!("{}:{}: not hexadecimal", path(target).display(), number + 1);
            io::Error::new(io::ErrorKind::InvalidData, place)
        }))
    });
    seeds.collect()
}

/// Writes each seed as a file that libFuzzer can start from.
pub fn unpack(target: &str, into: &Path) -> io::Result<()> {
    fs::create_dir_all(into)?;
    for (number, seed) in of(target)?.into_iter().enumerate() {
        fs::write(into.join(format!("seed-{number:03}")), seed)?;
    }
    Ok(())
}

/// Longest input that becomes a seed.
const MAX_SEED: usize = 200;

/// Appends inputs of a folder that are not seeds yet: `count` of all lengths up to the longest.
pub fn pack(target: &str, from: &Path, count: usize) -> io::Result<()> {
    let known = of(target)?;
    let files = fs::read_dir(from)?.map(|entry| fs::read(entry?.path()));
    let mut inputs = files.collect::<io::Result<Vec<_>>>()?;
    inputs.retain(|input| (1..=MAX_SEED).contains(&input.len()) && !known.contains(input));
    inputs.sort_by(|a, b| (a.len(), a).cmp(&(b.len(), b)));
    let mut text = fs::read_to_string(path(target))?;
    let step = inputs.len().div_ceil(count.max(1)).max(1);
    for input in inputs.iter().step_by(step) {
        text.extend(input.iter().map(|byte| format!("{byte:02x}")));
        text.push('\n');
    }
    fs::write(path(target), text)
}

fn path(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("seeds/{target}.hex"))
}

fn from_hex(digits: &str) -> Option<Vec<u8>> {
    if !digits.is_ascii() || !digits.len().is_multiple_of(2) {
        return None;
    }
    let pairs = (0..digits.len()).step_by(2);
    pairs
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).ok())
        .collect()
}
