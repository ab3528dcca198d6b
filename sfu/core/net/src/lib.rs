//! The media plane's threads: sockets, batches, queues and clocks around `kinguicall_proto`.
//!
//! One OS thread drives one shard and owns one UDP socket per local address, and the TCP connections
//! of its peers; one more accepts those. Threads share nothing but bounded queues. Nothing here knows a protocol, and nothing here calls Python.

mod addresses;
mod batch_io;
mod control;
mod engine;
mod events;
mod inbox;
mod memory;
mod raw;
mod ring;
mod socket;
mod stats;
mod steering;
mod tcp;
mod thread;
mod wake;

pub use addresses::{candidate_lines, local_addresses};
pub use batch_io::{ReceiveBatch, SendBatch, SendCounts};
pub use control::{CommandError, LocalDescription, new_credentials};
pub use engine::{Engine, EngineConfig, MAX_THREADS};
pub use events::{EngineEvent, Events};
pub use memory::release_free_memory;
pub use socket::bind_thread_sockets;
pub use stats::{IoCounters, LATENCY_BOUNDS_US, Latency, ThreadStats, thread_cpu};
pub use wake::EventFd;
