//! A media thread's TCP connections: their messages go to the shard as datagrams do.

use std::time::Instant;

use kinguicall_proto::transport::connection::{Frame, first_frame};

use super::Worker;
use crate::tcp::Reading;

impl Worker {
    /// Reads from the connections that have something, and writes to those that take more.
    pub(super) fn take_frames(&mut self, now: Instant) -> bool {
        let index = self.host.sockets.len();
        let Some(connections) = &mut self.host.connections else {
            return false;
        };
        if self.poll[index].revents == 0 {
            return false;
        }
        let mut readable = std::mem::take(&mut self.readable);
        connections.poll(&mut readable);
        for number in &readable {
            self.take_frames_of(now, *number);
        }
        self.readable = readable;
        true
    }

    fn take_frames_of(&mut self, now: Instant, number: usize) {
        let Some(connections) = &mut self.host.connections else {
            return;
        };
        let end = match connections.read(number, &mut self.read_buffer) {
            Reading::Bytes(end) => end,
            Reading::Nothing => return,
            Reading::Ended => return connections.fail(number),
        };
        let mut at = 0;
        // The connection may fail by what one of its messages brings about.
        while let Some((socket, from)) = self.host.source(number) {
            match first_frame(&self.read_buffer[at..end]) {
                Frame::Message(message) => {
                    let next = at + message.end;
                    let message = &mut self.read_buffer[at + message.start..next];
                    self.shard
                        .handle_datagram(now, socket, from, message, &mut self.host);
                    at = next;
                    let is_validated = self.shard.is_validated(socket, from);
                    if let Some(connections) = &mut self.host.connections {
                        connections.judge(number, is_validated);
                    }
                }
                Frame::Incomplete => {
                    if let Some(connections) = &mut self.host.connections {
                        connections.keep(number, &self.read_buffer[at..end]);
                    }
                    return;
                }
                Frame::TooLong => {
                    if let Some(connections) = &mut self.host.connections {
                        connections.fail(number);
                    }
                }
            }
        }
    }

    /// Closes what has failed or is of no more use, and tells the shard.
    pub(super) fn close_connections(&mut self, now: Instant) {
        let Some(connections) = &mut self.host.connections else {
            return;
        };
        if connections.poll_timeout().is_some_and(|at| at <= now) {
            let shard = &self.shard;
            connections.handle_timeout(now, |socket, from| shard.is_validated(socket, from));
        }
        let mut closed = false;
        while let Some((socket, from)) = self.host.close_failed() {
            self.shard
                .handle_disconnect(now, socket, from, &mut self.host);
            closed = true;
        }
        if closed {
            self.shard.end_turn(now, &mut self.host);
        }
    }
}
