//! Data messages: channels over SCTP on one side, the room that they are routed in on the other.

pub mod channels;
pub mod dcep;
pub(crate) mod deliveries;
mod flow;
mod inbox;
mod kinds;
mod outbox;
pub mod packet;
pub mod room;
mod sctp;
pub(crate) mod sender;
#[cfg(test)]
mod tests;
mod window;
