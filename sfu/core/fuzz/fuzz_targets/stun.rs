//! libFuzzer's way into [`kinguicall_fuzz::targets::stun`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kinguicall_fuzz::targets::stun::run(data));
