//! Messages that open data channels.

use kinguicall_proto::data::dcep::{ACK, MAX_LABEL, Message, read, write_open};

pub fn run(data: &[u8]) {
    match read(data) {
        Some(Message::Open(open)) => {
            assert!(open.label.len() <= MAX_LABEL);
            let written = write_open(&open);
            assert!(written.len() <= data.len());
            assert_eq!(read(&written), Some(Message::Open(open)));
        }
        Some(Message::Ack) => assert_eq!(data[..1], ACK),
        None => {}
    }
}
