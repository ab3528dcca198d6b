"""The native engine. Use it through `sfu.engine`, which adds asyncio; nothing here is stable.

Calls return at once: they put a command into the queue of the media thread that owns the object.
What happens comes back through `poll_events`, after `event_fd` has become readable. Identifiers
are plain integers, unique in the process.
"""

from collections.abc import Sequence
from typing import Literal, TypeAlias, final

__all__ = [
    "INTERFACE",
    "AudioLevels",
    "CodecSpec",
    "DataChannelClosed",
    "DataChannelOpened",
    "Engine",
    "EngineFailed",
    "EngineStats",
    "Event",
    "LayerStarted",
    "LogMessage",
    "ShardStats",
    "StreamStateChanged",
    "SubscriberStats",
    "SubscriptionStarted",
    "Swarm",
    "SwarmStream",
    "SwarmTotals",
    "SwarmTransport",
    "TrackChanged",
    "TrackStats",
    "TransportInfo",
    "TransportStateChanged",
    "release_free_memory",
    "set_log_level",
]

INTERFACE: str
"""The text of this file when the module was built."""

@final
class CodecSpec:
    """One payload type. `codec` is the lower-case encoding name, such as "vp8".

    Raises ValueError for numbers that RTP cannot carry.
    """

    def __new__(
        cls,
        payload_type: int,
        codec: str,
        clock_rate_hz: int,
        rtx_payload_type: int | None = None,
    ) -> CodecSpec: ...
    @property
    def payload_type(self) -> int: ...
    @property
    def codec(self) -> str: ...
    @property
    def clock_rate_hz(self) -> int: ...
    @property
    def rtx_payload_type(self) -> int | None: ...

@final
class TransportInfo:
    """A transport that has just been opened, as the local description must announce it."""

    @property
    def transport_id(self) -> int: ...
    @property
    def ice_ufrag(self) -> str: ...
    @property
    def ice_password(self) -> str: ...
    @property
    def candidates(self) -> list[str]:
        """Host candidates as SDP attribute values: "candidate:1 1 udp 2130706431 ..."."""

# --- events ---------------------------------------------------------------------------------

@final
class TransportStateChanged:
    @property
    def transport_id(self) -> int: ...
    @property
    def state(
        self,
    ) -> Literal["new", "connecting", "connected", "disconnected", "closed"]: ...
    @property
    def reason(
        self,
    ) -> Literal[
        "",
        "requested",
        "peer_closed",
        "consent_expired",
        "fingerprint_mismatch",
        "certificate_unsupported",
        "dtls_unsupported",
        "handshake_refused",
        "handshake_failed",
        "connect_timeout",
    ]: ...

@final
class LayerStarted:
    @property
    def track_id(self) -> int: ...
    @property
    def layer(self) -> int: ...
    @property
    def payload_type(self) -> int: ...

@final
class AudioLevels:
    """Levels of one 400 ms window: (track_id, level 0..1, share of active frames 0..1)."""

    @property
    def levels(self) -> list[tuple[int, float, float]]: ...

@final
class SubscriptionStarted:
    @property
    def subscription_id(self) -> int: ...

@final
class StreamStateChanged:
    """A subscription has been paused because it does not fit the bandwidth, or flows again."""

    @property
    def subscription_id(self) -> int: ...
    @property
    def paused(self) -> bool: ...

@final
class TrackChanged:
    """A subscription goes on with another track, as `change_track` asked."""

    @property
    def subscription_id(self) -> int: ...
    @property
    def track_id(self) -> int: ...

@final
class DataChannelOpened:
    """A channel with one of the protocol's own labels has opened."""

    @property
    def transport_id(self) -> int: ...
    @property
    def label(self) -> str: ...

@final
class DataChannelClosed:
    """The engine has closed a data channel.

    Reason "stalled": its reader took less than 32 KiB of what waited for it in 10 s, and others had
    to wait; if the server opened the channel, there will be a new one (`DataChannelOpened`).
    "message_too_long": its peer sent more than can be passed on. What the channel held is lost.
    """

    @property
    def transport_id(self) -> int: ...
    @property
    def reason(self) -> str: ...

