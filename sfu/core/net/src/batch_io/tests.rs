//! Tests of grouping and of sending over loopback.

use std::time::Duration;

use kinguicall_proto::egress::TrafficClass;

use super::*;

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// Groups datagrams given as (socket, port, length) into run lengths.
fn runs_of(datagrams: &[(u16, u16, u16)], limits: &GsoLimits) -> Vec<usize> {
    let mut start = 0;
    let datagrams: Vec<Datagram> = datagrams
        .iter()
        .map(|&(socket, port, len)| {
            let datagram = Datagram {
                socket: SocketIndex(socket),
                to: address(port),
                start,
                len,
                received_at: None,
                class: TrafficClass::Video,
            };
            start += u32::from(len);
            datagram
        })
        .collect();
    let mut runs = Vec::new();
    find_runs(&datagrams, limits, &mut runs);
    let mut next = 0;
    for run in &runs {
        assert_eq!(run.first, next, "runs cover the batch without gaps");
        next += run.count;
    }
    assert_eq!(next, datagrams.len());
    runs.iter().map(|r| r.count).collect()
}

#[test]
fn equal_neighbours_form_a_run_and_a_shorter_one_ends_it() {
    let runs = runs_of(
        &[(0, 1, 900), (0, 1, 900), (0, 1, 400), (0, 1, 400)],
        &GsoLimits::new(1),
    );
    assert_eq!(runs, [3, 1]);
}

#[test]
fn a_longer_datagram_begins_a_new_run() {
    let runs = runs_of(&[(0, 1, 400), (0, 1, 900), (0, 1, 900)], &GsoLimits::new(1));
    assert_eq!(runs, [1, 2]);
}

#[test]
fn destination_and_socket_separate_runs() {
    let both = GsoLimits::new(2);
    assert_eq!(
        runs_of(&[(0, 1, 9), (0, 2, 9), (1, 2, 9), (1, 2, 9)], &both),
        [1, 1, 2]
    );
}

#[test]
fn segments_and_bytes_of_a_run_are_bounded() {
    assert_eq!(
        runs_of(&[(0, 1, 100); 150], &GsoLimits::new(1)),
        [64, 64, 22]
    );
    assert_eq!(runs_of(&[(0, 1, 1_400); 60], &GsoLimits::new(1)), [46, 14]);
}

fn video(to: SocketAddr, len: u16) -> Datagram {
    Datagram {
        socket: SocketIndex(0),
        to,
        start: 0,
        len,
        received_at: None,
        class: TrafficClass::Video,
    }
}

#[test]
fn a_path_that_refuses_segments_costs_the_others_nothing() {
    let (tunnel, open) = ([10, 0, 0, 1], [10, 0, 0, 2]);
    let to = |ip: [u8; 4], port: u16| SocketAddr::from((ip, port));
    let now = Instant::now();
    let mut limits = GsoLimits::new(1);
    limits.refused(now, &video(to(tunnel, 1), 1_001));
    let batch = [
        video(to(tunnel, 2), 1_001),
        video(to(tunnel, 2), 1_001),
        video(to(tunnel, 2), 1_000),
        video(to(tunnel, 2), 1_000),
        video(to(open, 2), 1_001),
        video(to(open, 2), 1_001),
    ];
    let counts = |limits: &GsoLimits| {
        let mut runs = Vec::new();
        find_runs(&batch, limits, &mut runs);
        runs.iter().map(|run| run.count).collect::<Vec<_>>()
    };
    assert_eq!(counts(&limits), [1, 1, 2, 2]);
    limits.expire(now + gso::RETRY_AFTER);
    assert_eq!(counts(&limits), [3, 1, 2], "tried again");
}

#[test]
fn what_many_refuse_and_nobody_takes_is_avoided_for_the_whole_socket() {
    let to = |n: usize| SocketAddr::from(([10, 0, 0, n as u8], 1));
    let now = Instant::now();
    for somebody_takes_it in [false, true] {
        let mut limits = GsoLimits::new(1);
        if somebody_takes_it {
            limits.run_has_left(SocketIndex(0));
        }
        for n in 0..=gso::MAX_PATHS {
            limits.refused(now, &video(to(n), 900));
        }
        let others = limits.segment_bytes(&video(to(99), 900));
        assert_eq!(others, if somebody_takes_it { u16::MAX } else { 899 });
        assert_eq!(limits.segment_bytes(&video(to(gso::MAX_PATHS), 900)), 899);
        limits.expire(now + gso::RETRY_AFTER);
        assert_eq!(limits.segment_bytes(&video(to(1), 900)), u16::MAX);
    }
}

#[test]
fn an_empty_batch_has_no_runs() {
    assert!(runs_of(&[], &GsoLimits::new(1)).is_empty());
}

