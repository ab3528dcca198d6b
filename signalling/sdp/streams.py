"""The streams of one published section: its simulcast layers in order, and its SSRCs.

Rids tell layers apart where the client uses them (RFC 8853); clients that announce SSRCs group the
ones of a simulcast by `SIM`, or list them in the order of their rids. What the names of rids mean
is convention, gathered here.
"""

from dataclasses import dataclass

from signalling.sdp.model import MediaSection

LAYERS_MAX = 3
"""Subscribers choose between low, medium and high quality; announcements name no more, either."""

# Lowest layer first. Digits count downwards in LiveKit's clients and in OBS: 0 is the full size.
_CONVENTIONS = (
    ("q", "h", "f"),
    ("3", "2", "1", "0"),
    ("l", "m", "h"),
    ("lo", "mi", "hi"),
    ("low", "mid", "high"),
    ("low", "medium", "high"),
)


@dataclass(frozen=True, slots=True)
class SectionRids:
    """The rids to receive, as offered and ordered lowest layer first, and all that are sent."""

    offered: tuple[str, ...] = ()
    lowest_first: tuple[str, ...] = ()
    sent: tuple[str, ...] = ()


def section_rids(section: MediaSection, announced: tuple[str, ...] = ()) -> SectionRids:
    """The rids of a section. `announced` overrides the order when it names them all.

    Of more than `LAYERS_MAX` the lowest ones and the highest are received: what the answer leaves
    out the client does not send (RFC 8853, section 5.3.2).
    """
    sending = [rid.id for rid in section.rids if rid.direction == "send"]
    if section.simulcast is not None and section.simulcast.send:
        # An alternative is the same layer in another format; only the first one is received.
        listed = [alternatives[0].rid for alternatives in section.simulcast.send]
        sending = [rid for rid in dict.fromkeys(listed) if rid in sending]
    names = set(sending)
    orders = ([announced] if announced else []) + list(_CONVENTIONS)
    order = next((order for order in orders if names <= set(order)), tuple(sending))
    layers = tuple(rid for rid in order if rid in names)
    if len(layers) > LAYERS_MAX:
        layers = layers[: LAYERS_MAX - 1] + layers[-1:]
    return SectionRids(tuple(rid for rid in sending if rid in layers), layers, tuple(sending))


def section_ssrcs(section: MediaSection, rids: SectionRids) -> tuple[tuple[int, int | None], ...]:
    """(media SSRC, RTX SSRC or None) of each layer, lowest first; empty if they are not told."""
    rtx: dict[int, int] = {}
    secondary: set[int] = set()
    layers: tuple[int, ...] = ()
    for group in section.ssrc_groups:
        if group.semantics == "SIM":
            layers = layers or group.ssrcs
        elif len(group.ssrcs) >= 2:
            # FID carries the retransmissions, FEC-FR and its like repair data we do not use.
            secondary.update(group.ssrcs[1:])
            if group.semantics == "FID":
                rtx.setdefault(group.ssrcs[0], group.ssrcs[1])
    media = layers or tuple(ssrc.id for ssrc in section.ssrcs if ssrc.id not in secondary)
    if len(rids.sent) > 1:
        if len(media) != len(rids.sent):
            return ()
        by_rid = dict(zip(rids.sent, media, strict=True))
        media = tuple(by_rid[rid] for rid in rids.lowest_first)
    elif not layers:
        media = media[:1]
    return tuple((ssrc, rtx.get(ssrc)) for ssrc in dict.fromkeys(media))[:LAYERS_MAX]
