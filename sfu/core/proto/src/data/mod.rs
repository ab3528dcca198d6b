//! Data messages: channels over SCTP on one side, the room that they are routed in on the other.

pub mod channels;
pub mod dcep;
pub mod packet;
pub mod room;
mod sctp;
#[cfg(test)]
mod tests;
