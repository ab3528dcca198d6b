//! A hint to the processor that some memory will be needed soon.
//!
//! A node with thousands of subscribers has them in no cache. Reading ahead would make the processor
//! wait as soon as its window is full of such reads; a hint does not. This is the only module of the
//! core with unsafe code: the instruction takes an address and can do no harm with any.

/// Size of a cache line on the processors that this runs on.
const LINE_BYTES: usize = 64;

/// Brings the first `bytes` bytes of `value` nearer.
#[inline]
pub(crate) fn prefetch<T>(value: &T, bytes: usize) {
    let start = std::ptr::from_ref(value).cast::<i8>();
    for offset in (0..bytes.min(size_of::<T>())).step_by(LINE_BYTES) {
        line(start.wrapping_add(offset));
    }
}

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
#[inline]
fn line(address: *const i8) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: part of every x86-64 processor; no address makes it fault.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(address) };
}

#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn line(_address: *const i8) {}
