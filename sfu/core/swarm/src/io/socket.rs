//! Receiving on many sockets: epoll, and recvmmsg with the kernel's time of arrival.
//!
//! Packets wait in their socket while the thread serves others. Their arrival is what the kernel
//! noted (SO_TIMESTAMPNS), so that a busy load generator does not count as latency of the server.

use std::io;
use std::mem::{self, MaybeUninit};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::time::Duration;

/// Datagrams of one recvmmsg call.
const BATCH: usize = 32;
const SLOT_BYTES: usize = 2_048;
/// A receive buffer for a key frame of every publisher.
const RECEIVE_BUFFER_BYTES: libc::c_int = 1 << 20;
const CONTROL_BYTES: usize = 64;

/// A UDP socket for one peer, for both address families where the machine has both.
pub(super) struct PeerSocket {
    socket: UdpSocket,
    is_ipv6: bool,
}

impl PeerSocket {
    /// Binds to any free port.
    pub(super) fn bind() -> io::Result<Self> {
        let (socket, is_ipv6) = match UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)) {
            Ok(socket) => (socket, true),
            Err(_) => (UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?, false),
        };
        socket.set_nonblocking(true)?;
        set_option(&socket, libc::SO_TIMESTAMPNS, 1)?;
        set_option(&socket, libc::SO_RCVBUF, RECEIVE_BUFFER_BYTES)?;
        Ok(Self { socket, is_ipv6 })
    }

    /// Its port, on every address that the socket has a family for.
    pub(super) fn on(&self, addresses: &[IpAddr]) -> io::Result<Vec<SocketAddr>> {
        let port = self.socket.local_addr()?.port();
        let usable = addresses.iter().filter(|ip| self.is_ipv6 || ip.is_ipv4());
        Ok(usable.map(|ip| SocketAddr::new(*ip, port)).collect())
    }

    /// Sends one datagram without waiting.
    pub(super) fn send_to(&self, datagram: &[u8], to: SocketAddr) -> io::Result<usize> {
        match to.ip() {
            IpAddr::V4(ip) if self.is_ipv6 => {
                let mapped = (ip.to_ipv6_mapped(), to.port());
                self.socket.send_to(datagram, mapped)
            }
            _ => self.socket.send_to(datagram, to),
        }
    }

    /// Datagrams that the kernel has dropped, as nobody took them in time.
    pub(super) fn kernel_drops(&self) -> u32 {
        kernel_drops(&self.socket)
    }
}

impl AsRawFd for PeerSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

fn set_option(socket: &UdpSocket, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    // SAFETY: `value` is read only, and its size is given.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            (&raw const value).cast(),
            size_of_val(&value) as libc::socklen_t,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// An epoll set. Its members are told apart by numbers.
pub(super) struct Poller {
    fd: OwnedFd,
    events: Vec<libc::epoll_event>,
    ready: usize,
}

impl Poller {
    pub(super) fn new() -> io::Result<Self> {
        // SAFETY: no pointers are passed.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self {
            // SAFETY: a new descriptor that nobody else owns.
            fd: unsafe { OwnedFd::from_raw_fd(fd) },
            events: vec![libc::epoll_event { events: 0, u64: 0 }; 256],
            ready: 0,
        })
    }

    /// Adds a descriptor; it leaves the set when it is closed.
    pub(super) fn add(&self, fd: RawFd, number: u64) -> io::Result<()> {
        let mut event = libc::epoll_event {
            events: libc::EPOLLIN as u32,
            u64: number,
        };
        // SAFETY: both descriptors are open, `event` is valid.
        let result = unsafe {
            libc::epoll_ctl(self.fd.as_raw_fd(), libc::EPOLL_CTL_ADD, fd, &raw mut event)
        };
        if result == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }

    /// Waits until something can be read, at most for `timeout`, rounded up to a millisecond.
    pub(super) fn wait(&mut self, timeout: Duration) -> io::Result<()> {
        self.ready = 0;
        let millis = timeout.as_micros().div_ceil(1_000).min(60_000) as libc::c_int;
        // SAFETY: `events` has the length that is given.
        let ready = unsafe {
            libc::epoll_wait(
                self.fd.as_raw_fd(),
                self.events.as_mut_ptr(),
                self.events.len() as libc::c_int,
                millis,
            )
        };
        if ready >= 0 {
            self.ready = ready as usize;
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() == io::ErrorKind::Interrupted {
            Ok(())
        } else {
            Err(error)
        }
    }

    /// Number of the descriptor at this place of the last wait's result.
    pub(super) fn ready(&self, index: usize) -> Option<u64> {
        let event = self.events.get(index).filter(|_| index < self.ready)?;
        Some(event.u64)
    }
}

