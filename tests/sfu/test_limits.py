"""The limits as texts meet them."""

import pytest

from sfu import limits


def test_texts_are_measured_as_they_are_sent() -> None:
    assert limits.utf8_bytes("né", "ß") == 5
    assert limits.attributes_bytes({"clé": "é", "k": ""}.items()) == 4 + 2 + 1


@pytest.mark.parametrize(
    ("text", "longest", "kept"),
    [("abc", 2, "ab"), ("aé", 2, "a"), ("aé", 3, "aé"), ("😀😀", 7, "😀"), ("ab", 100, "ab")],
)
def test_a_cut_text_ends_with_a_whole_character(text: str, longest: int, kept: str) -> None:
    assert limits.cut(text, longest) == kept


# What limits come to when everybody who can uses them up at once. Each limit has its reason where
# it stands; these are the products, which nobody sees there, against what one process may spend.

HALL = 1_000
"""Listeners of one room, in one process."""
COPIES = 3
"""Of a head's bytes in memory: as bytes, as texts, and what holds them (tests/hostile/test_doors.py
measures 2.2)."""
IDLE_CONNECTION_BYTES = 24 * limits.KIB
"""Measured: 6 KB, and what a TLS session adds."""
LOOK_UP_S = 1e-6
"""In a dictionary of Python's."""
ENTRY_BYTES = 300
"""Of a dictionary with a text of the longest identity."""


def budgets() -> dict[str, tuple[float, float]]:
    """By what is multiplied: the product, and what it may be."""
    mib = limits.MIB
    texts = limits.NAME_BYTES_MAX + limits.METADATA_BYTES_MAX + limits.ATTRIBUTES_BYTES_MAX
    pace_bytes = limits.PACE_BURST_BYTES + limits.PACE_BYTES_PER_S * 30
    sections = limits.TRACKS_PER_PARTICIPANT_MAX * limits.SECTION_BYTES
    permission = limits.PERMISSION_ENTRIES_MAX * limits.PERMISSION_TRACKS_MAX
    return {
        "lines × their number, of one connection": (
            min(
                limits.HTTP_LINE_BYTES_MAX * limits.HTTP_HEADERS_MAX,
                limits.HTTP_HEAD_BYTES_MAX * (1 + limits.HTTP_PIPELINED_MAX),
            )
            * COPIES
            + limits.HTTP_READ_BYTES * 2,
            3 * mib,
        ),
        "heads × connections": (
            COPIES
            * min(limits.HTTP_HEAD_BYTES_MAX * limits.CONNECTIONS_MAX, limits.HTTP_HEADS_BYTES_MAX),
            100 * mib,
        ),
        "idle connections of one address": (
            limits.CONNECTIONS_PER_ADDRESS_MAX * IDLE_CONNECTION_BYTES,
            32 * mib,
        ),
        "idle connections of all addresses": (
            limits.CONNECTIONS_MAX * IDLE_CONNECTION_BYTES,
            200 * mib,
        ),
        "addresses × three limits by address": (limits.ADDRESSES_MAX * 3 * ENTRY_BYTES, 16 * mib),
        "bodies × connections of one address": (
            limits.API_BODY_BYTES_MAX * limits.CONNECTIONS_PER_ADDRESS_MAX,
            16 * mib,
        ),
        "a token × what its request adds": (
            limits.TOKEN_BYTES_MAX + limits.ATTRIBUTES_BYTES_MAX * 4 / 3 + limits.KIB,
            limits.HTTP_LINE_BYTES_MAX,
        ),
        "texts and room in a token's base64": (
            (limits.TOKEN_TEXTS_BYTES_MAX + limits.TOKEN_ROOM_BYTES_MAX + 2 * limits.KIB) * 4 / 3,
            limits.TOKEN_BYTES_MAX,
        ),
        "permission entries × tracks, in one message": (
            permission * 20 + limits.PERMISSION_ENTRIES_MAX * limits.IDENTITY_BYTES_MAX,
            limits.LIST_BYTES_MAX,
        ),
        "tracks × their groups, in one message": (
            limits.WISHES_MAX * (16 + 20),
            limits.LIST_BYTES_MAX,
        ),
        "a participant's texts, in one message": (
            texts + limits.KIB,
            limits.REQUEST_BYTES_MAX,
        ),
        "a track's texts, in one message": (
            limits.ANNOUNCED_TEXT_BYTES_MAX * (3 + limits.ANNOUNCED_CODECS_MAX) + limits.KIB,
            limits.ANNOUNCEMENT_BYTES_MAX,
        ),
        "entries × members × tracks, seconds of the event loop": (
            (permission + HALL * limits.TRACKS_PER_PARTICIPANT_MAX) * LOOK_UP_S,
            0.05,
        ),
        "messages × members, bit/s that one makes each listener receive in half a minute": (
            pace_bytes * 8 / 30,
            8_000,
        ),
        "messages × members, bytes that one makes a hall receive in half a minute": (
            pace_bytes * HALL,
            32 * mib,
        ),
        "newcomers × messages, bytes to each listener, for a hundred who begin": (
            100 * (limits.OFFER_BYTES + 2 * (limits.SECTION_BYTES + limits.KIB)),
            limits.NEWCOMERS_BURST_BYTES + 10 * limits.NEWCOMERS_BYTES_PER_S,
        ),
        "tracks × listeners, bytes of descriptions": (
            (limits.OFFER_BYTES + sections) * HALL,
            9 * mib,
        ),
        "metadata × listeners": (texts * HALL, 34 * mib),
        "texts × members, what a newcomer to a room of a hundred is told": (
            texts * 100,
            4 * mib,
        ),
        "an outbox × clients that do not read, of a hundred": (
            limits.OUTBOX_BYTES_MAX * 100,
            128 * mib,
        ),
        "links that write × what they write, in one turn": (
            limits.WRITERS_PER_TURN_MAX * limits.LINK_BUFFER_BYTES_MAX,
            2 * mib,
        ),
        "wishes with their timers × a hundred who wish for what is not there": (
            limits.WISHES_MAX * 100 * 2 * ENTRY_BYTES,
            128 * mib,
        ),
        "removed identities × rooms": (
            limits.REMOVALS_PER_ROOM_MAX * limits.REMOVALS_ROOMS_MAX * ENTRY_BYTES,
            64 * mib,
        ),
        "announced tracks × their texts, of one participant": (
            (limits.ANNOUNCED_TRACKS_MAX + limits.QUEUED_ANNOUNCEMENTS_MAX)
            * limits.ANNOUNCED_TEXT_BYTES_MAX
            * (3 + limits.ANNOUNCED_CODECS_MAX),
            mib,
        ),
    }


@pytest.mark.parametrize("what", budgets())
def test_limits_multiplied_stay_within_what_one_process_may_spend(what: str) -> None:
    product, budget = budgets()[what]
    assert 0 < product <= budget
