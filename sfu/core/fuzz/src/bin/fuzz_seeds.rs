//! `fuzz_seeds unpack TARGET FOLDER` and `fuzz_seeds pack TARGET FOLDER COUNT`: seeds to libFuzzer's
//! corpus, and some of its minimised corpus back.

use std::path::Path;
use std::{env, io};

use kinguicall_fuzz::seeds;

fn main() -> io::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["unpack", target, folder] => seeds::unpack(target, Path::new(folder)),
        ["pack", target, folder, count] => {
            let count = count.parse().map_err(io::Error::other)?;
            seeds::pack(target, Path::new(folder), count)
        }
        _ => Err(io::Error::other(
            "usage: fuzz_seeds unpack|pack TARGET FOLDER [COUNT]",
        )),
    }
}
