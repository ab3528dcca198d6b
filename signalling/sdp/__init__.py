"""Session descriptions: reading any client's, answering its offers, and offering to it.

Pure values and functions; no clock, no sockets. `parse` and `serialise` turn text into a frozen
`SessionDescription` and back; `make_answer` and `SubscriberSections` produce ours together with
the arguments that the engine needs. What is wrong with a peer's text is an `SdpError`.
"""

from signalling.codecs import Kind
from signalling.sdp.answer import Answer, AnswerPolicy, Refusal, make_answer
from signalling.sdp.answer_sections import AnswerSections
from signalling.sdp.codecs import Format, NegotiatedCodec, formats_of
from signalling.sdp.errors import SdpError
from signalling.sdp.incoming import PublishedSection, SectionPolicy, is_served
from signalling.sdp.model import Direction, MediaSection, SessionDescription
from signalling.sdp.offer import SubscriberAnswer, SubscriberSections
from signalling.sdp.outgoing import AcceptedSection, OfferedTrack, SectionsFullError
from signalling.sdp.parse import parse
from signalling.sdp.serialise import serialise
from signalling.sdp.transport import LocalTransport, RemoteTransport

__all__ = [
    "AcceptedSection",
    "Answer",
    "AnswerPolicy",
    "AnswerSections",
    "Direction",
    "Format",
    "Kind",
    "LocalTransport",
    "MediaSection",
    "NegotiatedCodec",
    "OfferedTrack",
    "PublishedSection",
    "Refusal",
    "RemoteTransport",
    "SdpError",
    "SectionPolicy",
    "SectionsFullError",
    "SessionDescription",
    "SubscriberAnswer",
    "SubscriberSections",
    "formats_of",
    "is_served",
    "make_answer",
    "parse",
    "serialise",
]