fn receiver() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind(address(0)).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(2)))
        .unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

fn put(batch: &mut Batch, socket: u16, to: SocketAddr, fill: u8, len: usize) {
    batch.space()[..len].fill(fill);
    let class = TrafficClass::Control;
    batch.commit(SocketIndex(socket), to, len, class, None);
}

#[test]
fn a_batch_arrives_datagram_by_datagram() {
    let sender = UdpSocket::bind(address(0)).unwrap();
    let (first, first_address) = receiver();
    let (second, second_address) = receiver();
    let mut batch = Batch::new(16);
    for fill in 0..4 {
        put(&mut batch, 0, first_address, fill, 500);
    }
    put(&mut batch, 0, first_address, 4, 20);
    put(&mut batch, 0, second_address, 5, 1_200);

    let mut send = SendBatch::new(1, 16);
    let counts = send.send(Instant::now(), &[sender], &batch);
    assert_eq!(counts.datagrams, 6);
    assert_eq!(counts.bytes, 4 * 500 + 20 + 1_200);

    let mut buffer = [0; 2_048];
    for fill in 0..4 {
        assert_eq!(first.recv(&mut buffer).unwrap(), 500);
        assert!(buffer[..500].iter().all(|b| *b == fill));
    }
    assert_eq!(first.recv(&mut buffer).unwrap(), 20);
    assert_eq!(second.recv(&mut buffer).unwrap(), 1_200);
    assert_eq!(buffer[0], 5);
}

#[test]
fn each_datagram_leaves_by_its_own_socket() {
    let senders = [
        UdpSocket::bind(address(0)).unwrap(),
        UdpSocket::bind(address(0)).unwrap(),
    ];
    let from = [
        senders[0].local_addr().unwrap(),
        senders[1].local_addr().unwrap(),
    ];
    let (receiver, to) = receiver();
    let mut batch = Batch::new(16);
    for socket in [0, 1, 0] {
        put(&mut batch, socket, to, socket as u8, 100);
    }
    let counts = SendBatch::new(2, 16).send(Instant::now(), &senders, &batch);
    assert_eq!(counts.datagrams, 3);
    let mut buffer = [0; 200];
    for _ in 0..3 {
        let (_, source) = receiver.recv_from(&mut buffer).unwrap();
        assert_eq!(source, from[usize::from(buffer[0])]);
    }
}

/// The byte with the DSCP mark in the header of the next datagram.
fn received_mark(socket: &UdpSocket) -> u8 {
    let mut buffer = [0_u8; 2_048];
    let mut control = [0_u64; 16];
    let mut vector = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    // SAFETY: all-zero bytes are a valid msghdr; the buffers outlive the calls that use them.
    unsafe {
        let mut header: libc::msghdr = std::mem::zeroed();
        header.msg_iov = &raw mut vector;
        header.msg_iovlen = 1;
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = size_of_val(&control) as _;
        assert!(libc::recvmsg(socket.as_raw_fd(), &raw mut header, 0) > 0);
        let message = libc::CMSG_FIRSTHDR(&raw const header);
        assert!(!message.is_null(), "the kernel tells the mark");
        *libc::CMSG_DATA(message)
    }
}

fn report_marks(socket: &UdpSocket, level: libc::c_int, option: libc::c_int) {
    let on: libc::c_int = 1;
    // SAFETY: the option value is an int that outlives the call.
    let set = unsafe {
        let (value, len) = ((&raw const on).cast(), size_of_val(&on) as _);
        libc::setsockopt(socket.as_raw_fd(), level, option, value, len)
    };
    assert_eq!(set, 0);
}

#[test]
fn audio_and_video_leave_one_socket_with_their_own_marks() {
    let families = [
        ("127.0.0.1:0", libc::IPPROTO_IP, libc::IP_RECVTOS),
        ("[::1]:0", libc::IPPROTO_IPV6, libc::IPV6_RECVTCLASS),
    ];
    for (local, level, option) in families {
        let Ok(receiver) = UdpSocket::bind(local) else {
            continue; // This machine has no IPv6.
        };
        let to = receiver.local_addr().unwrap();
        report_marks(&receiver, level, option);
        let sockets = [UdpSocket::bind(local).unwrap()];
        let classes = [
            TrafficClass::Audio,
            TrafficClass::Video,
            TrafficClass::Video,
            TrafficClass::Control,
        ];
        let mut batch = Batch::new(4);
        for class in classes {
            batch.commit(SocketIndex(0), to, 100, class, None);
        }
        for (marks, expected) in [(true, [0xb8, 0x88, 0x88, 0]), (false, [0; 4])] {
            let mut send = SendBatch::new(1, 4).with_marks(marks);
            let counts = send.send(Instant::now(), &sockets, &batch);
            assert_eq!((counts.datagrams, counts.messages), (4, 3));
            assert_eq!(expected.map(|_| received_mark(&receiver)), expected);
        }
    }
}

