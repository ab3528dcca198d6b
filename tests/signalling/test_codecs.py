"""The table of codecs, and that all who speak of codecs speak of these."""

import re
from pathlib import Path

import pytest

from sfu._core import CodecSpec
from signalling import codecs
from signalling.livekit import wire
from signalling.sdp.codecs import SUBSCRIBER_TYPES, Format, match

PAGE = Path(__file__).parents[2] / "web_client" / "src" / "signal" / "livekit_engine.ts"


@pytest.mark.parametrize(
    ("kind", "codec", "mime"),
    [
        ("video", "vp8", "video/VP8"),
        ("video", "VIDEO/h264", "video/H264"),
        ("audio", "audio/Opus", "audio/opus"),
        ("audio", "vp8", None),
        ("video", "audio/vp8", None),
        ("video", "video/", None),
        ("video", "", None),
        ("video", "h265", None),
    ],
)
def test_a_codec_is_found_by_name_and_by_mime_type(kind: str, codec: str, mime: str | None) -> None:
    found = codecs.find(kind, codec)
    assert (found.mime_type if found else None) == mime


def test_what_is_told_offered_and_handed_to_the_engine_is_the_table() -> None:
    assert {codec.mime for codec in wire.publish_codecs()} == {c.mime_type for c in codecs.CODECS}
    assert {item.codec for item in Format} == set(codecs.BY_NAME)
    for item, offered in SUBSCRIBER_TYPES.items():
        assert match(item.kind, offered.codec) is item
        CodecSpec(offered.codec.payload_type, item.codec, offered.codec.clock_rate_hz)


def test_the_page_publishes_a_codec_that_is_served() -> None:
    named = re.findall(r"videoCodec: '(\w+)'", PAGE.read_text())
    assert named
    assert all(codecs.find("video", name) for name in named)
