//! The engine: binds the sockets, starts one thread per shard, and stops them all.
//!
//! A panic in a media thread is a bug. It stops the whole engine, visibly: an event says which
//! shard has failed, and every later command is refused.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use kinguicall_proto::api::ShardId;
use kinguicall_proto::shard::{Shard, ShardConfig};

use crate::addresses::{announceable, local_addresses};
use crate::control::{Registry, Ssrcs};
use crate::events::{EngineEvent, Events};
use crate::inbox::Inbox;
use crate::ring::{self, Consumer, Producer};
use crate::socket::{bind_shared_sockets, bind_thread_sockets};
use crate::stats::ThreadStats;
use crate::steering::Steering;
use crate::tcp::{Acceptor, Connections, Route, TcpPorts, WebConnections};
use crate::thread::{Seed, Shared, run};
use crate::wake::EventFd;

/// How long a shard gathers media before it sends.
const GATHER: Duration = Duration::from_millis(1);
/// Identifiers have eight bits for the shard, and rings grow with the square of the threads.
pub const MAX_THREADS: usize = 128;
/// Seconds from the NTP epoch (1900) to the Unix epoch (RFC 5905).
const NTP_UNIX_OFFSET_S: u64 = 2_208_988_800;

/// How to start an engine.
#[derive(Debug, Clone, Default)]
pub struct EngineConfig {
    /// Thread n listens on `udp_port` + n; with 0 every thread takes a free port.
    pub udp_port: u16,
    pub threads: usize,
    /// Empty: every address of the interfaces.
    pub bind_addresses: Vec<IpAddr>,
    /// Announced instead of the bound addresses of the same family.
    pub public_addresses: Vec<IpAddr>,
    /// Pin thread n to the n-th CPU that the process may use.
    pub pin_threads: bool,
    /// All threads take media on `udp_port`, instead of a port each.
    pub single_udp_port: bool,
    /// Takes ICE over TCP on this port of every address; 0 takes a free one.
    pub tcp_port: Option<u16>,
    /// A port that takes ICE over TCP, and HTTP for `take_web_connections`; 0 takes a free one. On
    /// these addresses, a wildcard for a whole family.
    pub web_port: Option<(Vec<IpAddr>, u16)>,
    /// Mark audio and video for networks that look at DSCP.
    pub dscp: bool,
    /// How many microphones of a room are forwarded at a time; 0 means all.
    pub audio_places: usize,
}

/// Running media threads. Dropping it stops them.
pub struct Engine {
    pub(crate) shared: Arc<Shared>,
    pub(crate) registry: Mutex<Registry>,
    pub(crate) ssrcs: Ssrcs,
    /// Per shard, in the order in which they are announced.
    pub(crate) candidates: Vec<Vec<String>>,
    udp_ports: Vec<u16>,
    tcp_port: Option<u16>,
    web_port: Option<u16>,
    /// Ends the accepting thread.
    stop_accepting: Arc<EventFd>,
    fingerprint: [u8; 32],
    threads: Mutex<Vec<JoinHandle<()>>>,
    stopped: AtomicBool,
}

