//! Local addresses, and the ICE host candidates that announce them.
//!
//! A node binds every address by itself instead of a wildcard: the source address of what it sends
//! is then the one that the peer checked, without per-packet control messages.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Preference of host candidates (RFC 8445, section 5.1.2.2).
const HOST_TYPE_PREFERENCE: u32 = 126;
/// Component 1, RTP, the only one when RTCP is multiplexed.
const COMPONENT: u32 = 1;

/// Expands `wanted` into addresses that can be bound, best first.
///
/// Empty means every address of the interfaces that are up; a wildcard (`0.0.0.0`, `::`) means
/// every one of its family. Link-local addresses are left out, as a candidate cannot carry their
/// zone. Fails with `AddrNotAvailable` when nothing is left.
pub fn local_addresses(wanted: &[IpAddr]) -> io::Result<Vec<IpAddr>> {
    let mut addresses = Vec::new();
    if wanted.is_empty() {
        addresses = interface_addresses()?;
    }
    for address in wanted {
        if address.is_unspecified() {
            let all = interface_addresses()?;
            addresses.extend(all.into_iter().filter(|a| a.is_ipv4() == address.is_ipv4()));
        } else {
            addresses.push(*address);
        }
    }
    // Stable: within a class the interfaces' own order stays.
    addresses.sort_by_key(IpAddr::is_loopback);
    let mut distinct = Vec::with_capacity(addresses.len());
    for address in addresses {
        if !distinct.contains(&address) {
            distinct.push(address);
        }
    }
    if distinct.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::AddrNotAvailable,
            "this machine has no address to listen on",
        ));
    }
    Ok(distinct)
}

/// The bound addresses that are told to peers. Loopback addresses are of no use to anybody else and
/// tell nothing (RFC 8445, section 5.1.1.1): they are left out unless somebody asked for them by
/// naming them in `wanted`, or there is nothing else. `public` addresses take the place of others.
pub(crate) fn announceable(bound: &[IpAddr], wanted: &[IpAddr], public: &[IpAddr]) -> Vec<IpAddr> {
    let has_family =
        |list: &[IpAddr], of: &IpAddr| list.iter().any(|a| a.is_ipv4() == of.is_ipv4());
    let others = bound
        .iter()
        .chain(public.iter().filter(|a| has_family(bound, a)));
    let all_loopback = others.into_iter().all(IpAddr::is_loopback);
    let is_told = |address: &&IpAddr| {
        !address.is_loopback()
            || all_loopback
            || wanted.contains(address)
            || has_family(public, address)
    };
    bound.iter().filter(is_told).copied().collect()
}

/// Preference of host candidates over TCP: below everything over UDP (RFC 6544, section 4.2).
const TCP_HOST_TYPE_PREFERENCE: u32 = 90;
/// Direction preference of a passive host candidate (RFC 6544, section 4.2).
const PASSIVE_PREFERENCE: u32 = 4;

/// Host candidates of one thread's sockets as values of `a=candidate` (RFC 8839, section 5.1).
///
/// Public addresses replace the bound ones of their family, with the bound port (1:1 NAT).
pub fn candidate_lines(bound: &[SocketAddr], public: &[IpAddr]) -> Vec<String> {
    announced_addresses(bound, public)
        .into_iter()
        .enumerate()
        .map(|(index, address)| {
            // Every candidate has a base of its own, so each is its own foundation (5.1.1.3).
            let foundation = index + 1;
            let priority = candidate_priority(index);
            let (ip, port) = (address.ip(), address.port());
            format!("candidate:{foundation} {COMPONENT} udp {priority} {ip} {port} typ host")
        })
        .collect()
}