@final
class EngineFailed:
    """A media thread has panicked, which is a bug. The engine has stopped; call `stop` and end."""

    @property
    def shard(self) -> int: ...
    @property
    def message(self) -> str: ...

@final
class LogMessage:
    """A line of the engine's log. `level` is one of Python's; `target` is like "a::b"."""

    @property
    def level(self) -> int: ...
    @property
    def target(self) -> str: ...
    @property
    def message(self) -> str: ...

Event: TypeAlias = (
    TransportStateChanged
    | LayerStarted
    | AudioLevels
    | SubscriptionStarted
    | StreamStateChanged
    | TrackChanged
    | DataChannelOpened
    | DataChannelClosed
    | EngineFailed
    | LogMessage
)

def set_log_level(level: int) -> None:
    """Passes on log lines from this level (as in `logging`) on; 20 at first. Process-wide."""

def release_free_memory() -> None:
    """Gives what the allocator keeps for later back to the system. Takes some milliseconds."""

# --- statistics -----------------------------------------------------------------------------

@final
class ShardStats:
    """Counters of one media thread since its start, and its gauges, at most 100 ms old."""

    @property
    def packets_received(self) -> int: ...
    @property
    def bytes_received(self) -> int: ...
    @property
    def packets_sent(self) -> int: ...
    @property
    def bytes_sent(self) -> int: ...
    @property
    def media_packets_forwarded(self) -> int: ...
    @property
    def retransmissions_sent(self) -> int: ...
    @property
    def padding_bytes_sent(self) -> int:
        """Sent to find out how much a subscriber's path carries."""
    @property
    def key_frame_requests_sent(self) -> int: ...
    @property
    def handed_over(self) -> int:
        """Datagrams of other threads' peers that arrived here, on a shared port."""
    @property
    def dropped(self) -> dict[str, int]:
        """Datagrams and packets dropped, by reason."""
    @property
    def transports_closed(self) -> dict[str, int]:
        """Transports that have closed, by the reason that their event named."""
    @property
    def transports(self) -> int: ...
    @property
    def tracks(self) -> int: ...
    @property
    def subscriptions(self) -> int: ...
    @property
    def shedding_level(self) -> int:
        """What the thread leaves out to keep up: from 0, nothing, over 8, all video above its
        lowest layer, to 16, all video."""
    @property
    def forward_latency_us(self) -> list[tuple[int, int]]:
        """Receive-to-send time: (upper bound in microseconds, count), not cumulative.

        The last bound is 2**64 - 1: it stands for any longer time.
        """
    @property
    def forward_latency_sum_us(self) -> int: ...
    @property
    def cpu_us(self) -> int:
        """CPU time of the thread, user and system."""

@final
class TrackStats:
    """What has arrived of one track."""

    @property
    def track_id(self) -> int: ...
    @property
    def layers(self) -> list[tuple[int, int, int, int, int]]:
        """Per layer: (layer, packets, bytes, packets_lost, jitter in RTP units)."""

@final
class SubscriberStats:
    """What a subscriber's transport reports about its reception."""

    @property
    def transport_id(self) -> int: ...
    @property
    def fraction_lost(self) -> float: ...
    @property
    def round_trip_ms(self) -> float: ...
    @property
    def bytes_sent(self) -> int: ...
    @property
    def estimate_bps(self) -> int | None:
        """What its path is estimated to carry; None where nothing tells."""

@final
class EngineStats:
    @property
    def shards(self) -> list[ShardStats]: ...
    @property
    def tracks(self) -> list[TrackStats]: ...
    @property
    def transports(self) -> list[SubscriberStats]: ...
    @property
    def accept_failures(self) -> int:
        """How often TCP connections had to wait, as descriptors or memory had run out."""

# --- the engine -----------------------------------------------------------------------------