impl Engine {
    /// Binds every socket, then starts the threads.
    ///
    /// Fails with the error of the system call that failed, `InvalidInput` for a number of threads
    /// or a port range that does not exist, or `AddrInUse` and the address for a port that is
    /// taken. Nothing is left running after a failure.
    pub fn start(config: &EngineConfig) -> io::Result<Self> {
        check(config)?;
        let addresses = local_addresses(&config.bind_addresses)?;
        let discovered = config.bind_addresses.is_empty();
        let sockets = bind_udp(config, &addresses, discovered)?;
        let bound: Vec<Vec<SocketAddr>> = sockets
            .iter()
            .map(|thread| thread.iter().map(|(_, address)| *address).collect())
            .collect();
        let media: Vec<IpAddr> = bound[0].iter().map(SocketAddr::ip).collect();
        let tcp = TcpPorts::bind(config, &media)?;
        let told = announceable(&media, &config.bind_addresses, &config.public_addresses);
        let certificate =
            dimpl::certificate::generate_self_signed_certificate().map_err(io::Error::other)?;
        let fingerprint = <[u8; 32]>::try_from(certificate.fingerprint())
            .map_err(|_| io::Error::other("the certificate's digest is not SHA-256"))?;
        let engine = Self {
            shared: Arc::new(shared(config.threads)?),
            registry: Mutex::new(Registry::new(config.threads)),
            ssrcs: Ssrcs::new().map_err(io::Error::other)?,
            candidates: bound
                .iter()
                .map(|thread| tcp.candidates(thread, &told, &config.public_addresses))
                .collect(),
            udp_ports: bound
                .iter()
                .filter_map(|thread| thread.first().map(SocketAddr::port))
                .collect(),
            tcp_port: tcp.ice.first().map(SocketAddr::port),
            web_port: tcp.web.first().map(SocketAddr::port),
            stop_accepting: Arc::new(EventFd::new()?),
            fingerprint,
            threads: Mutex::default(),
            stopped: AtomicBool::new(false),
        };
        let sockets = sockets
            .into_iter()
            .map(|thread| thread.into_iter().map(|(socket, _)| socket).collect());
        engine.spawn_threads(config, sockets.collect(), &bound, &certificate)?;
        engine.spawn_acceptor(tcp.listeners)?;
        Ok(engine)
    }

    fn spawn_threads(
        &self,
        config: &EngineConfig,
        sockets: Vec<Vec<UdpSocket>>,
        bound: &[Vec<SocketAddr>],
        certificate: &dimpl::DtlsCertificate,
    ) -> io::Result<()> {
        let cpus = if config.pin_threads {
            allowed_cpus()?
        } else {
            Vec::new()
        };
        let epoch = Instant::now();
        let epoch_ntp = ntp_now();
        let mut rings = connect(config.threads);
        let shared_by = if config.single_udp_port {
            config.threads
        } else {
            0
        };
        let mut steering = Steering::for_threads(shared_by).into_iter();
        for (index, sockets) in sockets.into_iter().enumerate() {
            let (outgoing, incoming) = rings.remove(0);
            let shard = Shard::new(ShardConfig {
                id: ShardId(index as u8),
                certificate: certificate.clone(),
                local_addresses: bound[index].clone().into(),
                shards: config.threads as u8,
                epoch,
                epoch_ntp,
                gather: GATHER,
                audio_places: config.audio_places,
            });
            let seed = Seed {
                shard: shard.map_err(io::Error::other)?,
                sockets,
                outgoing,
                incoming,
                marks: config.dscp,
                steering: steering.next(),
                connections: match (config.tcp_port, &config.web_port) {
                    (None, None) => None,
                    _ => Some(Connections::new(config.dscp)?),
                },
                shared: Arc::clone(&self.shared),
            };
            let cpu = (!cpus.is_empty()).then(|| cpus[index % cpus.len()]);
            self.spawn_thread(format!("sfu-media-{index}"), move || thread_main(seed, cpu))?;
        }
        Ok(())
    }

    /// Starts to take TCP connections, if they are wanted.
    fn spawn_acceptor(&self, listeners: Vec<(TcpListener, Route)>) -> io::Result<()> {
        if listeners.is_empty() {
            return Ok(());
        }
        let (stop, shared) = (Arc::clone(&self.stop_accepting), Arc::clone(&self.shared));
        let failed = Arc::clone(&shared);
        let acceptor = Acceptor::new(listeners, stop, shared);
        let body = move || {
            block_signals();
            // Of no thread's own: the first stands for it.
            supervise(&failed, ShardId(0), || acceptor.run());
        };
        self.spawn_thread("sfu-accept".to_owned(), body)
    }

