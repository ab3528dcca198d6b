//! Connections that speak HTTP or TLS on the shared port, on their way to policy.
//!
//! Policy when nobody takes them: from 1,024 on a new one is closed.

use std::collections::VecDeque;
use std::net::TcpStream;
use std::sync::{Mutex, PoisonError};

const MAX_WAITING: usize = 1_024;

/// Nothing has been read from them yet.
#[derive(Debug, Default)]
pub(crate) struct WebConnections(Mutex<VecDeque<TcpStream>>);

impl WebConnections {
    pub(crate) fn push(&self, stream: TcpStream) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < MAX_WAITING {
            waiting.push_back(stream);
        }
    }

    /// Takes all that wait.
    pub(crate) fn take(&self) -> VecDeque<TcpStream> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
