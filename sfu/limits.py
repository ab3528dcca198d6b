"""Every limit of the Python side: what one peer may take of us, and what it may cause for others.

All are in bytes (of UTF-8), or counts whose unit the name gives, each with its reason. They stand
together because they multiply: `tests/sfu/test_limits.py` multiplies those that meet and compares
the products with budgets. The engine's own limits are constants of `sfu/core`.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Final

KIB: Final = 1 << 10
MIB: Final = 1 << 20

# --- what a participant is, as everybody in the room is told ------------------------------------

IDENTITY_BYTES_MAX: Final = 256
"""LiveKit's. It is repeated in every message about a participant."""
ROOM_NAME_BYTES_MAX: Final = 256
"""LiveKit's. Our own names with a title have up to 190."""
NAME_BYTES_MAX: Final = 256
"""LiveKit's counts characters, which a refreshed token would then exceed in other scripts."""
METADATA_BYTES_MAX: Final = 16 * KIB
"""Every listener is sent it with each change: 16 MB to a thousand of them. Of LiveKit's 512 KiB it
would be half a gigabyte."""
ATTRIBUTES_BYTES_MAX: Final = 16 * KIB
"""Keys and values together; as metadata."""
ROOM_METADATA_BYTES_MAX: Final = 16 * KIB
"""As metadata; those who hold a key write it."""

# --- what a participant publishes -----------------------------------------------------------------

TRACKS_PER_PARTICIPANT_MAX: Final = 8
"""Camera, microphone, a shared screen with its sound, and the same once more from a second device.
Each costs every listener a section of its session description."""
TRACKS_PER_SOURCE_MAX: Final = 2
"""The one that is there, and the one that replaces it. Tracks of unknown source are not counted."""
ANNOUNCED_TRACKS_MAX: Final = 20
"""Tracks announced by one participant whose media has not come."""
QUEUED_ANNOUNCEMENTS_MAX: Final = 3
"""Announcements that wait until the track with their id has ended."""
ANNOUNCED_TEXT_BYTES_MAX: Final = 1 * KIB
"""Each text of a track: its name, its stream, its client's id."""
ANNOUNCED_LAYERS_MAX: Final = 3
"""As many as there are qualities."""
LAYERS_READ_MAX: Final = 8
"""Of each list of layers; they may be of qualities that are not known here."""
ANNOUNCED_CODECS_MAX: Final = 4
"""Entries that are looked at; one codec and its backup come of them."""

# --- what a participant asks for ------------------------------------------------------------------

PERMISSION_ENTRIES_MAX: Final = 1_000
"""Participants that a publisher names in its subscription permission. Each track is compared with
its entry for each member."""
PERMISSION_TRACKS_MAX: Final = TRACKS_PER_PARTICIPANT_MAX
"""Tracks in one entry: a publisher has no more."""
WISHES_MAX: Final = 2_000
"""Tracks of which a participant's subscriptions remember a wish, published or not: camera and
microphone of a thousand people."""
CLIENT_TEXT_BYTES_MAX: Final = 256
"""Each thing that a client says of itself: its SDK, its browser, its device."""
TRACKS_PER_REQUEST_MAX: Final = WISHES_MAX
"""Tracks that one message subscribes to or sets: they take some 10 ms. What it has beyond is
refused."""
TRACKS_READ_MAX: Final = 4 * TRACKS_PER_REQUEST_MAX
"""SDKs name a track in two lists at once. What stands behind is not looked at."""
TRACKS_PER_TOKEN: Final = 20
"""So many of them count as one message more."""
CANDIDATE_BYTES_MAX: Final = 4 * KIB
"""A trickled candidate, with what stands around it."""

DEPARTURES_MAX: Final = 1_000
"""Those who have left a room lately, for clients that were away meanwhile; then the oldest is
forgotten. Of each a few hundred bytes are kept."""
REMOVALS_PER_ROOM_MAX: Final = 1_000
"""Removed identities whose older tokens are refused; then the oldest is forgotten."""
REMOVALS_ROOMS_MAX: Final = 200
"""Closed rooms whose removed identities are remembered; then the oldest is forgotten."""

# --- a session description ---------------------------------------------------------------------

