//! Waking a sleeper through an eventfd, with a system call only when it may really sleep.
//!
//! The sleeper announces itself, then looks at its queues once more, then sleeps. A producer puts
//! its item first and looks at the announcement second. Whatever the interleaving, one of the two
//! sees the other (both sides fence sequentially).

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering, fence};

/// A kernel counter that makes a file descriptor readable.
#[derive(Debug)]
pub struct EventFd(OwnedFd);

impl EventFd {
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointers are passed.
        let fd = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `fd` is a new descriptor that nobody else owns.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Makes the descriptor readable. A counter that is full is readable already.
    pub fn signal(&self) {
        // SAFETY: the descriptor is open for as long as `self`.
        unsafe { libc::eventfd_write(self.0.as_raw_fd(), 1) };
    }

    /// Makes the descriptor unreadable until the next signal.
    pub fn clear(&self) {
        let mut value = 0;
        // SAFETY: the descriptor is open for as long as `self`, `value` is a valid place.
        unsafe { libc::eventfd_read(self.0.as_raw_fd(), &raw mut value) };
    }
}

impl AsRawFd for EventFd {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// Wakes one media thread.
#[derive(Debug)]
pub(crate) struct Waker {
    event: EventFd,
    may_sleep: AtomicBool,
}

impl Waker {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            event: EventFd::new()?,
            may_sleep: AtomicBool::new(false),
        })
    }

    /// For producers, after they have put something into a queue.
    pub(crate) fn wake(&self) {
        fence(Ordering::SeqCst);
        if self.may_sleep.load(Ordering::Relaxed) && self.may_sleep.swap(false, Ordering::Relaxed) {
            self.event.signal();
        }
    }

    /// For the sleeper: call, look at the queues, and sleep only if they are empty.
    pub(crate) fn announce_sleep(&self) {
        self.may_sleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// For the sleeper, when it is awake again. `signalled`: the descriptor was readable.
    pub(crate) fn awake(&self, signalled: bool) {
        self.may_sleep.store(false, Ordering::Relaxed);
        if signalled {
            self.event.clear();
        }
    }
}

impl AsRawFd for Waker {
    fn as_raw_fd(&self) -> RawFd {
        self.event.as_raw_fd()
    }
}