/// The same for listening TCP sockets (RFC 6544, section 4.5). `others` candidates come before.
pub(crate) fn tcp_candidate_lines(
    bound: &[SocketAddr],
    public: &[IpAddr],
    others: usize,
) -> Vec<String> {
    announced_addresses(bound, public)
        .into_iter()
        .enumerate()
        .map(|(index, address)| {
            let foundation = others + index + 1;
            let priority = tcp_candidate_priority(others + index);
            let (ip, port) = (address.ip(), address.port());
            format!(
                "candidate:{foundation} {COMPONENT} tcp {priority} {ip} {port} typ host tcptype passive"
            )
        })
        .collect()
}

/// Addresses with their ports as peers have to know them.
fn announced_addresses(bound: &[SocketAddr], public: &[IpAddr]) -> Vec<SocketAddr> {
    let Some(port) = bound.first().map(SocketAddr::port) else {
        return Vec::new();
    };
    let replaced = |ipv4: bool| public.iter().any(|a| a.is_ipv4() == ipv4);
    let serves = |ipv4: bool| bound.iter().any(|a| a.is_ipv4() == ipv4);
    let announced = public
        .iter()
        .copied()
        .filter(|a| serves(a.is_ipv4()))
        .chain(
            bound
                .iter()
                .map(SocketAddr::ip)
                .filter(|a| !replaced(a.is_ipv4())),
        );
    announced
        .map(|address| SocketAddr::new(address, port))
        .collect()
}

/// RFC 8445, section 5.1.2.1.
fn candidate_priority(index: usize) -> u32 {
    let local_preference = 65_535_u32.saturating_sub(index as u32);
    (HOST_TYPE_PREFERENCE << 24) + (local_preference << 8) + (256 - COMPONENT)
}

/// RFC 6544, section 4.2: the direction comes before the address in the local preference.
fn tcp_candidate_priority(index: usize) -> u32 {
    let other_preference = 8_191_u32.saturating_sub(index as u32);
    let local_preference = (PASSIVE_PREFERENCE << 13) + other_preference;
    (TCP_HOST_TYPE_PREFERENCE << 24) + (local_preference << 8) + (256 - COMPONENT)
}

/// Addresses of all interfaces that are up, but link-local ones, in the kernel's order.
fn interface_addresses() -> io::Result<Vec<IpAddr>> {
    let mut list: *mut libc::ifaddrs = std::ptr::null_mut();
    // SAFETY: `list` is a valid place for the result; it is freed below and nowhere else.
    if unsafe { libc::getifaddrs(&raw mut list) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let mut addresses = Vec::new();
    let mut entry = list;
    while !entry.is_null() {
        // SAFETY: getifaddrs returned a list of valid entries that ends with null.
        let current = unsafe { &*entry };
        entry = current.ifa_next;
        if current.ifa_flags & libc::IFF_UP as libc::c_uint == 0 {
            continue;
        }
        // SAFETY: `ifa_addr` is null or points to an address of the size of its family.
        let address = unsafe { address_from_raw(current.ifa_addr) };
        addresses.extend(address.filter(|a| !is_link_local(a)));
    }
    // SAFETY: `list` came from getifaddrs, and nothing refers to it any more.
    unsafe { libc::freeifaddrs(list) };
    Ok(addresses)
}

/// # Safety
///
/// `raw` is null, or points to a `sockaddr` that is as long as its family says.
unsafe fn address_from_raw(raw: *const libc::sockaddr) -> Option<IpAddr> {
    if raw.is_null() {
        return None;
    }
    // SAFETY: not null, and every sockaddr begins with its family.
    match i32::from(unsafe { (*raw).sa_family }) {
        libc::AF_INET => {
            // SAFETY: the family says that this is a sockaddr_in.
            let v4 = unsafe { raw.cast::<libc::sockaddr_in>().read_unaligned() };
            Some(IpAddr::V4(Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr))))
        }
        libc::AF_INET6 => {
            // SAFETY: the family says that this is a sockaddr_in6.
            let v6 = unsafe { raw.cast::<libc::sockaddr_in6>().read_unaligned() };
            Some(IpAddr::V6(Ipv6Addr::from(v6.sin6_addr.s6_addr)))
        }
        _ => None,
    }
}

