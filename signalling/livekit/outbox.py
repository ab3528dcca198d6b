"""What one client has still to be told: state, of which only the latest counts, and messages.

A notice about state joins what waits of the same topic, so that a participant who changes five
hundred times while a link is busy is sent once, as it is when its turn to be written comes.
Messages keep their order. State of a topic keeps the place of its oldest part, with two exceptions:
whatever refers to participants comes behind the participants that were told before it, and what
waits when an offer comes is told as it is then, as the offer carries media of tracks that the
client has to know. No socket, no loop, no clock.
"""

from collections import deque
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final, Protocol

ENTRY_BYTES: Final = 64
"""Of our memory for something that waits and is kept elsewhere anyway."""
ITEMS_AT_ONCE: Final = 256
"""Of a topic; the next ones are taken as they are when the link has room for them."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A kind of state: how its notices fall into items, and how they are encoded.

    `whole` encodes a notice that waits alone; it is the same object in many outboxes, so it should
    remember its bytes. `gather` encodes items of several notices. `weigh` says what an item holds
    that nobody else does. Where `introduces` is true, other topics refer to the items.
    """

    name: str
    whole: Callable[[Any], tuple[bytes, ...]]
    items: Callable[[Any], Iterable[tuple[Hashable, Any]]]
    gather: Callable[[Iterable[Any]], tuple[bytes, ...]]
    weigh: Callable[[Any], int] = lambda _item: 0
    introduces: bool = False


class _Slot(Protocol):
    """A place in the line. `take` gives what comes first of it; then it may be `empty`."""

    @property
    def key(self) -> Hashable: ...
    @property
    def held_bytes(self) -> int: ...
    @property
    def empty(self) -> bool: ...
    def take(self) -> tuple[bytes, ...]: ...


@dataclass(slots=True, eq=False)
class _Single:
    """A message, or the latest of a kind, which is encoded when it is taken."""

    key: Hashable
    encode: Callable[[], bytes]
    held_bytes: int
    empty: bool = False

    def take(self) -> tuple[bytes, ...]:
        self.empty = True
        return (self.encode(),)


@dataclass(slots=True, eq=False)
class _State:
    """A topic's notice, or the latest items of several."""

    topic: Topic
    notice: Any
    held_bytes: int = ENTRY_BYTES
    empty: bool = False
    _items: dict[Hashable, Any] | None = None

    @property
    def key(self) -> Hashable:
        return self.topic.name

    def merge(self, notice: Any) -> None:
        if self._items is None:
            first, self.notice, self._items = self.notice, None, {}
            self.held_bytes = 0
            self._add(first, self._items)
        self._add(notice, self._items)

    def take(self) -> tuple[bytes, ...]:
        if self._items is None:
            self.empty = True
            return self.topic.whole(self.notice)
        keys = list(islice(self._items, ITEMS_AT_ONCE))
        items = [self._items.pop(key) for key in keys]
        self.held_bytes -= sum(map(self._weigh, items))
        self.empty = not self._items
        return self.topic.gather(items)

    def _add(self, notice: Any, items: dict[Hashable, Any]) -> None:
        for key, item in self.topic.items(notice):
            if key in items:
                self.held_bytes -= self._weigh(items[key])
            items[key] = item
            self.held_bytes += self._weigh(item)

    def _weigh(self, item: Any) -> int:
        return ENTRY_BYTES + self.topic.weigh(item)


@dataclass(slots=True, eq=False)
class Outbox:
    """Overflow only leaves a mark: whoever tells many must not have to end one of them meanwhile.

    After it nothing is taken any more.
    """

    limit_bytes: int
    held_bytes: int = 0
    overflowed: bool = False
    _line: deque[_Slot] = field(default_factory=deque)
    _open: dict[Hashable, _Slot] = field(default_factory=dict)
    """Slots that still take in what is new, by key."""

    def __bool__(self) -> bool:
        return bool(self._line)

    def message(self, encoded: bytes) -> None:
        """Something that is not state. It is sent after everything that waits."""
        # A large room's join is one message: alone it is no reason to end anybody.
        weight = min(ENTRY_BYTES + len(encoded), self.limit_bytes // 2)
        self._append(_Single(None, lambda: encoded, weight))

    def offer(self, encoded: bytes) -> None:
        """A message with media of what has been told of before."""
        self._open.clear()
        self.message(encoded)

    def latest(self, key: Hashable, encode: Callable[[], bytes]) -> None:
        """State of one message: a later one takes the place of an earlier one that waits."""
        slot = self._open.get(key)
        if isinstance(slot, _Single):
            slot.encode = encode
        else:
            self._append(_Single(key, encode, 2 * ENTRY_BYTES))

    def tell(self, topic: Topic, notice: Any) -> None:
        """State that is told to many."""
        slot = self._open.get(topic.name)
        if isinstance(slot, _State):
            before = slot.held_bytes
            slot.merge(notice)
            self._hold(slot.held_bytes - before)
            return
        if topic.introduces:
            self._open.clear()
        self._append(_State(topic, notice))

    def take(self) -> tuple[bytes, ...]:
        """Gives the messages that come first, at least one: those of one slot, or its beginning."""
        slot = self._line[0]
        before = slot.held_bytes
        messages = slot.take()
        if slot.empty:
            self._line.popleft()
            if self._open.get(slot.key) is slot:
                del self._open[slot.key]
        self.held_bytes -= before if slot.empty else before - slot.held_bytes
        return messages

    def clear(self) -> None:
        """Forgets everything that waits."""
        self._line.clear()
        self._open.clear()
        self.held_bytes = 0

    def _append(self, slot: _Slot) -> None:
        if self.overflowed:
            return
        self._line.append(slot)
        if slot.key is not None:
            self._open[slot.key] = slot
        self._hold(slot.held_bytes)

    def _hold(self, more_bytes: int) -> None:
        self.held_bytes += more_bytes
        if self.held_bytes > self.limit_bytes:
            self.overflowed = True
            self.clear()
