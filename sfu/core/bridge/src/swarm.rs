//! The class `Swarm`: clients that load a server. Every method checks its arguments, queues a command
//! and returns; `report` waits for the threads' answer.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use kinguicall_proto::api::RemoteDescription;
use kinguicall_swarm::clip::{Clip, SourceFrame};
use kinguicall_swarm::incoming::ReceiveConfig;
use kinguicall_swarm::io::{self, CommandError, SwarmConfig};
use kinguicall_swarm::link::LinkConfig;
use kinguicall_swarm::outgoing::{EncodingConfig, SendConfig};
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;

use crate::engine::TransportInfo;
use crate::swarm_stats::{Epoch, SwarmTotals, SwarmTransport};
use crate::values::{self, CodecSpec, Number};

const MAX_THREADS: usize = 64;

/// An encoding as Python gives it: clip, rid, SSRC and RTX SSRC.
type Encoding = (Number, Option<String>, Number, Option<Number>);

/// Peers with their threads and sockets.
#[pyclass(frozen)]
pub struct Swarm {
    swarm: io::Swarm,
    clips: Mutex<Vec<Arc<Clip>>>,
    epoch: Epoch,
}

fn to_python(error: CommandError) -> PyErr {
    let message = error.to_string();
    match error {
        CommandError::UnknownId(_) => PyValueError::new_err(message),
        CommandError::NoRandom => PyOSError::new_err(message),
        CommandError::Socket(error) => error.into(),
        CommandError::Stopped | CommandError::QueueFull | CommandError::NoAnswer => {
            PyRuntimeError::new_err(message)
        }
    }
}

fn id(number: Number) -> PyResult<u32> {
    number.as_u32("transport_id")
}

fn milliseconds(number: Number, what: &str) -> PyResult<Duration> {
    number
        .as_u32(what)
        .map(u64::from)
        .map(Duration::from_millis)
}

fn candidate(address: &str, port: Number) -> PyResult<SocketAddr> {
    let ip = values::addresses("candidates", &[address.to_owned()])?;
    let port = port.as_u16("a candidate's port")?;
    ip.first()
        .map(|ip| SocketAddr::new(*ip, port))
        .ok_or_else(|| PyValueError::new_err("no address"))
}

impl Swarm {
    fn clip(&self, number: Number) -> PyResult<Arc<Clip>> {
        let clips = self.clips.lock().unwrap_or_else(PoisonError::into_inner);
        let index = number.as_u32("a clip")? as usize;
        let clip = clips.get(index).cloned();
        clip.ok_or_else(|| PyValueError::new_err(format!("no clip has the number {index}")))
    }

    fn encoding(&self, (clip, rid, ssrc, rtx_ssrc): &Encoding) -> PyResult<EncodingConfig> {
        let rid = rid.as_deref().map(values::rid).transpose()?;
        let rtx_ssrc = rtx_ssrc
            .map(|n| values::ssrc(n, "an RTX SSRC"))
            .transpose()?;
        Ok(EncodingConfig {
            clip: self.clip(*clip)?,
            rid,
            ssrc: values::ssrc(*ssrc, "an SSRC")?,
            rtx_ssrc,
        })
    }
}

