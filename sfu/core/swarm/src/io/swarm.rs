//! The handle of a swarm: starts and stops its threads and passes commands on.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{self, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use kinguicall_net::{EventFd, candidate_lines, local_addresses, new_credentials};
use kinguicall_proto::api::{ExtensionId, RemoteDescription};

use super::command::{Command, CommandError, OpenedTransport};
use super::socket::PeerSocket;
use super::worker::{Shared, Worker};
use crate::clock::NtpClock;
use crate::incoming::ReceiveConfig;
use crate::link::LinkConfig;
use crate::outgoing::SendConfig;
use crate::stats::{Totals, TransportRecord};
use crate::transport::Identity;

/// Commands that a thread may be behind; a further one is refused.
const MAX_COMMANDS: usize = 16_384;
/// Longest wait for records.
const REPORT_TIMEOUT: Duration = Duration::from_secs(20);

/// What a swarm is made of.
#[derive(Debug, Clone, Copy)]
pub struct SwarmConfig {
    pub threads: usize,
    /// Of simulated losses and first numbers.
    pub seed: u64,
}

struct Thread {
    commands: SyncSender<Command>,
    waker: Arc<EventFd>,
    shared: Arc<Shared>,
    handle: Mutex<Option<JoinHandle<()>>>,
}

/// Running threads with their peers.
pub struct Swarm {
    threads: Vec<Thread>,
    identity: Arc<Identity>,
    /// Of this machine, loopback last.
    addresses: Vec<IpAddr>,
    next_id: AtomicU32,
    is_stopped: AtomicBool,
}

impl Swarm {
    pub fn start(config: &SwarmConfig) -> io::Result<Self> {
        let identity = Arc::new(Identity::new()?);
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let clock = NtpClock::new(Instant::now(), wall.unwrap_or_default());
        let mut swarm = Self {
            threads: Vec::new(),
            identity,
            addresses: local_addresses(&[])?,
            next_id: AtomicU32::new(0),
            is_stopped: AtomicBool::new(false),
        };
        for index in 0..config.threads {
            // What has been started ends with `swarm` if another one cannot be.
            let seed = config.seed ^ ((index as u64 + 1) << 32);
            let thread = Thread::start(index, clock, &swarm.identity, seed)?;
            swarm.threads.push(thread);
        }
        Ok(swarm)
    }

    /// SHA-256 of the certificate that all peers present.
    pub fn fingerprint_sha256(&self) -> [u8; 32] {
        self.identity.fingerprint_sha256()
    }

