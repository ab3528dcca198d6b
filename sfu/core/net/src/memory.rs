//! What the allocator keeps although nobody uses it.

/// Gives free pages of this process back to the system, wherever in the heap they are. Takes some
/// milliseconds; other threads wait only if they allocate meanwhile, which no packet needs.
pub fn release_free_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes no pointers, and may be called at any time from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}