SDP_TEXT_BYTES_MAX: Final = 1 * MIB
"""A whole one. WebKit's of 255 sections has 170 kB."""
SDP_LINES_MAX: Final = 16_384
"""Lines that are used; candidates are not."""
SDP_LINE_BYTES_MAX: Final = 16 * KIB
"""One line. The longest that browsers write has 1 kB."""
SDP_SECTIONS_MAX: Final = 256
"""Tracks of a session on one connection, and its data channels."""
SDP_SECTION_ATTRIBUTES_MAX: Final = 2_000
"""Attributes of a section: browsers write one or two hundred."""
SDP_CANDIDATES_MAX: Final = 64
"""More are skipped: a machine with many bridges has hundreds, repeated in each section."""
SDP_FORMATS_MAX: Final = 128
"""Payload types of a section: there are no more numbers."""
SDP_LIST_ITEMS_MAX: Final = 300
"""Items of a list, such as a bundle's sections."""
SDP_SSRCS_MAX: Final = 128
"""SSRCs, and groups of them, of a section."""
SDP_RIDS_MAX: Final = 32
"""Simulcast layers of a section that are read; three are received."""
SDP_FEEDBACK_MAX: Final = 32
"""Kinds of feedback of a payload type."""
SDP_ICE_OPTIONS_MAX: Final = 16
"""Options of ICE; one is known."""

# --- what a participant makes others receive --------------------------------------------------

PACE_BYTES_PER_S: Final = 500
"""To each listener, on average: 4 kbit/s, a sixth of one voice."""
PACE_BURST_BYTES: Final = 12 * KIB
"""At once: a camera, a microphone and a shared screen, or twenty changes of a name. Half a minute
of the worst is below 8 kbit/s."""
NEWCOMERS_BURST_BYTES: Final = 512 * KIB
"""To each listener, at once, from all who are new in a room, or to come under ever new names would
be the way around the above: a conference of a hundred that begins, or a thousand listeners who come
together."""
NEWCOMERS_BYTES_PER_S: Final = 4 * KIB
"""The same in the long run: 32 kbit/s, a dozen listeners or one speaker a second. Beyond it those
who are new are told of at their own rate: a listener half a second late, a track some seconds."""
PACES_KEPT_MAX: Final = 1_000
"""Budgets of identities that have left a room before they were full again; then the oldest is
forgotten, which forgives it."""
OFFER_BYTES: Final = 1_200
"""A session description to a listener, with what carries it, without its sections of tracks."""
SECTION_BYTES: Final = 1_000
"""A track's section in it: a picture's in one codec; a voice's has two thirds."""
OFFERS_TOGETHER_S: Final = 0.15
"""Changes of tracks within this time come to a listener in one description."""
RULES_EVERY_S: Final = 0.1
"""Where every member of a room of a hundred has to be looked at for a publisher's rules, it is not
done more often. In larger rooms in proportion."""

# --- a session's link -----------------------------------------------------------------------------

MESSAGES_PER_S: Final = 100.0
"""Signalling messages that a client may send a second, on average."""
MESSAGES_BURST: Final = 1_000.0
"""A join of a large room with its settings for every track stays below."""
MESSAGE_BYTES_PER_TOKEN: Final = 4 * KIB
"""A large message costs more to read: so many bytes count as one message."""
MESSAGE_BYTES_MAX: Final = 2 * MIB
"""A session description of 255 sections with every candidate has a quarter of this."""
LIST_BYTES_MAX: Final = 512 * KIB
"""A message that names tracks and participants, with the longest names: as many as count."""
REQUEST_BYTES_MAX: Final = 64 * KIB
"""Any other message: a participant's texts have a little more than half of it. What holds nothing
is short on the wire and long in memory and in Python: a million empty entries in 2 MiB."""
ANNOUNCEMENT_BYTES_MAX: Final = 16 * KIB
"""A message that announces a track, which may have to wait: its texts have half of it."""
OUTBOX_BYTES_MAX: Final = 1 * MIB
"""What waits for a slow client, in memory that nothing else holds. A session that exceeds it is
ended. State waits once however often it changes, so this is a room of 16,000, or some offers."""
LINK_BUFFER_BYTES_MAX: Final = 16 * KIB
"""What has left the outbox and not gone to the kernel: it cannot be brought up to date any more."""
WRITERS_PER_TURN_MAX: Final = 64
"""Links that may write in one turn of the event loop; they take some 3 ms."""
UPDATE_BYTES_MAX: Final = 128 * KIB
"""A larger update is cut into several, so that no message blocks a slow link for long."""
SERVER_DATA_BYTES_MAX: Final = 64_000
"""A message of the server API to a room: it fits into one message of a data channel."""

# --- the page's API ----------------------------------------------------------------------------

TITLE_BYTES_MAX: Final = 120
"""A conference's title: it travels in every link."""
CONFERENCE_NAME_BYTES_MAX: Final = 256
"""A conference's name, as somebody may have typed it."""
CREATIONS_BURST: Final = 30
"""Conferences that one address may create at once."""
CREATIONS_PER_S: Final = 0.5
"""The same in the long run."""
MISSES_BURST: Final = 30
"""Names that one address may ask for that do not exist."""
MISSES_PER_S: Final = 0.5
"""The same in the long run."""