#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; CONTROL_BYTES]);

/// A received datagram.
pub(super) struct Arrived<'a> {
    pub from: SocketAddr,
    /// Wall clock of its arrival, if the kernel told.
    pub wall: Option<Duration>,
    pub bytes: &'a mut [u8],
}

/// Buffers for one recvmmsg call.
pub(super) struct Receiver {
    bytes: Box<[u8]>,
    headers: Box<[libc::mmsghdr]>,
    vectors: Box<[libc::iovec]>,
    addresses: Box<[libc::sockaddr_storage]>,
    controls: Box<[Control]>,
    received: usize,
}

impl Receiver {
    pub(super) fn new() -> Self {
        // SAFETY: all-zero bytes are valid: null pointers, zero lengths, family unspecified.
        let header: libc::mmsghdr = unsafe { MaybeUninit::zeroed().assume_init() };
        // SAFETY: as above.
        let address: libc::sockaddr_storage = unsafe { MaybeUninit::zeroed().assume_init() };
        let vector = libc::iovec {
            iov_base: ptr::null_mut(),
            iov_len: 0,
        };
        Self {
            bytes: vec![0; BATCH * SLOT_BYTES].into_boxed_slice(),
            headers: vec![header; BATCH].into_boxed_slice(),
            vectors: vec![vector; BATCH].into_boxed_slice(),
            addresses: vec![address; BATCH].into_boxed_slice(),
            controls: vec![Control([0; CONTROL_BYTES]); BATCH].into_boxed_slice(),
            received: 0,
        }
    }

    /// Takes what waits, up to a batch. Returns whether more may wait.
    pub(super) fn receive(&mut self, socket: &PeerSocket) -> bool {
        for (index, slot) in self.bytes.chunks_exact_mut(SLOT_BYTES).enumerate() {
            self.vectors[index].iov_base = slot.as_mut_ptr().cast();
            self.vectors[index].iov_len = slot.len();
            let header = &mut self.headers[index].msg_hdr;
            header.msg_name = (&raw mut self.addresses[index]).cast();
            header.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
            header.msg_iov = &raw mut self.vectors[index];
            header.msg_iovlen = 1;
            header.msg_control = (&raw mut self.controls[index]).cast();
            header.msg_controllen = CONTROL_BYTES as _;
            header.msg_flags = 0;
        }
        // SAFETY: the headers point into buffers of `self`, which is borrowed for the whole call.
        let received = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                BATCH as u32,
                libc::MSG_DONTWAIT as _,
                ptr::null_mut(),
            )
        };
        // An error (an ICMP message, say) is one of the peer: its consent will run out.
        self.received = usize::try_from(received).unwrap_or(0);
        self.received == BATCH
    }

    /// Shows what the last call took.
    pub(super) fn for_each(&mut self, mut handle: impl FnMut(Arrived<'_>)) {
        let slots = self.bytes.chunks_exact_mut(SLOT_BYTES);
        for (index, slot) in slots.enumerate().take(self.received) {
            let message = &self.headers[index];
            let len = message.msg_len as usize;
            let is_whole = message.msg_hdr.msg_flags & libc::MSG_TRUNC == 0;
            let from = address(&self.addresses[index]);
            if let (true, Some(from), Some(bytes)) = (is_whole, from, slot.get_mut(..len)) {
                let wall = arrival(&message.msg_hdr);
                handle(Arrived { from, wall, bytes });
            }
        }
    }
}