    pub fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::SeqCst)
    }

    /// Opens a transport. `with_data`: its description has a data section.
    pub fn open(&self, with_data: bool) -> Result<OpenedTransport, CommandError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let ice = new_credentials().map_err(|_| CommandError::NoRandom)?;
        let socket = PeerSocket::bind()?;
        let candidates = candidate_lines(&socket.on(&self.addresses)?, &[]);
        let local = ice.clone();
        self.command(
            id,
            Command::Open {
                id,
                socket,
                local,
                with_data,
            },
        )?;
        Ok(OpenedTransport {
            id,
            ice,
            candidates,
        })
    }

    /// The server's description: begins to connect.
    pub fn set_remote(
        &self,
        id: u32,
        remote: RemoteDescription,
        candidates: Vec<SocketAddr>,
        controlling: bool,
    ) -> Result<(), CommandError> {
        let command = Command::SetRemote {
            id,
            remote,
            candidates,
            controlling,
        };
        self.command(id, command)
    }

    pub fn add_candidate(&self, id: u32, candidate: SocketAddr) -> Result<(), CommandError> {
        self.command(id, Command::AddCandidate(id, candidate))
    }

    pub fn set_extensions(
        &self,
        id: u32,
        extensions: Vec<ExtensionId>,
        sends_remb: bool,
    ) -> Result<(), CommandError> {
        let command = Command::SetExtensions {
            id,
            extensions,
            sends_remb,
        };
        self.command(id, command)
    }

    pub fn set_link(&self, id: u32, link: LinkConfig) -> Result<(), CommandError> {
        self.command(id, Command::SetLink(id, link))
    }

    pub fn receive(&self, id: u32, config: ReceiveConfig) -> Result<(), CommandError> {
        self.command(id, Command::Receive(id, config))
    }

    pub fn stop_receiving(&self, id: u32, stream: u32) -> Result<(), CommandError> {
        self.command(id, Command::StopReceiving(id, stream))
    }

    pub fn set_watched(&self, id: u32, stream: u32, is_watched: bool) -> Result<(), CommandError> {
        self.command(id, Command::SetWatched(id, stream, is_watched))
    }

    pub fn send(&self, id: u32, config: SendConfig) -> Result<(), CommandError> {
        self.command(id, Command::Send(id, config))
    }

    pub fn stop_sending(&self, id: u32, track: u32) -> Result<(), CommandError> {
        self.command(id, Command::StopSending(id, track))
    }

    pub fn set_encoding_active(
        &self,
        id: u32,
        track: u32,
        encoding: usize,
        is_active: bool,
    ) -> Result<(), CommandError> {
        let command = Command::SetEncodingActive {
            id,
            track,
            encoding,
            is_active,
        };
        self.command(id, command)
    }

    pub fn close(&self, id: u32) -> Result<(), CommandError> {
        self.command(id, Command::Close(id))
    }

    /// Totals at a moment at most 100 ms ago.
    pub fn totals(&self) -> Totals {
        let mut sum = Totals::default();
        for thread in &self.threads {
            let shared = &thread.shared.totals;
            sum.add(&shared.lock().unwrap_or_else(PoisonError::into_inner));
        }
        sum
    }

    /// Records of all transports, those that were closed included.
    pub fn report(&self) -> Result<Vec<TransportRecord>, CommandError> {
        let mut records = Vec::new();
        for thread in &self.threads {
            let (sender, answer) = mpsc::sync_channel(1);
            self.pass(thread, Command::Report(sender))?;
            let some = answer.recv_timeout(REPORT_TIMEOUT);
            records.extend(some.map_err(|_| CommandError::NoAnswer)?);
        }
        Ok(records)
    }

    /// Says goodbye for all peers and joins the threads.
    pub fn stop(&self) {
        self.is_stopped.store(true, Ordering::SeqCst);
        for thread in &self.threads {
            thread.shared.stop.store(true, Ordering::SeqCst);
            thread.waker.signal();
        }
        for thread in &self.threads {
            let handle = thread.handle.lock();
            let handle = handle.unwrap_or_else(PoisonError::into_inner).take();
            if handle.is_some_and(|handle| handle.join().is_err()) {
                log::error!("a thread of the swarm has panicked");
            }
        }
    }

    fn command(&self, id: u32, command: Command) -> Result<(), CommandError> {
        if id >= self.next_id.load(Ordering::Relaxed) {
            return Err(CommandError::UnknownId(id));
        }
        self.pass(&self.threads[id as usize % self.threads.len()], command)
    }

    fn pass(&self, thread: &Thread, command: Command) -> Result<(), CommandError> {
        if self.is_stopped() {
            return Err(CommandError::Stopped);
        }
        thread
            .commands
            .try_send(command)
            .map_err(|error| match error {
                TrySendError::Full(_) => CommandError::QueueFull,
                TrySendError::Disconnected(_) => CommandError::Stopped,
            })?;
        thread.waker.signal();
        Ok(())
    }
}

impl Drop for Swarm {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Thread {
    fn start(
        index: usize,
        clock: NtpClock,
        identity: &Arc<Identity>,
        seed: u64,
    ) -> io::Result<Self> {
        let (commands, receiver) = mpsc::sync_channel(MAX_COMMANDS);
        let waker = Arc::new(EventFd::new()?);
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            totals: Mutex::new(Totals::default()),
        });
        let worker = Worker::new(
            Arc::clone(&shared),
            receiver,
            Arc::clone(&waker),
            clock,
            Arc::clone(identity),
            seed,
        )?;
        let handle = std::thread::Builder::new()
            .name(format!("swarm-{index}"))
            .spawn(move || worker.run())?;
        Ok(Self {
            commands,
            waker,
            shared,
            handle: Mutex::new(Some(handle)),
        })
    }
}
