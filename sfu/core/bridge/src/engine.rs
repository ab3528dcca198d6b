//! The class `Engine`: every method checks its arguments, queues a command and returns.

use std::os::fd::IntoRawFd;

use kinguicall_net::{self as net, CommandError, EngineConfig, LocalDescription};
use kinguicall_proto::api::{
    ChangeTrack, Command, DataDelivery, DataMember, Publish, RemoteDescription, RoomId, SendCodec,
    Subscribe, SubscriptionId, SubscriptionSettings, TrackId, TransportId,
};
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;

use crate::events::AnyEvent;
use crate::logs;
use crate::stats::EngineStats;
use crate::values::{self, CodecSpec, Number};

/// A transport as the local description must announce it.
#[pyclass(frozen, get_all)]
#[derive(Debug)]
pub(crate) struct TransportInfo {
    pub(crate) transport_id: u32,
    pub(crate) ice_ufrag: String,
    pub(crate) ice_password: String,
    pub(crate) candidates: Vec<String>,
}

impl From<LocalDescription> for TransportInfo {
    fn from(local: LocalDescription) -> Self {
        Self {
            transport_id: local.id.0,
            ice_ufrag: local.ice.ufrag,
            ice_password: local.ice.password,
            candidates: local.candidates,
        }
    }
}

/// Media threads with their sockets.
#[pyclass(frozen)]
pub struct Engine {
    engine: net::Engine,
}

impl Engine {
    /// The engine, unless it has been stopped.
    fn running(&self) -> PyResult<&net::Engine> {
        if self.engine.is_stopped() {
            return Err(to_python(CommandError::Stopped));
        }
        Ok(&self.engine)
    }

    fn command(&self, command: Command) -> PyResult<()> {
        self.running()?.command(command).map_err(to_python)
    }
}

fn to_python(error: CommandError) -> PyErr {
    let message = error.to_string();
    match error {
        CommandError::UnknownId(_) => PyValueError::new_err(message),
        CommandError::NoRandom => PyOSError::new_err(message),
        CommandError::Stopped | CommandError::QueueFull | CommandError::OutOfIds => {
            PyRuntimeError::new_err(message)
        }
    }
}

fn transport(id: Number) -> PyResult<TransportId> {
    id.as_u32("transport_id").map(TransportId)
}

fn track(id: Number) -> PyResult<TrackId> {
    id.as_u32("track_id").map(TrackId)
}

fn subscription(id: Number) -> PyResult<SubscriptionId> {
    id.as_u32("subscription_id").map(SubscriptionId)
}

fn room(id: Number) -> PyResult<RoomId> {
    id.as_u32("room_id").map(RoomId)
}

