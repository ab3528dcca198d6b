//! UDP sockets of the media threads: bound, non-blocking, with large kernel buffers.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use socket2::{Domain, Protocol, Socket, Type};

/// Kernel buffers, as far as `net.core.{r,w}mem_max` allows: a key frame of every publisher must
/// fit while the thread is busy with another turn.
const BUFFER_BYTES: usize = 4 * 1024 * 1024;
/// Attempts to find a port that is free on every address, when any port will do.
const PORT_ATTEMPTS: usize = 50;

/// Binds one socket per address, all on `port`. Port 0 takes one that is free on all of them.
///
/// Addresses that the kernel refuses as unavailable (a detached or duplicate IPv6 address) are
/// skipped when `skip_unavailable`, as those have only been found on an interface. Fails with the
/// bind error otherwise, or when no address is left.
pub fn bind_thread_sockets(
    addresses: &[IpAddr],
    port: u16,
    skip_unavailable: bool,
) -> io::Result<Vec<(UdpSocket, SocketAddr)>> {
    bind_to(addresses, port, skip_unavailable, Sharing::Alone)
}

/// Binds the sockets of `threads` threads, all on one port: the kernel spreads what arrives.
pub(crate) fn bind_shared_sockets(
    addresses: &[IpAddr],
    port: u16,
    skip_unavailable: bool,
    threads: usize,
) -> io::Result<Vec<Vec<(UdpSocket, SocketAddr)>>> {
    // Another process of this user could join in, and would take a part of what arrives: so first
    // the port has to be free for one that shares it with nobody.
    let probe = bind_thread_sockets(addresses, port, skip_unavailable)?;
    let port = probe.first().map_or(port, |(_, address)| address.port());
    drop(probe);
    (0..threads)
        .map(|_| bind_to(addresses, port, skip_unavailable, Sharing::AmongThreads))
        .collect()
}

/// Whether other sockets may have the same port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sharing {
    Alone,
    AmongThreads,
}

fn bind_to(
    addresses: &[IpAddr],
    port: u16,
    skip_unavailable: bool,
    sharing: Sharing,
) -> io::Result<Vec<(UdpSocket, SocketAddr)>> {
    let mut last_error = io::Error::from(io::ErrorKind::AddrNotAvailable);
    let attempts = if port == 0 { PORT_ATTEMPTS } else { 1 };
    for _ in 0..attempts {
        match bind_all(addresses, port, skip_unavailable, sharing) {
            Ok(sockets) => return Ok(sockets),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => last_error = error,
            Err(error) => return Err(error),
        }
    }
    Err(last_error)
}

fn bind_all(
    addresses: &[IpAddr],
    port: u16,
    skip_unavailable: bool,
    sharing: Sharing,
) -> io::Result<Vec<(UdpSocket, SocketAddr)>> {
    let mut port = port;
    let mut sockets = Vec::with_capacity(addresses.len());
    for address in addresses {
        let local = SocketAddr::new(*address, port);
        match bind(local, sharing) {
            Ok(socket) => {
                let bound = socket.local_addr()?;
                port = bound.port();
                sockets.push((socket, bound));
            }
            Err(error) if skip_unavailable && error.kind() == io::ErrorKind::AddrNotAvailable => {
                log::warn!("an interface's address cannot be bound, so it is not used: {error}");
            }
            Err(error) => {
                return Err(io::Error::new(error.kind(), BindError { local, error }));
            }
        }
    }
    if sockets.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::AddrNotAvailable,
            "no address could be bound",
        ));
    }
    Ok(sockets)
}

/// Names the address that could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("cannot bind UDP {local}: {error}")]
struct BindError {
    local: SocketAddr,
    error: io::Error,
}

