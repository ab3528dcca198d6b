"""Session descriptions: reading any client's, answering a publisher, offering to a subscriber.

Pure values and functions; no clock, no sockets. `parse` and `serialise` turn text into a frozen
`SessionDescription` and back; `make_answer` and `SubscriberSections` produce ours together with
the arguments that the engine needs. The only error is `SdpError`.
"""

from signalling.sdp.answer import Answer, AnswerPolicy, PublishedSection, SectionPolicy, make_answer
from signalling.sdp.codecs import Format, Kind, NegotiatedCodec, formats_of
from signalling.sdp.errors import SdpError
from signalling.sdp.model import Direction, MediaSection, SessionDescription
from signalling.sdp.offer import AcceptedSection, OfferedTrack, SubscriberAnswer, SubscriberSections
from signalling.sdp.parse import parse
from signalling.sdp.serialise import serialise
from signalling.sdp.transport import LocalTransport, RemoteTransport

__all__ = [
    "AcceptedSection",
    "Answer",
    "AnswerPolicy",
    "Direction",
    "Format",
    "Kind",
    "LocalTransport",
    "MediaSection",
    "NegotiatedCodec",
    "OfferedTrack",
    "PublishedSection",
    "RemoteTransport",
    "SdpError",
    "SectionPolicy",
    "SessionDescription",
    "SubscriberAnswer",
    "SubscriberSections",
    "formats_of",
    "make_answer",
    "parse",
    "serialise",
]