@final
class Engine:
    """Media threads with their sockets. Raises OSError if a port cannot be bound."""

    def __new__(
        cls,
        *,
        udp_port: int,
        single_udp_port: bool = False,
        tcp_port: int | None = None,
        web_addresses: Sequence[str] = (),
        web_port: int | None = None,
        threads: int = 1,
        bind_addresses: Sequence[str] = (),
        public_addresses: Sequence[str] = (),
        pin_threads: bool = False,
        audio_forward_limit: int = 0,
        dscp: bool = False,
    ) -> Engine:
        """Binds `udp_port` + n for thread n, or `udp_port` for all, on each of `bind_addresses`.

        An empty `bind_addresses` means every address of this machine's interfaces, IPv4 and IPv6,
        loopback last; loopback is announced only if it is named or there is nothing else. Port 0
        takes any free one. `public_addresses` replace the bound addresses of the same family in the
        candidates (1:1 NAT). Of the microphones of a room the `audio_forward_limit` loudest are
        forwarded, all if it is 0. `dscp` marks what is sent: audio EF, video AF41. `tcp_port` takes
        ICE over TCP on the same addresses, on a free port if it is 0 and not at all if it is None;
        `web_port` on `web_addresses` does so too, and gives everything that begins like HTTP or TLS
        to `take_web_connections`. Raises ValueError for a malformed address or a number out of
        range.
        """
    @property
    def event_fd(self) -> int:
        """Readable (eventfd) while events wait."""
    @property
    def fingerprint_sha256(self) -> str:
        """Of the node's certificate: "AB:CD:..."."""
    @property
    def udp_ports(self) -> list[int]: ...
    @property
    def tcp_port(self) -> int | None: ...
    @property
    def web_port(self) -> int | None: ...
    def take_web_connections(self) -> list[int]:
        """Descriptors of connections on the shared port that began with HTTP or TLS.

        Nothing has been read from them; the caller owns them. `event_fd` tells of new ones.
        """
    def poll_events(self) -> list[Event]:
        """Takes all waiting events and resets `event_fd`."""
    def open_transport(
        self, *, near_transport: int | None = None, open_data_channels: bool = False
    ) -> TransportInfo:
        """Opens a peer connection, on the thread of `near_transport` or on the least loaded one."""
    def set_remote(
        self,
        transport_id: int,
        *,
        ice_ufrag: str,
        ice_password: str,
        fingerprint_sha256: str,
        dtls_role: Literal["client", "server"],
    ) -> None:
        """Applies the remote description. `dtls_role` is ours. Raises ValueError if malformed."""
    def restart_ice(self, transport_id: int) -> TransportInfo:
        """New local credentials for the same transport."""
    def close_transport(self, transport_id: int) -> None: ...
    def publish(
        self,
        transport_id: int,
        *,
        kind: Literal["audio", "video"],
        mid: str,
        codecs: Sequence[CodecSpec],
        extensions: Sequence[tuple[int, str]],
        rids: Sequence[str] = (),
        ssrcs: Sequence[tuple[int, int | None]] = (),
        nack: bool = True,
        microphone_of: int | None = None,
    ) -> int:
        """Opens a track fed by the section `mid`; returns its track id.

        `extensions` are (id, URI) pairs, unknown URIs ignored. `rids` and `ssrcs` (media SSRC, RTX
        SSRC) are ordered lowest layer first. `microphone_of` is the room whose other microphones
        compete with this one for being forwarded; without it, or if it does not tell its level, a
        track always is. Raises ValueError for values that RTP cannot carry.
        """
    def unpublish(self, track_id: int) -> None: ...
    def draw_ssrc(self) -> int:
        """An SSRC to announce for something that will be sent: another one each time."""
    def subscribe(
        self,
        transport_id: int,
        track_id: int,
        *,
        kind: Literal["audio", "video"],
        ssrc: int,
        rtx_ssrc: int | None,
        codecs: Sequence[tuple[int, CodecSpec]],
        extensions: Sequence[tuple[int, str]],
        cname: str,
        paused: bool = False,
        max_layer: int = 2,
        max_temporal_layer: int = 255,
        priority: int = 0,
    ) -> int:
        """Sends a track on a transport; returns the subscription id.

        `ssrc` and `rtx_ssrc` come from `draw_ssrc`. One that the transport has ever sent with is
        not sent with again: the encryption would be broken.
        `codecs` pairs the publisher's payload type with what the subscriber negotiated for it.
        `max_temporal_layer` limits the frame rate of streams with temporal layers; 255 is all.
        More of `priority` (to 255) is served first where not everything fits the bandwidth.
        """
    def update_subscription(
        self,
        subscription_id: int,
        *,
        paused: bool,
        max_layer: int,
        max_temporal_layer: int = 255,
        priority: int = 0,
    ) -> None: ...
    def change_track(
        self,
        subscription_id: int,
        track_id: int,
        *,
        codecs: Sequence[tuple[int, CodecSpec]],
        paused: bool,
        max_layer: int,
        max_temporal_layer: int = 255,
        priority: int = 0,
    ) -> None:
        """Goes on with another track of the same picture, at its next key frame.

        What flows goes on until then; `TrackChanged` tells of the change.
        """
    def unsubscribe(self, subscription_id: int) -> None: ...
    def limit_bitrate(self, transport_id: int, bitrate_bps: int | None) -> None:
        """Sends no more video than fits this rate besides the audio; None lifts the limit."""
    def request_key_frame(self, track_id: int) -> None: ...
    def set_data_member(
        self,
        room_id: int,
        *,
        sid: str,
        identity: str,
        sends_on: int,
        receives_on: int,
        can_publish: bool,
        hidden: bool,
    ) -> None:
        """Adds a participant to its room's data plane, or replaces it."""
    def remove_data_member(self, room_id: int, sid: str) -> None: ...
    def send_data(self, room_id: int, packet: bytes, *, reliable: bool) -> None:
        """Routes a serialised `livekit.DataPacket` by its own destinations."""
    def stats(self) -> EngineStats: ...
    def stop(self) -> None:
        """Joins every thread, closes every socket. Idempotent; later calls raise RuntimeError."""

