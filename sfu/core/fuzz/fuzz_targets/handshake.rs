//! libFuzzer's way into [`kinguicall_fuzz::targets::handshake`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kinguicall_fuzz::targets::handshake::run(data));
