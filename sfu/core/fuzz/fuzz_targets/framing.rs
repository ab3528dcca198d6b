//! libFuzzer's way into [`kinguicall_fuzz::targets::framing`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kinguicall_fuzz::targets::framing::run(data));