fn address(storage: &libc::sockaddr_storage) -> Option<SocketAddr> {
    match libc::c_int::from(storage.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says so, and the storage is large enough and aligned for both.
            let v4 = unsafe { &*ptr::from_ref(storage).cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
            Some(SocketAddr::from((ip, u16::from_be(v4.sin_port))))
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let v6 = unsafe { &*ptr::from_ref(storage).cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            // IPv4 comes in its mapped form on a socket for both.
            Some(SocketAddr::new(
                IpAddr::V6(ip).to_canonical(),
                u16::from_be(v6.sin6_port),
            ))
        }
        _ => None,
    }
}

/// The kernel's time stamp among a message's control data.
fn arrival(header: &libc::msghdr) -> Option<Duration> {
    // SAFETY: the kernel has filled the control buffer and its length, and it is still there.
    let mut control = unsafe { libc::CMSG_FIRSTHDR(header) };
    while !control.is_null() {
        // SAFETY: not null, hence within the control buffer.
        let (level, kind) = unsafe { ((*control).cmsg_level, (*control).cmsg_type) };
        if level == libc::SOL_SOCKET && kind == libc::SCM_TIMESTAMPNS {
            // SAFETY: a message of this kind holds a timespec.
            let time = unsafe {
                libc::CMSG_DATA(control)
                    .cast::<libc::timespec>()
                    .read_unaligned()
            };
            let seconds = u64::try_from(time.tv_sec).ok()?;
            return Some(Duration::new(seconds, time.tv_nsec as u32));
        }
        // SAFETY: both are of the same message.
        control = unsafe { libc::CMSG_NXTHDR(header, control) };
    }
    None
}

fn kernel_drops(socket: &UdpSocket) -> u32 {
    const DROPS: usize = 8;
    let mut info = [0_u32; DROPS + 1];
    let mut len = mem::size_of_val(&info) as libc::socklen_t;
    // SAFETY: `info` and `len` are valid places, and `len` is the size of `info`.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            info.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    if result == 0 { info[DROPS] } else { 0 }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn datagrams_come_with_sender_and_time_of_arrival() {
        let socket = PeerSocket::bind().unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = socket.socket.local_addr().unwrap().port();
        // The kernel begins to note times a moment after the first socket has asked for it.
        std::thread::sleep(Duration::from_millis(50));
        sender.send_to(b"one", ("127.0.0.1", port)).unwrap();
        std::thread::sleep(Duration::from_millis(30));
        let mut poller = Poller::new().unwrap();
        poller.add(socket.as_raw_fd(), 7).unwrap();
        poller.wait(Duration::from_secs(5)).unwrap();
        assert_eq!((poller.ready(0), poller.ready(1)), (Some(7), None));
        let mut receiver = Receiver::new();
        assert!(!receiver.receive(&socket));
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap();
        let mut count = 0;
        receiver.for_each(|arrived| {
            count += 1;
            assert_eq!(arrived.from, sender.local_addr().unwrap());
            assert_eq!(arrived.bytes, b"one");
            let age = now - arrived.wall.unwrap();
            assert!(age >= Duration::from_millis(25) && age < Duration::from_secs(5));
        });
        assert_eq!(count, 1);
        assert_eq!(socket.kernel_drops(), 0);
        let to = sender.local_addr().unwrap();
        assert_eq!(socket.send_to(b"back", to).unwrap(), 4);
        let mut buffer = [0; 8];
        assert_eq!(sender.recv(&mut buffer).unwrap(), 4);
    }
}
