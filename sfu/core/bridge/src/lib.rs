//! The Python module `sfu._core`: checks what Python says, turns it into commands, and turns
//! events and statistics into Python objects. Its interface is written down in `sfu/_core.pyi`,
//! which it carries with it: whoever starts the server can see that both are of one build.
//!
//! No media thread ever calls Python: everything below runs on the thread that called the module.

mod engine;
mod events;
mod logs;
mod memory;
mod stats;
mod swarm;
mod swarm_stats;
mod values;

use pyo3::prelude::*;

#[pymodule]
mod _core {
    #[pymodule_export]
    use super::engine::{Engine, TransportInfo};
    #[pymodule_export]
    use super::events::{
        AudioLevels, DataChannelClosed, DataChannelOpened, EngineFailed, LayerStarted, LogMessage,
        StreamStateChanged, SubscriptionStarted, TrackChanged, TransportStateChanged,
    };
    #[pymodule_export]
    use super::logs::set_log_level;
    #[pymodule_export]
    use super::memory::release_free_memory;
    #[pymodule_export]
    use super::stats::{EngineStats, ShardStats, SubscriberStats, TrackStats};
    #[pymodule_export]
    use super::swarm::Swarm;
    #[pymodule_export]
    use super::swarm_stats::{SwarmStream, SwarmTotals, SwarmTransport};
    #[pymodule_export]
    use super::values::CodecSpec;

    use super::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        logs::install();
        module.add("INTERFACE", include_str!("../../../_core.pyi"))?;
        module.add("Event", events::union(module.py())?)
    }
}
