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

#[cfg(all(test, target_env = "gnu"))]
mod tests {
    use super::*;

    fn resident_bytes() -> u64 {
        let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux tells");
        let pages = statm.split(' ').nth(1).and_then(|it| it.parse().ok());
        pages.unwrap_or(0_u64) * 4_096
    }

    #[test]
    fn free_pages_between_used_ones_go_back() {
        const PIECES: usize = 50_000;
        let before = resident_bytes();
        let mut pieces: Vec<Option<Vec<u8>>> = (0..PIECES).map(|_| Some(vec![1; 1_000])).collect();
        let peak = resident_bytes();
        assert!(peak - before > 45_000_000, "{before} to {peak}");
        // Somebody has stayed, here and there.
        for (number, piece) in pieces.iter_mut().enumerate() {
            if number % 500 != 0 {
                *piece = None;
            }
        }
        release_free_memory();
        let after = resident_bytes();
        assert!(peak - after > 35_000_000, "{before} to {peak} to {after}");
        assert!(pieces.iter().flatten().all(|piece| piece[999] == 1));
    }
}