fn bind(local: SocketAddr, sharing: Sharing) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(local), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    if local.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_recv_buffer_size(BUFFER_BYTES)?;
    socket.set_send_buffer_size(BUFFER_BYTES)?;
    set_fragmentation(&socket, local.is_ipv6())?;
    if sharing == Sharing::AmongThreads {
        set_option(&socket, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)?;
    }
    socket.bind(&local.into())?;
    Ok(socket.into())
}

/// What happens to a datagram that is too large for its path: it is fragmented, as RTP that a
/// publisher has packed cannot be packed anew.
///
/// IPv4 leaves that to the routers (OMIT): a forged "fragmentation needed" would otherwise make the
/// kernel cut everything into pieces of 552 bytes and refuse segmentation offload. IPv6 routers do
/// not fragment, so there the kernel must learn the path's size, of at least 1,280 bytes (WANT).
fn set_fragmentation(socket: &Socket, ipv6: bool) -> io::Result<()> {
    let (level, option, value) = if ipv6 {
        let want = libc::IPV6_PMTUDISC_WANT;
        (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, want)
    } else {
        let omit = libc::IP_PMTUDISC_OMIT;
        (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, omit)
    };
    set_option(socket, level, option, value)
}

fn set_option(socket: &Socket, level: i32, option: i32, value: libc::c_int) -> io::Result<()> {
    // SAFETY: the value is an int that outlives the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const value).cast(),
            size_of_val(&value) as libc::socklen_t,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loopbacks() -> Vec<IpAddr> {
        vec!["127.0.0.1".parse().unwrap(), "127.0.0.2".parse().unwrap()]
    }

    #[test]
    fn port_zero_gives_one_port_on_all_addresses() {
        let sockets = bind_thread_sockets(&loopbacks(), 0, false).unwrap();
        let ports: Vec<u16> = sockets.iter().map(|(_, a)| a.port()).collect();
        assert_eq!(ports.len(), 2);
        assert_ne!(ports[0], 0);
        assert_eq!(ports[0], ports[1]);
    }

    #[test]
    fn forged_path_sizes_are_ignored_where_routers_fragment() {
        let addresses = ["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()];
        let Ok(sockets) = bind_thread_sockets(&addresses, 0, false) else {
            return; // This machine has no IPv6.
        };
        let options = [
            (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER),
            (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER),
        ];
        let found = sockets.iter().zip(options).map(|((socket, _), option)| {
            let mut value: libc::c_int = -1;
            let mut len = size_of_val(&value) as libc::socklen_t;
            // SAFETY: `value` and `len` are valid places of the sizes given.
            let result = unsafe {
                let place = (&raw mut value).cast();
                libc::getsockopt(socket.as_raw_fd(), option.0, option.1, place, &raw mut len)
            };
            assert_eq!(result, 0);
            value
        });
        let expected = [libc::IP_PMTUDISC_OMIT, libc::IPV6_PMTUDISC_WANT];
        assert_eq!(found.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_shared_port_is_for_the_threads_of_one_engine_only() {
        let threads = bind_shared_sockets(&loopbacks(), 0, false, 3).unwrap();
        let port = threads[0][0].1.port();
        let bound = threads.iter().flatten().map(|(_, address)| address.port());
        assert_eq!(bound.collect::<Vec<_>>(), [port; 6]);
        let error = bind_shared_sockets(&loopbacks(), port, false, 2).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn a_port_in_use_is_an_error_that_names_the_address() {
        let sockets = bind_thread_sockets(&loopbacks(), 0, false).unwrap();
        let taken = sockets[0].1;
        let error = bind_thread_sockets(&loopbacks(), taken.port(), false).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert!(error.to_string().contains(&taken.to_string()));
    }

    #[test]
    fn addresses_of_no_interface_are_skipped_only_when_they_were_discovered() {
        let addresses = ["127.0.0.1".parse().unwrap(), "192.0.2.250".parse().unwrap()];
        assert_eq!(bind_thread_sockets(&addresses, 0, true).unwrap().len(), 1);
        let error = bind_thread_sockets(&addresses, 0, false).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
    }
}
