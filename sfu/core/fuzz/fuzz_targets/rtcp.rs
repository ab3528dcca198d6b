//! libFuzzer's way into [`kinguicall_fuzz::targets::rtcp`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kinguicall_fuzz::targets::rtcp::run(data));
