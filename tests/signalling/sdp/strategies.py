"""Generated offers: everything that a client may legally say, in any order of lines."""

from hypothesis import strategies as st

HEX = "0123456789ABCDEF"
TOKENS = st.text("abcXYZ019-_.", min_size=1, max_size=8)
ICE = "abcXYZ019+/"
CODECS = {
    "audio": ["opus/48000/2", "red/48000/2", "PCMU/8000", "telephone-event/8000", "ISAC/16000"],
    "video": ["VP8/90000", "VP9/90000", "H264/90000", "rtx/90000", "AV1/90000", "ulpfec/90000"],
}
PARAMETERS = [
    "",
    "minptime=10;useinbandfec=1",
    "apt=96",
    "apt=97",
    "packetization-mode=1;profile-level-id=42e01f",
    "profile-level-id=640c1f",
    "111/111",
    "a; b = c ;;=d",
]
URIS = [
    "urn:ietf:params:rtp-hdrext:sdes:mid",
    "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
    "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
    "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
    "urn:x:unknown",
]
FEEDBACK = ["nack", "nack pli", "ccm fir", "transport-cc", "goog-remb", "x y z"]
DIRECTIONS = ["sendrecv", "sendonly", "recvonly", "inactive"]


@st.composite
def codec_lines(draw: st.DrawFn, kind: str, payload_type: int) -> list[str]:
    lines = [f"a=rtpmap:{payload_type} {draw(st.sampled_from(CODECS[kind]))}"]
    if parameters := draw(st.sampled_from(PARAMETERS)):
        lines.append(f"a=fmtp:{payload_type} {parameters}")
    feedback = draw(st.lists(st.sampled_from(FEEDBACK), max_size=4))
    return [*lines, *(f"a=rtcp-fb:{payload_type} {item}" for item in feedback)]


@st.composite
def stream_lines(draw: st.DrawFn) -> list[str]:
    """Rids with a simulcast, or SSRCs with their groups, or neither."""
    form = draw(st.sampled_from(["rids", "ssrcs", "none"]))
    if form == "rids":
        rids = draw(
            st.lists(TOKENS.filter(lambda t: "." not in t), min_size=1, max_size=4, unique=True)
        )
        order = draw(st.permutations(rids))
        paused = "~" if draw(st.booleans()) else ""
        return [
            *(f"a=rid:{rid} send" for rid in rids),
            f"a=simulcast:send {paused}{';'.join(order)}",
        ]
    if form == "ssrcs":
        ssrcs = draw(st.lists(st.integers(1, 2**32 - 1), min_size=2, max_size=4, unique=True))
        lines = [f"a=ssrc:{ssrc} cname:{draw(TOKENS)}" for ssrc in ssrcs]
        return [*lines, f"a=ssrc-group:FID {ssrcs[0]} {ssrcs[1]}"]
    return []


@st.composite
def media(draw: st.DrawFn, mid: str) -> list[str]:
    kind = draw(st.sampled_from(["audio", "video", "application", "text"]))
    if kind == "application":
        return [
            "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
            f"a=mid:{mid}",
            "a=sctp-port:5000",
        ]
    pool = CODECS.get(kind, [])
    types = draw(st.lists(st.integers(35, 127), min_size=1, max_size=6, unique=True))
    lines = [f"a=mid:{mid}", f"a={draw(st.sampled_from(DIRECTIONS))}", "a=rtcp-mux"]
    if draw(st.booleans()):
        lines.append(f"a=msid:{draw(TOKENS)} {draw(TOKENS)}")
    for number, uri in enumerate(draw(st.lists(st.sampled_from(URIS), unique=True)), 1):
        suffix = draw(st.sampled_from(["", "/sendonly", "/recvonly"]))
        lines.append(f"a=extmap:{number}{suffix} {uri}")
    if pool:
        for payload_type in types:
            lines.extend(draw(codec_lines(kind, payload_type)))
        lines.extend(draw(stream_lines()))
    port = draw(st.sampled_from([9, 9, 9, 0, 50_000]))
    numbers = " ".join(map(str, types))
    return [f"m={kind} {port} UDP/TLS/RTP/SAVPF {numbers}", *draw(st.permutations(lines))]


@st.composite
def descriptions(draw: st.DrawFn) -> str:
    mids = draw(st.lists(TOKENS, min_size=1, max_size=5, unique=True))
    digest = ":".join(
        draw(st.lists(st.text(HEX, min_size=2, max_size=2), min_size=32, max_size=32))
    )
    lines = [
        "v=0",
        "o=- 1 1 IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        f"a=group:BUNDLE {' '.join(mids)}",
        f"a=ice-ufrag:{draw(st.text(ICE, min_size=4, max_size=8))}",
        f"a=ice-pwd:{draw(st.text(ICE, min_size=22, max_size=30))}",
        f"a=fingerprint:sha-256 {digest}",
        f"a=setup:{draw(st.sampled_from(['actpass', 'active', 'passive']))}",
    ]
    for mid in mids:
        lines.extend(draw(media(mid)))
    return "\r\n".join(lines) + "\r\n"
