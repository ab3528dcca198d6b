//! Listening sockets: bound, non-blocking, one per address.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that wait in the kernel to be accepted.
const BACKLOG: i32 = 1_024;
/// Attempts to find a port that is free on every address, when any port will do.
const PORT_ATTEMPTS: usize = 50;

/// Binds one listener per address, all on `port`. Port 0 takes one that is free on all of them.
/// Fails with the bind error, which names the address.
pub(crate) fn bind_listeners(addresses: &[IpAddr], port: u16) -> io::Result<Vec<TcpListener>> {
    let mut last_error = io::Error::from(io::ErrorKind::AddrNotAvailable);
    let attempts = if port == 0 { PORT_ATTEMPTS } else { 1 };
    for _ in 0..attempts {
        match bind_all(addresses, port) {
            Ok(listeners) => return Ok(listeners),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => last_error = error,
            Err(error) => return Err(error),
        }
    }
    Err(last_error)
}

fn bind_all(addresses: &[IpAddr], mut port: u16) -> io::Result<Vec<TcpListener>> {
    let mut listeners = Vec::with_capacity(addresses.len());
    for address in addresses {
        let local = SocketAddr::new(*address, port);
        let listener = listen(local).map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("cannot listen on TCP {local}: {error}"),
            )
        })?;
        port = listener.local_addr()?.port();
        listeners.push(listener);
    }
    Ok(listeners)
}

fn listen(local: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(local),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    if local.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&local.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_addresses_share_a_port_and_a_taken_one_is_named() {
        let addresses = ["127.0.0.1".parse().unwrap(), "127.0.0.2".parse().unwrap()];
        let listeners = bind_listeners(&addresses, 0).unwrap();
        let bound: Vec<SocketAddr> = listeners.iter().map(|l| l.local_addr().unwrap()).collect();
        assert_eq!(bound[0].port(), bound[1].port());
        let error = bind_listeners(&addresses, bound[0].port()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert!(error.to_string().contains(&bound[0].to_string()));
    }
}