#[test]
fn a_refused_destination_costs_its_own_datagrams_only() {
    let sender = UdpSocket::bind(address(0)).unwrap();
    let (receiver, to) = receiver();
    let unreachable = SocketAddr::from(([255, 255, 255, 255], 9));
    let mut batch = Batch::new(16);
    put(&mut batch, 0, to, 1, 100);
    put(&mut batch, 0, unreachable, 2, 100);
    put(&mut batch, 0, unreachable, 2, 100);
    put(&mut batch, 0, to, 3, 100);
    let mut send = SendBatch::new(1, 16);
    let counts = send.send(Instant::now(), &[sender], &batch);
    assert_eq!((counts.datagrams, counts.refused), (2, 2));
    assert_eq!(
        send.limits.segment_bytes(&batch.datagrams()[1]),
        u16::MAX,
        "the route was at fault, not the run"
    );
    let mut buffer = [0; 200];
    assert_eq!(receiver.recv(&mut buffer).unwrap(), 100);
    assert_eq!(buffer[0], 1);
    assert_eq!(receiver.recv(&mut buffer).unwrap(), 100);
    assert_eq!(buffer[0], 3);
}

#[test]
fn a_run_that_the_kernel_refuses_is_sent_apart_and_avoided_for_a_while() {
    let sender = UdpSocket::bind(address(0)).unwrap();
    let off: libc::c_int = 1;
    // Segmentation needs checksums, so a socket without them refuses it (EINVAL or EIO).
    // SAFETY: the option value is an int that outlives the call.
    let set = unsafe {
        libc::setsockopt(
            sender.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_NO_CHECK,
            (&raw const off).cast(),
            size_of_val(&off) as _,
        )
    };
    assert_eq!(set, 0);
    let (receiver, to) = receiver();
    let mut batch = Batch::new(16);
    for fill in 0..3 {
        put(&mut batch, 0, to, fill, 300);
    }
    let mut send = SendBatch::new(1, 16);
    let now = Instant::now();
    let sockets = [sender];
    assert_eq!(send.send(now, &sockets, &batch).datagrams, 3);
    let first = batch.datagrams()[0];
    assert_eq!(send.limits.segment_bytes(&first), 299);
    let mut buffer = [0; 400];
    for fill in 0..3 {
        assert_eq!(receiver.recv(&mut buffer).unwrap(), 300);
        assert_eq!(buffer[0], fill);
    }
    find_runs(batch.datagrams(), &send.limits, &mut send.runs);
    assert_eq!(send.runs.len(), 3, "no run is tried again at once");
    let later = now + gso::RETRY_AFTER;
    assert_eq!(send.send(later, &sockets, &Batch::new(1)).datagrams, 0);
    assert_eq!(send.limits.segment_bytes(&first), u16::MAX);
}

#[test]
fn receives_a_burst_with_its_sources_and_leaves_out_oversized_datagrams() {
    let (socket, to) = receiver();
    socket.set_nonblocking(true).unwrap();
    let sender = UdpSocket::bind(address(0)).unwrap();
    sender.send_to(&[1; 10], to).unwrap();
    sender.send_to(&[2; 3_000], to).unwrap();
    sender.send_to(&[3; 30], to).unwrap();
    let mut receive = ReceiveBatch::new();
    assert_eq!(receive.receive(&socket).unwrap(), 3);
    let mut seen = Vec::new();
    let unusable = receive.for_each(|from, bytes| {
        assert_eq!(from, sender.local_addr().unwrap());
        seen.push((bytes[0], bytes.len()));
    });
    assert_eq!(unusable, 1);
    assert_eq!(seen, [(1, 10), (3, 30)]);
    assert_eq!(receive.receive(&socket).unwrap(), 0);
}

#[test]
fn ipv6_sources_and_destinations_work() {
    let Ok(socket) = UdpSocket::bind("[::1]:0") else {
        return; // This machine has no IPv6.
    };
    socket.set_nonblocking(true).unwrap();
    let to = socket.local_addr().unwrap();
    let sender = UdpSocket::bind("[::1]:0").unwrap();
    let from = sender.local_addr().unwrap();
    let mut batch = Batch::new(4);
    put(&mut batch, 0, to, 7, 64);
    assert_eq!(
        SendBatch::new(1, 4)
            .send(Instant::now(), &[sender], &batch)
            .datagrams,
        1
    );
    let mut receive = ReceiveBatch::new();
    assert_eq!(receive.receive(&socket).unwrap(), 1);
    receive.for_each(|source, bytes| {
        assert_eq!(source, from);
        assert_eq!(bytes, [7; 64]);
    });
}
