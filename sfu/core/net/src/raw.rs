//! The only place that builds kernel message headers: addresses, vectors and control messages for
//! recvmmsg and sendmmsg, in arrays that are allocated once.

use std::io;
use std::mem::{self, MaybeUninit};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Range;
use std::os::fd::RawFd;
use std::ptr;

/// Room for a control message with a `u16`, the segment size, and one with an `int`, the mark.
// SAFETY: CMSG_SPACE only computes.
const CONTROL_BYTES: usize = unsafe {
    (libc::CMSG_SPACE(mem::size_of::<u16>() as u32)
        + libc::CMSG_SPACE(mem::size_of::<libc::c_int>() as u32)) as usize
};

/// A control buffer, aligned for `cmsghdr`.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; CONTROL_BYTES]);

impl Control {
    /// Writes a control message at `offset`, a multiple of its alignment, and returns how much
    /// room it takes.
    fn put<T: Copy>(&mut self, offset: usize, level: i32, kind: i32, value: T) -> usize {
        // SAFETY: these only compute.
        let (len, space) = unsafe {
            let size = mem::size_of::<T>() as u32;
            (libc::CMSG_LEN(size), libc::CMSG_SPACE(size) as usize)
        };
        assert!(offset + space <= CONTROL_BYTES, "room for both messages");
        // SAFETY: the message lies within the buffer, which is aligned for its header as the sizes
        // of all messages are multiples of that alignment.
        unsafe {
            let header = self.0.as_mut_ptr().add(offset).cast::<libc::cmsghdr>();
            (*header).cmsg_level = level;
            (*header).cmsg_type = kind;
            (*header).cmsg_len = len as _;
            libc::CMSG_DATA(header).cast::<T>().write_unaligned(value);
        }
        space
    }
}

/// An IPv4 or IPv6 socket address in the kernel's form.
#[repr(C)]
#[derive(Clone, Copy)]
union SocketAddress {
    family: libc::sa_family_t,
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
}

impl SocketAddress {
    const EMPTY: Self = Self {
        // SAFETY: all-zero bytes are a valid sockaddr_in6.
        v6: unsafe { MaybeUninit::zeroed().assume_init() },
    };

    fn new(address: SocketAddr) -> (Self, libc::socklen_t) {
        match address.ip() {
            IpAddr::V4(ip) => {
                let v4 = libc::sockaddr_in {
                    sin_family: libc::AF_INET as libc::sa_family_t,
                    sin_port: address.port().to_be(),
                    sin_addr: libc::in_addr {
                        s_addr: u32::from(ip).to_be(),
                    },
                    sin_zero: [0; 8],
                };
                (Self { v4 }, mem::size_of::<libc::sockaddr_in>() as _)
            }
            IpAddr::V6(ip) => {
                let v6 = libc::sockaddr_in6 {
                    sin6_family: libc::AF_INET6 as libc::sa_family_t,
                    sin6_port: address.port().to_be(),
                    sin6_flowinfo: 0,
                    sin6_addr: libc::in6_addr {
                        s6_addr: ip.octets(),
                    },
                    sin6_scope_id: 0,
                };
                (Self { v6 }, mem::size_of::<libc::sockaddr_in6>() as _)
            }
        }
    }

    fn get(&self, len: libc::socklen_t) -> Option<SocketAddr> {
        // SAFETY: every variant begins with the family, and the bytes are initialised.
        let family = i32::from(unsafe { self.family });
        let len = len as usize;
        if family == libc::AF_INET && len >= mem::size_of::<libc::sockaddr_in>() {
            // SAFETY: the family and the length say that this is a sockaddr_in.
            let v4 = unsafe { self.v4 };
            let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
            Some(SocketAddr::from((ip, u16::from_be(v4.sin_port))))
        } else if family == libc::AF_INET6 && len >= mem::size_of::<libc::sockaddr_in6>() {
            // SAFETY: the family and the length say that this is a sockaddr_in6.
            let v6 = unsafe { self.v6 };
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            Some(SocketAddr::from((ip, u16::from_be(v6.sin6_port))))
        } else {
            None
        }
    }
}

/// Headers of up to a fixed number of messages, for receiving or for sending.
pub(crate) struct MessageHeaders {
    messages: Box<[libc::mmsghdr]>,
    vectors: Box<[libc::iovec]>,
    addresses: Box<[SocketAddress]>,
    controls: Box<[Control]>,
}

impl MessageHeaders {
    pub(crate) fn new(count: usize) -> Self {
        // SAFETY: all-zero bytes are a valid mmsghdr: null pointers and zero lengths.
        let empty: libc::mmsghdr = unsafe { MaybeUninit::zeroed().assume_init() };
        let vector = libc::iovec {
            iov_base: ptr::null_mut(),
            iov_len: 0,
        };
        Self {
            messages: vec![empty; count].into_boxed_slice(),
            vectors: vec![vector; count].into_boxed_slice(),
            addresses: vec![SocketAddress::EMPTY; count].into_boxed_slice(),
            controls: vec![Control([0; CONTROL_BYTES]); count].into_boxed_slice(),
        }
    }