# --- the client role ------------------------------------------------------------------------

@final
class SwarmTotals:
    """Counters and histograms of a swarm since its start, at most 100 ms old.

    Histograms are counts by bucket; bucket n holds times below `latency_bounds_us[n]` that are not
    below the bound before. The last bucket is open.
    """

    @property
    def counters(self) -> dict[str, int]: ...
    @property
    def latency_bounds_us(self) -> list[float]: ...
    @property
    def audio_latency(self) -> list[int]:
        """From the moment a packet was sent to its arrival at this machine."""
    @property
    def video_latency(self) -> list[int]: ...
    @property
    def send_lateness(self) -> list[int]:
        """How late frames were sent: what this machine did not keep up with."""
    @property
    def transports(self) -> dict[str, int]:
        """How many are "waiting" for a description, "connecting", "connected" and "failed"."""
    @property
    def streams(self) -> int: ...
    @property
    def cpu_us(self) -> int: ...

@final
class SwarmStream:
    """What was received of one stream. Times are those of `time.monotonic()`, in seconds."""

    @property
    def stream(self) -> int: ...
    @property
    def kind(self) -> Literal["audio", "video"]: ...
    @property
    def first_packet_at_s(self) -> float | None: ...
    @property
    def packets(self) -> int: ...
    @property
    def bytes(self) -> int: ...
    @property
    def expected(self) -> int:
        """Packets that were sent, as far as their numbers tell."""
    @property
    def missing(self) -> int:
        """Of `expected`, those that never came, not even when sent again."""
    @property
    def repaired(self) -> int: ...
    @property
    def jitter_ms(self) -> float: ...
    @property
    def latency_mean_ms(self) -> float: ...
    @property
    def latency_max_ms(self) -> float: ...
    @property
    def frames(self) -> int: ...
    @property
    def freezes(self) -> int: ...
    @property
    def frozen_ms(self) -> float: ...
    @property
    def watched_ms(self) -> float:
        """From the first picture on, as long as the viewer looked; `frozen_ms` is a part of it."""