    fn spawn_thread(&self, name: String, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let handle = std::thread::Builder::new().name(name).spawn(body)?;
        self.threads
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(handle);
        Ok(())
    }

    /// Descriptor that is readable while events wait.
    pub fn event_fd(&self) -> RawFd {
        self.shared.events.as_raw_fd()
    }

    /// SHA-256 of the node's certificate.
    pub fn fingerprint_sha256(&self) -> [u8; 32] {
        self.fingerprint
    }

    /// One port per thread.
    pub fn udp_ports(&self) -> &[u16] {
        &self.udp_ports
    }

    /// The port that takes ICE over TCP, if one does.
    pub fn tcp_port(&self) -> Option<u16> {
        self.tcp_port
    }

    /// The port that HTTP shares with ICE over TCP, if one does.
    pub fn web_port(&self) -> Option<u16> {
        self.web_port
    }

    /// Takes the connections on the shared port that began with HTTP or TLS; nothing has been read
    /// from them. `event_fd` becomes readable when there are some.
    pub fn take_web_connections(&self) -> VecDeque<TcpStream> {
        self.shared.web.take()
    }

    /// Takes all waiting events.
    pub fn poll_events(&self) -> Vec<EngineEvent> {
        let events = self.shared.events.take();
        self.forget_closed(&events);
        events
    }

    /// One snapshot per thread, each at most 100 ms old.
    pub fn stats(&self) -> Vec<ThreadStats> {
        self.shared
            .stats
            .iter()
            .map(|stats| stats.lock().unwrap_or_else(PoisonError::into_inner).clone())
            .collect()
    }

    /// How often TCP connections had to wait, as the system was out of descriptors or memory.
    pub fn accept_failures(&self) -> u64 {
        self.shared.accept_failures.load(Ordering::Relaxed)
    }

    /// The queue behind `event_fd`, for others that have something to tell its reader.
    pub fn events(&self) -> &Arc<Events> {
        &self.shared.events
    }

    /// Whether commands are still taken: not after `stop`, nor after a media thread has failed.
    pub fn is_running(&self) -> bool {
        !self.shared.stop.load(Ordering::SeqCst)
    }

