//! Listening sockets: bound, non-blocking, one per address; and the candidates that announce them.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};

use super::Route;
use crate::addresses::{candidate_lines, tcp_candidate_lines};
use crate::engine::EngineConfig;

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that wait in the kernel to be accepted.
const BACKLOG: i32 = 1_024;
/// Attempts to find a port that is free on every address, when any port will do.
const PORT_ATTEMPTS: usize = 50;

/// The listening sockets of an engine, and what is bound by them.
pub(crate) struct TcpPorts {
    pub listeners: Vec<(TcpListener, Route)>,
    /// On the port for ICE alone.
    pub ice: Vec<SocketAddr>,
    /// On the port that is shared with HTTP; may be a wildcard.
    pub web: Vec<SocketAddr>,
}

impl TcpPorts {
    /// Binds what the configuration asks for. `media` are the addresses that the UDP sockets have.
    pub(crate) fn bind(config: &EngineConfig, media: &[IpAddr]) -> io::Result<Self> {
        let ice = match config.tcp_port {
            Some(port) => bind_listeners(media, port)?,
            None => Vec::new(),
        };
        let web = match &config.web_port {
            Some((addresses, port)) => bind_listeners(addresses, *port)?,
            None => Vec::new(),
        };
        let local = |listeners: &[TcpListener]| -> io::Result<Vec<SocketAddr>> {
            listeners.iter().map(TcpListener::local_addr).collect()
        };
        let (ice_addresses, web_addresses) = (local(&ice)?, local(&web)?);
        let ice = ice.into_iter().map(|it| (it, Route::Ice));
        let web = web.into_iter().map(|it| (it, Route::IceAndWeb));
        Ok(Self {
            listeners: ice.chain(web).collect(),
            ice: ice_addresses,
            web: web_addresses,
        })
    }

    /// The candidates of a thread on the addresses `told`, those over UDP first.
    pub(crate) fn candidates(
        &self,
        udp: &[SocketAddr],
        told: &[IpAddr],
        public: &[IpAddr],
    ) -> Vec<String> {
        let on_told = |bound: &[SocketAddr]| -> Vec<SocketAddr> {
            let told = bound.iter().filter(|address| told.contains(&address.ip()));
            told.copied().collect()
        };
        let mut lines = candidate_lines(&on_told(udp), public);
        let ice = on_told(&self.ice);
        lines.extend(tcp_candidate_lines(&ice, public, lines.len()));
        let is_covered = |address: &IpAddr| {
            self.web.iter().any(|web| {
                let all = web.ip().is_unspecified() && web.is_ipv4() == address.is_ipv4();
                all || web.ip() == *address
            })
        };
        let port = self.web.first().map_or(0, SocketAddr::port);
        let covered = told.iter().filter(|address| is_covered(address));
        let covered: Vec<SocketAddr> = covered.map(|ip| SocketAddr::new(*ip, port)).collect();
        lines.extend(tcp_candidate_lines(&covered, public, lines.len()));
        lines
    }
}

/// Binds one listener per address, all on `port`. Port 0 takes one that is free on all of them.
/// Fails with the bind error, which names the address.
fn bind_listeners(addresses: &[IpAddr], port: u16) -> io::Result<Vec<TcpListener>> {
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
    fn the_shared_port_is_announced_where_it_is_reached() {
        let media: Vec<IpAddr> = ["127.0.0.1", "::1"].map(|it| it.parse().unwrap()).to_vec();
        let udp: Vec<SocketAddr> = media.iter().map(|ip| SocketAddr::new(*ip, 7_000)).collect();
        let ports = |web: &[&str]| TcpPorts {
            listeners: Vec::new(),
            ice: vec![SocketAddr::new(media[0], 7_001)],
            web: web.iter().map(|it| it.parse().unwrap()).collect(),
        };
        let announced = |web: &[&str]| -> Vec<String> {
            let lines = ports(web).candidates(&udp, &media, &[]);
            let fields = lines.iter().map(|line| line.split(' ').collect::<Vec<_>>());
            fields
                .map(|it| format!("{} {} {}", it[2], it[4], it[5]))
                .collect()
        };
        let own = ["udp 127.0.0.1 7000", "udp ::1 7000", "tcp 127.0.0.1 7001"];
        assert_eq!(announced(&[]), own);
        assert_eq!(announced(&["0.0.0.0:443"])[3..], ["tcp 127.0.0.1 443"]);
        assert_eq!(announced(&["[::1]:443"])[3..], ["tcp ::1 443"]);
        assert_eq!(announced(&["127.0.0.9:443"]), own);
    }

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
