"""A client's side of the negotiation, as far as these tests need one."""

from collections.abc import Collection
from dataclasses import replace
from functools import cache
from pathlib import Path

from signalling.sdp.model import Direction, Fingerprint, Group, Setup, Transport
from signalling.sdp.parse import parse
from signalling.sdp.serialise import serialise

TRANSPORT = Transport(
    ice_ufrag="peer",
    ice_pwd="q" * 24,
    ice_options=("trickle",),
    fingerprints=(Fingerprint("sha-256", ":".join(["CD"] * 32)),),
    setup=Setup.ACTIVE,
)


def answer_as_browser(offer_text: str, reject: Collection[str] = ()) -> str:
    """Receives everything that is offered, apart from the sections in `reject`."""
    offer = parse(offer_text)
    media = []
    for section in offer.media:
        rejected = section.rejected or section.mid in reject
        direction = section.direction
        if direction is Direction.SENDONLY:
            direction = Direction.RECVONLY
        media.append(
            replace(
                section,
                port=0 if rejected else 9,
                direction=Direction.INACTIVE if rejected else direction,
                msids=(),
                ssrcs=(),
                ssrc_groups=(),
                candidates=(),
                end_of_candidates=False,
                transport=TRANSPORT,
            )
        )
    bundle = tuple(section.mid for section in media if not section.rejected)
    return serialise(
        replace(offer, groups=(Group("BUNDLE", bundle),), ice_lite=False, media=tuple(media))
    )


@cache
def samples() -> dict[str, str]:
    """Offers of real clients by name, as they were recorded."""
    folder = Path(__file__).parent / "data"
    return {path.stem: path.read_bytes().decode() for path in folder.glob("*.sdp")}