    /// Whether `stop` has been called.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    /// Ends every thread, waits for it and so closes every socket. May be called again.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.shared.stop_all();
        self.stop_accepting.signal();
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        for handle in threads.drain(..) {
            // The threads catch their panics, so there is nothing to learn from the result.
            let _ = handle.join();
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The sockets of every thread.
fn bind_udp(
    config: &EngineConfig,
    addresses: &[IpAddr],
    discovered: bool,
) -> io::Result<Vec<Vec<(UdpSocket, SocketAddr)>>> {
    let (port, threads) = (config.udp_port, config.threads);
    if config.single_udp_port {
        return bind_shared_sockets(addresses, port, discovered, threads);
    }
    let ports = (0..threads).map(|index| if port == 0 { 0 } else { port + index as u16 });
    ports
        .map(|port| bind_thread_sockets(addresses, port, discovered))
        .collect()
}

fn check(config: &EngineConfig) -> io::Result<()> {
    let invalid = |message: String| io::Error::new(io::ErrorKind::InvalidInput, message);
    if config.threads == 0 || config.threads > MAX_THREADS {
        let message = format!("threads must be 1 to {MAX_THREADS}, not {}", config.threads);
        return Err(invalid(message));
    }
    let last = usize::from(config.udp_port) + config.threads - 1;
    if config.udp_port != 0 && !config.single_udp_port && last > usize::from(u16::MAX) {
        return Err(invalid(format!("the last thread's port would be {last}")));
    }
    Ok(())
}

fn shared(threads: usize) -> io::Result<Shared> {
    let inboxes: io::Result<Vec<Inbox>> = (0..threads).map(|_| Inbox::new()).collect();
    Ok(Shared {
        stop: AtomicBool::new(false),
        events: Arc::new(Events::new()?),
        web: WebConnections::default(),
        inboxes: inboxes?,
        stats: (0..threads).map(|_| Mutex::default()).collect(),
        accept_failures: AtomicU64::new(0),
    })
}

/// Writing ends by receiving shard, and reading ends, of one thread.
type Rings = (Vec<Option<Producer>>, Vec<Consumer>);

/// One ring for every ordered pair of threads.
fn connect(threads: usize) -> Vec<Rings> {
    let mut rings: Vec<Rings> = Vec::new();
    rings.resize_with(threads, Default::default);
    for from in 0..threads {
        for to in 0..threads {
            if from == to {
                rings[from].0.push(None);
            } else {
                let (producer, consumer) = ring::ring(ring::CAPACITY);
                rings[from].0.push(Some(producer));
                rings[to].1.push(consumer);
            }
        }
    }
    rings
}

fn thread_main(seed: Seed, cpu: Option<usize>) {
    let id = seed.shard.id();
    block_signals();
    if let Some(Err(error)) = cpu.map(pin_to) {
        log::warn!("media thread {} is not pinned: {error}", id.0);
    }
    let shared = Arc::clone(&seed.shared);
    supervise(&shared, id, || run(seed));
}

/// Runs a thread's body. If it panics, the whole engine stops and policy is told.
fn supervise(shared: &Shared, id: ShardId, body: impl FnOnce()) {
    let Err(panic) = catch_unwind(AssertUnwindSafe(body)) else {
        return;
    };
    let message = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("panic without a message");
    log::error!(
        "media thread {} has failed, the engine stops: {message}",
        id.0
    );
    shared.stop_all();
    shared.events.push_failure(id, message.to_owned());
}

/// Leaves the process's signals to the threads that handle them.
fn block_signals() {
    // SAFETY: all-zero bytes are a valid sigset_t; the calls only touch it and this thread's mask.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const all, std::ptr::null_mut());
    }
}

/// CPUs that this process may use.
fn allowed_cpus() -> io::Result<Vec<usize>> {
    // SAFETY: all-zero bytes are an empty cpu_set_t.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` is a valid place of the given size.
    let result = unsafe { libc::sched_getaffinity(0, size_of_val(&set), &raw mut set) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    let cpus = 0..libc::CPU_SETSIZE as usize;
    // SAFETY: `cpu` is below CPU_SETSIZE.
    Ok(cpus
        .filter(|cpu| unsafe { libc::CPU_ISSET(*cpu, &set) })
        .collect())
}

/// Pins the calling thread.
fn pin_to(cpu: usize) -> io::Result<()> {
    // SAFETY: all-zero bytes are an empty cpu_set_t.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `cpu` came from `allowed_cpus`, so it is below CPU_SETSIZE.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    // SAFETY: `set` is valid and of the given size; 0 is the calling thread.
    let result = unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// The wall clock as NTP time in 32.32 fixed point.
fn ntp_now() -> u64 {
    let unix = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let seconds = unix.as_secs() + NTP_UNIX_OFFSET_S;
    let fraction = (u64::from(unix.subsec_nanos()) << 32) / 1_000_000_000;
    (seconds << 32) | fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_stops_every_thread_and_is_told() {
        let shared = shared(2).unwrap();
        supervise(&shared, ShardId(1), || panic!("shard is {}", "broken"));
        assert!(shared.stop.load(Ordering::SeqCst));
        let told = EngineEvent::Failed {
            shard: ShardId(1),
            message: "shard is broken".to_owned(),
        };
        assert_eq!(shared.events.take(), [told]);
    }

    #[test]
    fn ntp_time_is_that_of_this_century() {
        let seconds = ntp_now() >> 32;
        let year_2020 = NTP_UNIX_OFFSET_S + 1_577_836_800;
        assert!(seconds > year_2020);
    }
}