/// What each of the publisher's payload types leaves as.
fn send_codecs(codecs: &[(Number, PyRef<'_, CodecSpec>)]) -> PyResult<Vec<SendCodec>> {
    values::limit_items("codecs", codecs.len())?;
    let codecs = codecs.iter();
    codecs.map(|(from, codec)| codec.to_send(*from)).collect()
}

fn settings(
    paused: bool,
    max_layer: Number,
    max_temporal_layer: Number,
    priority: Number,
) -> PyResult<SubscriptionSettings> {
    Ok(SubscriptionSettings {
        paused,
        max_layer: max_layer.as_u8("max_layer", u8::MAX)?,
        max_temporal_layer: max_temporal_layer.as_u8("max_temporal_layer", u8::MAX)?,
        priority: priority.as_u8("priority", u8::MAX)?,
    })
}

#[pymethods]
impl Engine {
    #[expect(clippy::too_many_arguments, reason = "keywords in Python")]
    #[new]
    #[pyo3(
        signature = (
            *, udp_port, single_udp_port=false, tcp_port=None, web_addresses=Vec::new(), web_port=None, threads=Number::from(1), bind_addresses=Vec::new(),
            public_addresses=Vec::new(), pin_threads=false, audio_forward_limit=Number::from(0),
            dscp=false
        ),
        text_signature = "(*, udp_port, single_udp_port=False, tcp_port=None, web_addresses=(), web_port=None, threads=1, bind_addresses=(), public_addresses=(), \
                          pin_threads=False, audio_forward_limit=0, dscp=False)"
    )]
    fn new(
        py: Python<'_>,
        udp_port: Number,
        single_udp_port: bool,
        tcp_port: Option<Number>,
        web_addresses: Vec<String>,
        web_port: Option<Number>,
        threads: Number,
        bind_addresses: Vec<String>,
        public_addresses: Vec<String>,
        pin_threads: bool,
        audio_forward_limit: Number,
        dscp: bool,
    ) -> PyResult<Self> {
        let config = EngineConfig {
            udp_port: udp_port.as_u16("udp_port")?,
            single_udp_port,
            tcp_port: tcp_port.map(|it| it.as_u16("tcp_port")).transpose()?,
            web_port: match web_port {
                Some(port) => Some((
                    values::addresses("web_addresses", &web_addresses)?,
                    port.as_u16("web_port")?,
                )),
                None => None,
            },
            threads: threads.as_count("threads", net::MAX_THREADS)?,
            bind_addresses: values::addresses("bind_addresses", &bind_addresses)?,
            public_addresses: values::addresses("public_addresses", &public_addresses)?,
            pin_threads,
            dscp,
            audio_places: usize::from(audio_forward_limit.as_u16("audio_forward_limit")?),
        };
        let engine = py.detach(|| net::Engine::start(&config));
        let engine = engine.map_err(|error| match error.kind() {
            std::io::ErrorKind::InvalidInput => PyValueError::new_err(error.to_string()),
            _ => error.into(),
        })?;
        logs::wake_through(engine.events());
        Ok(Self { engine })
    }

    #[getter]
    fn event_fd(&self) -> PyResult<i32> {
        Ok(self.running()?.event_fd())
    }

    #[getter]
    fn fingerprint_sha256(&self) -> String {
        values::format_fingerprint(&self.engine.fingerprint_sha256())
    }

    #[getter]
    fn udp_ports(&self) -> Vec<u16> {
        self.engine.udp_ports().to_vec()
    }

    #[getter]
    fn tcp_port(&self) -> Option<u16> {
        self.engine.tcp_port()
    }

    #[getter]
    fn web_port(&self) -> Option<u16> {
        self.engine.web_port()
    }

    fn take_web_connections(&self) -> PyResult<Vec<i32>> {
        let taken = self.running()?.take_web_connections();
        Ok(taken.into_iter().map(IntoRawFd::into_raw_fd).collect())
    }

    fn poll_events(&self) -> PyResult<Vec<AnyEvent>> {
        let events = self.running()?.poll_events();
        let logs = logs::take().into_iter().map(AnyEvent::from);
        Ok(logs.chain(events.into_iter().map(AnyEvent::from)).collect())
    }

    #[pyo3(signature = (*, near_transport=None, open_data_channels=false))]
    fn open_transport(
        &self,
        near_transport: Option<Number>,
        open_data_channels: bool,
    ) -> PyResult<TransportInfo> {
        let near = near_transport.map(transport).transpose()?;
        let opened = self.running()?.open_transport(near, open_data_channels);
        let local = opened.map_err(to_python)?;
        Ok(local.into())
    }

    #[pyo3(signature = (transport_id, *, ice_ufrag, ice_password, fingerprint_sha256, dtls_role))]
    fn set_remote(
        &self,
        transport_id: Number,
        ice_ufrag: String,
        ice_password: String,
        fingerprint_sha256: &str,
        dtls_role: &str,
    ) -> PyResult<()> {
        let remote = RemoteDescription {
            ice: values::ice_credentials(ice_ufrag, ice_password)?,
            fingerprint_sha256: values::fingerprint(fingerprint_sha256)?,
            dtls_role: values::dtls_role(dtls_role)?,
        };
        self.command(Command::SetRemote(
            transport(transport_id)?,
            Box::new(remote),
        ))
    }

    fn restart_ice(&self, transport_id: Number) -> PyResult<TransportInfo> {
        let id = transport(transport_id)?;
        let local = self.running()?.restart_ice(id).map_err(to_python)?;
        Ok(local.into())
    }

    fn close_transport(&self, transport_id: Number) -> PyResult<()> {
        self.command(Command::CloseTransport(transport(transport_id)?))
    }

    #[expect(clippy::too_many_arguments, reason = "keywords in Python")]
    #[pyo3(
        signature = (
            transport_id, *, kind, mid, codecs, extensions, rids=Vec::new(), ssrcs=Vec::new(),
            nack=true, microphone_of=None
        ),
        text_signature = "($self, transport_id, *, kind, mid, codecs, extensions, rids=(), \
                          ssrcs=(), nack=True, microphone_of=None)"
    )]
    fn publish(
        &self,
        transport_id: Number,
        kind: &str,
        mid: &str,
        codecs: Vec<PyRef<'_, CodecSpec>>,
        extensions: Vec<(Number, String)>,
        rids: Vec<String>,
        ssrcs: Vec<(Number, Option<Number>)>,
        nack: bool,
        microphone_of: Option<Number>,
    ) -> PyResult<u32> {
        values::limit_items("codecs", codecs.len())?;
        values::limit_items("rids", rids.len())?;
        let rids: PyResult<Vec<_>> = rids.iter().map(|rid| values::rid(rid)).collect();
        let publish = Publish {
            track: TrackId(0),
            transport: transport(transport_id)?,
            kind: values::media_kind(kind)?,
            mid: values::mid(mid)?,
            codecs: codecs.iter().map(|codec| codec.to_receive()).collect(),
            extensions: values::extensions(&extensions)?,
            rids: rids?,
            ssrcs: values::ssrcs(&ssrcs)?,
            nack,
            microphone_of: microphone_of.map(room).transpose()?,
        };
        let id = self.running()?.publish(publish).map_err(to_python)?;
        Ok(id.0)
    }

    fn unpublish(&self, track_id: Number) -> PyResult<()> {
        self.command(Command::Unpublish(track(track_id)?))
    }

    fn draw_ssrc(&self) -> PyResult<u32> {
        Ok(self.running()?.draw_ssrc().0)
    }

    #[expect(clippy::too_many_arguments, reason = "keywords in Python")]
    #[pyo3(
        signature = (
            transport_id, track_id, *, kind, ssrc, rtx_ssrc, codecs, extensions, cname,
            paused=false, max_layer=Number::from(2), max_temporal_layer=Number::from(255),
            priority=Number::from(0)
        ),
        text_signature = "($self, transport_id, track_id, *, kind, ssrc, rtx_ssrc, codecs, \
                          extensions, cname, paused=False, max_layer=2, max_temporal_layer=255, \
                          priority=0)"
    )]
    fn subscribe(
        &self,
        transport_id: Number,
        track_id: Number,
        kind: &str,
        ssrc: Number,
        rtx_ssrc: Option<Number>,
        codecs: Vec<(Number, PyRef<'_, CodecSpec>)>,
        extensions: Vec<(Number, String)>,
        cname: String,
        paused: bool,
        max_layer: Number,
        max_temporal_layer: Number,
        priority: Number,
    ) -> PyResult<u32> {
        let codecs = send_codecs(&codecs)?;
        let rtx_ssrc = rtx_ssrc.map(|n| values::ssrc(n, "rtx_ssrc")).transpose()?;
        let subscribe = Subscribe {
            id: SubscriptionId(0),
            transport: transport(transport_id)?,
            track: track(track_id)?,
            via: None,
            kind: values::media_kind(kind)?,
            ssrc: values::ssrc(ssrc, "ssrc")?,
            rtx_ssrc,
            codecs,
            extensions: values::extensions(&extensions)?,
            first_sequence: 0,
            cname: values::cname(cname)?,
            settings: settings(paused, max_layer, max_temporal_layer, priority)?,
        };
        let id = self.running()?.subscribe(subscribe).map_err(to_python)?;
        Ok(id.0)
    }

    #[pyo3(
        signature = (
            subscription_id, *, paused, max_layer, max_temporal_layer=Number::from(255),
            priority=Number::from(0)
        ),
        text_signature = "($self, subscription_id, *, paused, max_layer, max_temporal_layer=255, \
                          priority=0)"
    )]
    fn update_subscription(
        &self,
        subscription_id: Number,
        paused: bool,
        max_layer: Number,
        max_temporal_layer: Number,
        priority: Number,
    ) -> PyResult<()> {
        let id = subscription(subscription_id)?;
        self.command(Command::UpdateSubscription(
            id,
            settings(paused, max_layer, max_temporal_layer, priority)?,
        ))
    }

    #[expect(clippy::too_many_arguments, reason = "keywords in Python")]
    #[pyo3(
        signature = (
            subscription_id, track_id, *, codecs, paused, max_layer,
            max_temporal_layer=Number::from(255), priority=Number::from(0)
        ),
        text_signature = "($self, subscription_id, track_id, *, codecs, paused, max_layer, \
                          max_temporal_layer=255, priority=0)"
    )]
    fn change_track(
        &self,
        subscription_id: Number,
        track_id: Number,
        codecs: Vec<(Number, PyRef<'_, CodecSpec>)>,
        paused: bool,
        max_layer: Number,
        max_temporal_layer: Number,
        priority: Number,
    ) -> PyResult<()> {
        self.command(Command::ChangeTrack(Box::new(ChangeTrack {
            id: subscription(subscription_id)?,
            track: track(track_id)?,
            via: None,
            codecs: send_codecs(&codecs)?,
            settings: settings(paused, max_layer, max_temporal_layer, priority)?,
        })))
    }

    fn unsubscribe(&self, subscription_id: Number) -> PyResult<()> {
        self.command(Command::Unsubscribe(subscription(subscription_id)?))
    }

    #[pyo3(signature = (transport_id, bitrate_bps))]
    fn limit_bitrate(&self, transport_id: Number, bitrate_bps: Option<Number>) -> PyResult<()> {
        let limit = bitrate_bps
            .map(|n| n.as_bitrate("bitrate_bps"))
            .transpose()?;
        self.command(Command::LimitBitrate(transport(transport_id)?, limit))
    }

    fn request_key_frame(&self, track_id: Number) -> PyResult<()> {
        self.command(Command::RequestKeyFrame(track(track_id)?))
    }

    #[expect(clippy::too_many_arguments, reason = "keywords in Python")]
    #[pyo3(signature = (room_id, *, sid, identity, sends_on, receives_on, can_publish, hidden))]
    fn set_data_member(
        &self,
        room_id: Number,
        sid: String,
        identity: String,
        sends_on: Number,
        receives_on: Number,
        can_publish: bool,
        hidden: bool,
    ) -> PyResult<()> {
        self.command(Command::SetDataMember(Box::new(DataMember {
            room: room(room_id)?,
            sid,
            identity,
            sends_on: sends_on.as_u32("sends_on").map(TransportId)?,
            receives_on: receives_on.as_u32("receives_on").map(TransportId)?,
            can_publish,
            hidden,
        })))
    }

    fn remove_data_member(&self, room_id: Number, sid: String) -> PyResult<()> {
        let room = room(room_id)?;
        self.command(Command::RemoveDataMember { room, sid })
    }

    #[pyo3(signature = (room_id, packet, *, reliable))]
    fn send_data(&self, room_id: Number, packet: &[u8], reliable: bool) -> PyResult<()> {
        let delivery = if reliable {
            DataDelivery::Reliable
        } else {
            DataDelivery::Lossy
        };
        self.command(Command::SendData {
            room: room(room_id)?,
            delivery,
            packet: packet.to_vec(),
        })
    }

    fn stats(&self, py: Python<'_>) -> PyResult<EngineStats> {
        let engine = self.running()?;
        EngineStats::new(py, &engine.stats(), engine.accept_failures())
    }

    fn stop(&self, py: Python<'_>) {
        py.detach(|| self.engine.stop());
    }
}