# --- HTTP ----------------------------------------------------------------------------------

HTTP_LINE_BYTES_MAX: Final = 128 * KIB
"""The request line, and each header: SDKs put tokens and attributes into the query."""
HTTP_HEADERS_MAX: Final = 64
"""Headers of a request: browsers and proxies send half of that."""
HTTP_HEAD_BYTES_MAX: Final = 160 * KIB
"""A request's head, all in all: one long line and what browsers and proxies add."""
HTTP_HEADS_BYTES_MAX: Final = 32 * MIB
"""Of all requests together that are coming or being answered, from clients without a token."""
HTTP_HEAD_TIMEOUT_S: Final = 10.0
"""From the first byte of a request's head to its last."""
HTTP_ANSWER_TIMEOUT_S: Final = 120.0
"""Until an answer has been taken: the page's largest file at 10 kbit/s takes longer than anybody
waits, at 50 kbit/s half a minute."""
HTTP_ANSWER_YIELDS_AFTER_S: Final = 10.0
"""An answer that has not been taken by then gives way to a newcomer for whom there is no room."""
HTTP_PIPELINED_MAX: Final = 4
"""Requests that wait behind the one being answered. Browsers send none."""
HTTP_READ_BYTES: Final = 64 * KIB
"""Of a body that is read more slowly than it comes."""
CONNECTIONS_PER_ADDRESS_MAX: Final = 1_024
"""Connections of one address that have not shown a token: a hall of people behind one address, each
with the few that browsers open. A further one takes the place of the quietest, or slowest."""
CONNECTIONS_MAX: Final = 8_192
"""The same for all addresses together."""
HTTP_PATH_BYTES_MAX: Final = 1 * KIB
"""aiohttp's router takes time by the square of the slashes in a path."""
API_BODY_BYTES_MAX: Final = 16 * KIB
"""A request of the page: a title, a name."""
SERVER_API_BODY_BYTES_MAX: Final = 256 * KIB
"""A request of the server API: metadata in JSON, a message of data in base64."""
HTTP_BODY_TIMEOUT_S: Final = 10.0
"""For a whole body."""
TOKEN_BYTES_MAX: Final = 96 * KIB
"""An access token: a participant's texts and its room's, in JSON, and that in base64."""
TOKEN_TEXTS_BYTES_MAX: Final = 40 * KIB
"""A participant's name, metadata and attributes, together and as JSON writes them. Who may write
them gets them back in a refreshed token, which has to stay below the limit of tokens."""
TOKEN_ROOM_BYTES_MAX: Final = 24 * KIB
"""A token's `roomConfig`, as JSON."""
ADDRESSES_MAX: Final = 10_000
"""Client addresses that a limit by address remembers; then the oldest is forgotten."""
WEB_FILE_BYTES_MAX: Final = 8 * MIB
"""A file of the page: all are held in memory."""


def utf8_bytes(*texts: str) -> int:
    """How long the texts are together, as everybody is sent them."""
    return sum(len(text.encode()) for text in texts)


def attributes_bytes(attributes: Iterable[tuple[str, str]]) -> int:
    """How long keys and values are together."""
    return sum(utf8_bytes(key, value) for key, value in attributes)


def texts_excess(name: str, metadata: str, attributes: Mapping[str, str]) -> str:
    """What is too long of a participant's texts, as a sentence for who wrote it; empty if nothing.

    What this lets through, a refreshed token carries and every other check accepts.
    """
    for what, size, longest in (
        ("name", utf8_bytes(name), NAME_BYTES_MAX),
        ("metadata", utf8_bytes(metadata), METADATA_BYTES_MAX),
        ("attributes", attributes_bytes(attributes.items()), ATTRIBUTES_BYTES_MAX),
    ):
        if size > longest:
            return f"{what} of {size} bytes exceeds the limit of {longest} bytes"
    if json_bytes([name, metadata, dict(attributes)]) > TOKEN_TEXTS_BYTES_MAX:
        return f"the texts exceed the limit of {TOKEN_TEXTS_BYTES_MAX} bytes as JSON"
    return ""


def json_bytes(value: object) -> int:
    """How long the value is as JSON in UTF-8."""
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


def cut(text: str, longest_bytes: int) -> str:
    """As much of the text as fits, in whole characters."""
    if len(text) * 4 <= longest_bytes:
        return text
    return text.encode()[:longest_bytes].decode(errors="ignore")