#[pymethods]
impl Swarm {
    #[new]
    #[pyo3(
        signature = (*, threads=Number::from(1), seed=Number::from(0)),
        text_signature = "(*, threads=1, seed=0)"
    )]
    fn new(py: Python<'_>, threads: Number, seed: Number) -> PyResult<Self> {
        let config = SwarmConfig {
            threads: threads.as_count("threads", MAX_THREADS)?,
            seed: seed.as_u64("seed")?,
        };
        let monotonic = py.import("time")?.call_method0("monotonic")?.extract()?;
        Ok(Self {
            epoch: Epoch::new(Instant::now(), monotonic),
            swarm: py.detach(|| io::Swarm::start(&config))?,
            clips: Mutex::new(Vec::new()),
        })
    }

    #[getter]
    fn fingerprint_sha256(&self) -> String {
        values::format_fingerprint(&self.swarm.fingerprint_sha256())
    }

    fn add_clip(
        &self,
        codec: &str,
        clock_rate_hz: Number,
        duration_ticks: Number,
        frames: Vec<(Number, Number, Vec<u8>)>,
    ) -> PyResult<usize> {
        let source: PyResult<Vec<SourceFrame<'_>>> = frames
            .iter()
            .map(|(timestamp, level, data)| {
                Ok(SourceFrame {
                    timestamp: timestamp.as_u32("a timestamp")?,
                    level_dbov: level.as_u8("an audio level", 127)?,
                    data,
                })
            })
            .collect();
        let clip = Clip::new(
            values::codec(codec),
            clock_rate_hz.as_u32("clock_rate_hz")?.max(1),
            duration_ticks.as_u32("duration_ticks")?,
            &source?,
        );
        let clip = clip.map_err(|error| PyValueError::new_err(error.to_string()))?;
        let mut clips = self.clips.lock().unwrap_or_else(PoisonError::into_inner);
        clips.push(Arc::new(clip));
        Ok(clips.len() - 1)
    }

    #[pyo3(signature = (*, data_channels))]
    fn open_transport(&self, data_channels: bool) -> PyResult<TransportInfo> {
        let opened = self.swarm.open(data_channels).map_err(to_python)?;
        Ok(TransportInfo {
            transport_id: opened.id,
            ice_ufrag: opened.ice.ufrag,
            ice_password: opened.ice.password,
            candidates: opened.candidates,
        })
    }

    #[expect(clippy::too_many_arguments, reason = "keywords in Python")]
    #[pyo3(
        signature = (
            transport_id, *, ice_ufrag, ice_password, fingerprint_sha256, dtls_role, candidates,
            controlling
        )
    )]
    fn set_remote(
        &self,
        transport_id: Number,
        ice_ufrag: String,
        ice_password: String,
        fingerprint_sha256: &str,
        dtls_role: &str,
        candidates: Vec<(String, Number)>,
        controlling: bool,
    ) -> PyResult<()> {
        values::limit_items("candidates", candidates.len())?;
        let remote = RemoteDescription {
            ice: values::ice_credentials(ice_ufrag, ice_password)?,
            fingerprint_sha256: values::fingerprint(fingerprint_sha256)?,
            dtls_role: values::dtls_role(dtls_role)?,
        };
        let addresses = candidates.iter();
        let addresses: PyResult<Vec<_>> =
            addresses.map(|(ip, port)| candidate(ip, *port)).collect();
        let id = id(transport_id)?;
        let result = self.swarm.set_remote(id, remote, addresses?, controlling);
        result.map_err(to_python)
    }

    fn add_candidate(&self, transport_id: Number, address: &str, port: Number) -> PyResult<()> {
        let candidate = candidate(address, port)?;
        let result = self.swarm.add_candidate(id(transport_id)?, candidate);
        result.map_err(to_python)
    }

    #[pyo3(signature = (transport_id, extensions, *, remb))]
    fn set_extensions(
        &self,
        transport_id: Number,
        extensions: Vec<(Number, String)>,
        remb: bool,
    ) -> PyResult<()> {
        let extensions = values::extensions(&extensions)?;
        let result = self
            .swarm
            .set_extensions(id(transport_id)?, extensions, remb);
        result.map_err(to_python)
    }

    #[pyo3(
        signature = (
            transport_id, *, loss, rate_bps, queue_ms=Number::from(300), delay_ms=Number::from(0)
        ),
        text_signature = "($self, transport_id, *, loss, rate_bps, queue_ms=300, delay_ms=0)"
    )]
    fn set_link(
        &self,
        transport_id: Number,
        loss: f64,
        rate_bps: Option<Number>,
        queue_ms: Number,
        delay_ms: Number,
    ) -> PyResult<()> {
        if !(0.0..=1.0).contains(&loss) {
            let message = format!("loss must be 0 to 1, not {loss}");
            return Err(PyValueError::new_err(message));
        }
        let link = LinkConfig {
            loss,
            rate_bps: rate_bps.map(|n| n.as_u64("rate_bps")).transpose()?,
            queue: milliseconds(queue_ms, "queue_ms")?,
            delay: milliseconds(delay_ms, "delay_ms")?,
        };
        let result = self.swarm.set_link(id(transport_id)?, link);
        result.map_err(to_python)
    }

    #[expect(clippy::too_many_arguments, reason = "keywords in Python")]
    #[pyo3(signature = (transport_id, stream, *, kind, codec, ssrc, rtx_ssrc, nack))]
    fn receive(
        &self,
        transport_id: Number,
        stream: Number,
        kind: &str,
        codec: PyRef<'_, CodecSpec>,
        ssrc: Number,
        rtx_ssrc: Option<Number>,
        nack: bool,
    ) -> PyResult<()> {
        let codec = codec.to_receive();
        let config = ReceiveConfig {
            stream: stream.as_u32("stream")?,
            kind: values::media_kind(kind)?,
            codec: codec.codec,
            clock_rate_hz: codec.clock_rate_hz,
            ssrc: values::ssrc(ssrc, "ssrc")?,
            rtx_ssrc: rtx_ssrc.map(|n| values::ssrc(n, "rtx_ssrc")).transpose()?,
            nack,
        };
        let result = self.swarm.receive(id(transport_id)?, config);
        result.map_err(to_python)
    }

    fn stop_receiving(&self, transport_id: Number, stream: Number) -> PyResult<()> {
        let stream = stream.as_u32("stream")?;
        let result = self.swarm.stop_receiving(id(transport_id)?, stream);
        result.map_err(to_python)
    }

    fn set_watched(&self, transport_id: Number, stream: Number, watched: bool) -> PyResult<()> {
        let stream = stream.as_u32("stream")?;
        let result = self.swarm.set_watched(id(transport_id)?, stream, watched);
        result.map_err(to_python)
    }

    #[pyo3(
        signature = (
            transport_id, track, *, mid, codec, encodings, offset_ms=Number::from(0)
        ),
        text_signature = "($self, transport_id, track, *, mid, codec, encodings, offset_ms=0)"
    )]
    fn send(
        &self,
        transport_id: Number,
        track: Number,
        mid: &str,
        codec: PyRef<'_, CodecSpec>,
        encodings: Vec<Encoding>,
        offset_ms: Number,
    ) -> PyResult<()> {
        values::limit_items("encodings", encodings.len())?;
        let codec = codec.to_receive();
        let encodings: PyResult<Vec<_>> = encodings.iter().map(|e| self.encoding(e)).collect();
        let config = SendConfig {
            track: track.as_u32("track")?,
            mid: values::mid(mid)?,
            payload_type: codec.payload_type,
            rtx_payload_type: codec.rtx_payload_type,
            encodings: encodings?,
            offset: milliseconds(offset_ms, "offset_ms")?,
        };
        let result = self.swarm.send(id(transport_id)?, config);
        result.map_err(to_python)
    }

    fn stop_sending(&self, transport_id: Number, track: Number) -> PyResult<()> {
        let track = track.as_u32("track")?;
        let result = self.swarm.stop_sending(id(transport_id)?, track);
        result.map_err(to_python)
    }

    fn set_encoding_active(
        &self,
        transport_id: Number,
        track: Number,
        encoding: Number,
        active: bool,
    ) -> PyResult<()> {
        let (id, track) = (id(transport_id)?, track.as_u32("track")?);
        let encoding = encoding.as_u32("encoding")? as usize;
        let result = self.swarm.set_encoding_active(id, track, encoding, active);
        result.map_err(to_python)
    }

    fn close_transport(&self, transport_id: Number) -> PyResult<()> {
        self.swarm.close(id(transport_id)?).map_err(to_python)
    }

    fn totals(&self) -> SwarmTotals {
        SwarmTotals::from(&self.swarm.totals())
    }

    fn report(&self, py: Python<'_>) -> PyResult<Vec<SwarmTransport>> {
        let records = py.detach(|| self.swarm.report()).map_err(to_python)?;
        let records = records.iter();
        records
            .map(|record| SwarmTransport::new(py, record, self.epoch))
            .collect()
    }

    fn stop(&self, py: Python<'_>) {
        py.detach(|| self.swarm.stop());
    }
}