fn is_link_local(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn socket(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn finds_loopback_last_and_no_link_local_address() {
        let addresses = local_addresses(&[]).unwrap();
        assert!(addresses.contains(&ip("127.0.0.1")));
        assert!(!addresses.iter().any(is_link_local));
        let first_loopback = addresses.iter().position(IpAddr::is_loopback).unwrap();
        assert!(addresses[first_loopback..].iter().all(IpAddr::is_loopback));
    }

    #[test]
    fn expands_a_wildcard_to_its_own_family() {
        let addresses = local_addresses(&[ip("0.0.0.0"), ip("127.0.0.1")]).unwrap();
        assert!(addresses.iter().all(IpAddr::is_ipv4));
        assert_eq!(
            addresses.iter().filter(|a| **a == ip("127.0.0.1")).count(),
            1
        );
    }

    #[test]
    fn loopback_is_told_when_it_is_named_or_alone() {
        let ips = |texts: &[&str]| texts.iter().map(|it| ip(it)).collect::<Vec<_>>();
        let told = |bound: &[&str], wanted: &[&str], public: &[&str]| {
            announceable(&ips(bound), &ips(wanted), &ips(public))
        };
        let machine = ["192.0.2.1", "2001:db8::1", "127.0.0.1", "::1"];
        let others = ips(&["192.0.2.1", "2001:db8::1"]);
        assert_eq!(told(&machine, &[], &[]), others);
        assert_eq!(told(&machine, &["0.0.0.0", "::"], &[]), others);
        let alone = ["127.0.0.1", "::1"];
        assert_eq!(told(&alone, &[], &[]), ips(&alone));
        let named = ["192.0.2.1", "127.0.0.1"];
        assert_eq!(told(&named, &named, &[]), ips(&named));
        let one_family = ["192.0.2.1", "::1"];
        assert_eq!(told(&one_family, &[], &[]), ips(&["192.0.2.1"]));
    }

    #[test]
    fn a_public_address_needs_a_socket_of_its_family_whatever_that_is() {
        let bound = [ip("127.0.0.1"), ip("2001:db8::1")];
        let told = announceable(&bound, &[], &[ip("203.0.113.9")]);
        assert_eq!(told, bound, "the first is replaced");
        let public = [ip("127.0.0.1")];
        assert_eq!(announceable(&bound, &[], &public), bound);
        let bound = bound.map(|address| SocketAddr::new(address, 7882));
        let lines = candidate_lines(&bound, &public);
        assert!(lines[0].contains(" 127.0.0.1 7882 "), "{lines:?}");
    }

    #[test]
    fn candidates_have_falling_priorities_and_distinct_foundations() {
        let lines = candidate_lines(
            &[socket("192.0.2.1:7882"), socket("[2001:db8::1]:7882")],
            &[],
        );
        assert_eq!(
            lines,
            [
                "candidate:1 1 udp 2130706431 192.0.2.1 7882 typ host",
                "candidate:2 1 udp 2130706175 2001:db8::1 7882 typ host",
            ]
        );
    }

    #[test]
    fn public_addresses_replace_bound_ones_of_their_family_only() {
        let bound = [
            socket("10.0.0.5:7882"),
            socket("[2001:db8::1]:7882"),
            socket("127.0.0.1:7882"),
        ];
        let lines = candidate_lines(&bound, &[ip("203.0.113.9")]);
        assert_eq!(
            lines,
            [
                "candidate:1 1 udp 2130706431 203.0.113.9 7882 typ host",
                "candidate:2 1 udp 2130706175 2001:db8::1 7882 typ host",
            ]
        );
    }

    #[test]
    fn a_public_address_without_a_socket_of_its_family_is_not_announced() {
        let lines = candidate_lines(&[socket("10.0.0.5:7882")], &[ip("2001:db8::9")]);
        assert_eq!(
            lines,
            ["candidate:1 1 udp 2130706431 10.0.0.5 7882 typ host"]
        );
    }
}
