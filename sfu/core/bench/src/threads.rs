//! Media threads as the kernel shows them, and who of us runs where.
//!
//! On a machine with few cores the load would take time from what it measures. So the media threads
//! are preferred (nice), where that is permitted, and the load is sent from the last core.

use std::hint::black_box;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// Before ordinary threads, and before the load.
const MEDIA_NICE: libc::c_int = -19;
const LOAD_NICE: libc::c_int = -10;
const FILLER_NICE: libc::c_int = 19;

/// One media thread of this process.
#[derive(PartialEq, Eq)]
pub(crate) struct MediaThread {
    id: u32,
}

impl MediaThread {
    /// Whether it waits for another thread at this moment.
    pub(crate) fn waits_for_lock(&self) -> bool {
        // The number of the system call that it is in, or "running".
        let call = std::fs::read_to_string(format!("/proc/self/task/{}/syscall", self.id));
        let call = call.unwrap_or_default();
        let number = call.split(' ').next().and_then(|it| it.parse().ok());
        number == Some(libc::SYS_futex)
    }
}

/// The media threads that run.
pub(crate) fn of_media() -> io::Result<Vec<MediaThread>> {
    let mut threads = Vec::new();
    for entry in std::fs::read_dir("/proc/self/task")? {
        let entry = entry?;
        let name = std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        let id = entry.file_name().to_str().and_then(|it| it.parse().ok());
        if let (true, Some(id)) = (name.starts_with("sfu-media-"), id) {
            threads.push(MediaThread { id });
        }
    }
    Ok(threads)
}

/// Prefers the media threads to everything, and the calling thread to what is not ours.
pub(crate) fn prefer_media(threads: &[MediaThread]) {
    for thread in threads {
        set_nice(thread.id, MEDIA_NICE);
    }
    set_nice(0, LOAD_NICE);
    set_group_nice(MEDIA_NICE);
}

/// Keeps the core of the calling thread at work when nothing else does. Where two cores are one in
/// truth, what one does slows down the other: so both sides of a comparison are slowed down alike.
pub(crate) struct Filler {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Filler {
    pub(crate) fn start() -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let body = move || {
            set_nice(0, FILLER_NICE);
            let mut number = 1_u64;
            while !stopped.load(Ordering::Relaxed) {
                number = black_box(
                    number
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1),
                );
            }
        };
        let thread = std::thread::Builder::new().spawn(body)?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It cannot have failed.
            let _ = thread.join();
        }
    }
}

/// The calling thread no longer matters more than others.
pub(crate) fn prefer_nobody() {
    set_nice(0, 0);
    set_group_nice(0);
}

/// Where Linux shares time among sessions first, nothing else makes a difference to other ones.
fn set_group_nice(nice: libc::c_int) {
    let _ = std::fs::write("/proc/self/autogroup", nice.to_string());
}

/// Without the permission it stays as it is.
fn set_nice(thread: u32, nice: libc::c_int) {
    // SAFETY: takes no pointers.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, thread, nice) };
}

/// Lets the calling thread run on one core only, or on all of `cores` again.
pub(crate) fn stay_on(cores: &[usize]) -> io::Result<()> {
    // SAFETY: all-zero bytes are an empty cpu_set_t.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    for core in cores {
        // SAFETY: `core` came from `allowed`, so it is below CPU_SETSIZE.
        unsafe { libc::CPU_SET(*core, &mut set) };
    }
    // SAFETY: `set` is valid and of the given size; 0 is the calling thread.
    let result = unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Cores that the calling thread may use.
pub(crate) fn allowed() -> io::Result<Vec<usize>> {
    // SAFETY: all-zero bytes are an empty cpu_set_t.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` is a valid place of the given size.
    let result = unsafe { libc::sched_getaffinity(0, size_of_val(&set), &raw mut set) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    let cores = 0..libc::CPU_SETSIZE as usize;
    // SAFETY: `core` is below CPU_SETSIZE.
    Ok(cores
        .filter(|core| unsafe { libc::CPU_ISSET(*core, &set) })
        .collect())
}