    /// Receives into the `slot_bytes`-sized slots of `bytes` without waiting. Returns the number of
    /// datagrams, 0 when none waits.
    pub(crate) fn receive(
        &mut self,
        fd: RawFd,
        bytes: &mut [u8],
        slot_bytes: usize,
    ) -> io::Result<usize> {
        let mut count = 0;
        for (index, slot) in bytes
            .chunks_exact_mut(slot_bytes)
            .take(self.messages.len())
            .enumerate()
        {
            self.vectors[index].iov_base = slot.as_mut_ptr().cast();
            self.vectors[index].iov_len = slot.len();
            let header = &mut self.messages[index].msg_hdr;
            header.msg_name = (&raw mut self.addresses[index]).cast();
            header.msg_namelen = mem::size_of::<SocketAddress>() as _;
            header.msg_iov = &raw mut self.vectors[index];
            header.msg_iovlen = 1;
            header.msg_flags = 0;
            count += 1;
        }
        // SAFETY: the first `count` headers point into `addresses`, `vectors` and `bytes`, which
        // are borrowed for the whole call; no control buffers are given.
        let received = unsafe {
            libc::recvmmsg(
                fd,
                self.messages.as_mut_ptr(),
                count as u32,
                libc::MSG_DONTWAIT as _,
                ptr::null_mut(),
            )
        };
        if received >= 0 {
            return Ok(received as usize);
        }
        let error = io::Error::last_os_error();
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(0),
            _ => Err(error),
        }
    }

    /// Source and length of a received datagram, or `None` when it was cut or has no source.
    pub(crate) fn received(&self, index: usize) -> Option<(SocketAddr, usize)> {
        let message = self.messages.get(index)?;
        if message.msg_hdr.msg_flags & libc::MSG_TRUNC != 0 {
            return None;
        }
        let from = self.addresses[index].get(message.msg_hdr.msg_namelen)?;
        Some((from, message.msg_len as usize))
    }

    /// Prepares message `index`. With `segment`, the kernel cuts `bytes` into datagrams of that
    /// length; `traffic_class` is the byte of that name in the IP header (TOS in IPv4), if not 0.
    /// See `send` for how long the bytes must live.
    pub(crate) fn fill(
        &mut self,
        index: usize,
        to: SocketAddr,
        bytes: &[u8],
        segment: Option<u16>,
        traffic_class: u8,
    ) {
        let (address, address_len) = SocketAddress::new(to);
        self.addresses[index] = address;
        // The kernel only reads what it sends.
        self.vectors[index].iov_base = bytes.as_ptr().cast_mut().cast();
        self.vectors[index].iov_len = bytes.len();
        let header = &mut self.messages[index].msg_hdr;
        header.msg_name = (&raw mut self.addresses[index]).cast();
        header.msg_namelen = address_len;
        header.msg_iov = &raw mut self.vectors[index];
        header.msg_iovlen = 1;
        header.msg_flags = 0;
        let control = &mut self.controls[index];
        let mut used = 0;
        if let Some(segment) = segment {
            used += control.put(used, libc::SOL_UDP, libc::UDP_SEGMENT, segment);
        }
        if traffic_class != 0 {
            let (level, kind) = match to {
                SocketAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_TOS),
                SocketAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_TCLASS),
            };
            used += control.put(used, level, kind, libc::c_int::from(traffic_class));
        }
        header.msg_control = match used {
            0 => ptr::null_mut(),
            _ => (&raw mut *control).cast(),
        };
        header.msg_controllen = used as _;
    }

    /// Sends the messages of `range`. Returns how many went out before the first that failed;
    /// fails when that is the first.
    ///
    /// # Safety
    ///
    /// Every message of `range` has been prepared by `fill`, and the bytes given there are still
    /// where they were.
    pub(crate) unsafe fn send(&mut self, fd: RawFd, range: Range<usize>) -> io::Result<usize> {
        let messages = &mut self.messages[range];
        // SAFETY: the headers point into `self`, and into bytes that the caller vouches for.
        let sent = unsafe {
            libc::sendmmsg(
                fd,
                messages.as_mut_ptr(),
                messages.len() as u32,
                libc::MSG_DONTWAIT as _,
            )
        };
        if sent < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(sent as usize)
    }
}

/// Sends one datagram without waiting.
pub(crate) fn send_to(fd: RawFd, to: SocketAddr, bytes: &[u8]) -> io::Result<()> {
    let (address, address_len) = SocketAddress::new(to);
    // SAFETY: the pointers and lengths are those of `bytes` and `address`, which outlive the call.
    let sent = unsafe {
        libc::sendto(
            fd,
            bytes.as_ptr().cast(),
            bytes.len(),
            libc::MSG_DONTWAIT,
            (&raw const address).cast(),
            address_len,
        )
    };
    if sent < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