@final
class SwarmTransport:
    """What became of one transport."""

    @property
    def transport_id(self) -> int: ...
    @property
    def state(self) -> Literal["waiting", "connecting", "connected", "failed"]: ...
    @property
    def failure(
        self,
    ) -> Literal[
        "",
        "connect_timeout",
        "consent_expired",
        "fingerprint_mismatch",
        "handshake_failed",
        "closed_by_server",
    ]: ...
    @property
    def connected_at_s(self) -> float | None: ...
    @property
    def streams(self) -> list[SwarmStream]:
        """Those that have ended first."""

@final
class Swarm:
    """Clients that load a server: transports in the client role, each with a socket of its own.

    Numbers of streams and tracks are the caller's. Commands about a transport that has gone do
    nothing; those about one that never was raise ValueError, as do values that RTP cannot carry.
    """

    def __new__(cls, *, threads: int = 1, seed: int = 0) -> Swarm:
        """`seed` decides simulated losses and first sequence numbers."""
    @property
    def fingerprint_sha256(self) -> str:
        """Of the certificate that all transports present."""
    def add_clip(
        self,
        codec: Literal["opus", "vp8", "h264"],
        clock_rate_hz: int,
        duration_ticks: int,
        frames: Sequence[tuple[int, int, bytes]],
    ) -> int:
        """Media to be played in a loop; returns its number. The first frame has to be a key frame.

        `frames` are (timestamp in ticks, audio level 0 loudest to 127, data); H.264 is a byte
        stream with start codes.
        """
    def open_transport(self, *, data_channels: bool) -> TransportInfo:
        """Opens a transport. Raises OSError if there is no socket for it."""
    def set_remote(
        self,
        transport_id: int,
        *,
        ice_ufrag: str,
        ice_password: str,
        fingerprint_sha256: str,
        dtls_role: Literal["client", "server"],
        candidates: Sequence[tuple[str, int]],
        controlling: bool,
    ) -> None:
        """Applies the server's description and connects. `dtls_role` and `controlling` are ours."""
    def add_candidate(self, transport_id: int, address: str, port: int) -> None: ...
    def set_extensions(
        self, transport_id: int, extensions: Sequence[tuple[int, str]], *, remb: bool
    ) -> None:
        """Adds header extensions (id, URI). With `remb`, bandwidth is told by REMB."""
    def set_link(
        self,
        transport_id: int,
        *,
        loss: float,
        rate_bps: int | None,
        queue_ms: int = 300,
        delay_ms: int = 0,
    ) -> None:
        """Simulates a last mile for what the transport receives from now on."""
    def receive(
        self,
        transport_id: int,
        stream: int,
        *,
        kind: Literal["audio", "video"],
        codec: CodecSpec,
        ssrc: int,
        rtx_ssrc: int | None,
        nack: bool,
    ) -> None: ...
    def stop_receiving(self, transport_id: int, stream: int) -> None: ...
    def set_watched(self, transport_id: int, stream: int, watched: bool) -> None:
        """Whether a stream without new pictures counts as frozen."""
    def send(
        self,
        transport_id: int,
        track: int,
        *,
        mid: str,
        codec: CodecSpec,
        encodings: Sequence[tuple[int, str | None, int, int | None]],
        offset_ms: int = 0,
    ) -> None:
        """Plays clips: `encodings` are (clip, rid, SSRC, RTX SSRC). Audio begins at `offset_ms`."""
    def stop_sending(self, transport_id: int, track: int) -> None: ...
    def set_encoding_active(
        self, transport_id: int, track: int, encoding: int, active: bool
    ) -> None: ...
    def close_transport(self, transport_id: int) -> None:
        """Says goodbye. What was measured stays in `report`."""
    def totals(self) -> SwarmTotals: ...
    def report(self) -> list[SwarmTransport]:
        """All transports, those that were closed included. Waits for the threads."""
    def stop(self) -> None:
        """Closes every transport and joins the threads. Idempotent; commands then raise
        RuntimeError.
        """
