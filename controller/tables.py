"""Tables of replicated state, with an undo journal for what is not committed yet.

The active side replays its own records at once, so that the next decision sees them. Every write then pushes the old
value; a commit drops the journal up to its offset, a resignation pops it. Whoever replays only what is committed has
no journal.
"""

from __future__ import annotations

import typing
from collections import deque
from collections.abc import Iterator
from typing import Any, Generic, NamedTuple

K = typing.TypeVar("K")
V = typing.TypeVar("V")
_ABSENT: Any = object()


class Undo(NamedTuple):
    """One write: after which offset it counts, and what was there before."""

    offset: int
    table: Table[Any, Any]
    key: Any
    old: Any


class UndoJournal:
    """``offset`` is that of the record being replayed; None while only committed records are."""

    def __init__(self) -> None:
        self.offset: int | None = None
        self._entries: deque[Undo] = deque()

    def note(self, table: Table[Any, Any], key: Any, old: Any) -> None:
        if self.offset is not None:
            self._entries.append(Undo(self.offset, table, key, old))

    def commit(self, offset: int) -> None:
        """All up to and including this offset stays."""
        while self._entries and self._entries[0].offset <= offset:
            self._entries.popleft()

    def revert(self) -> None:
        """Take back all that is not committed, the newest first."""
        while self._entries:
            entry = self._entries.pop()
            entry.table.restore(entry.key, entry.old)

    def committed(self, table: Table[Any, Any], key: Any, now: Any) -> Any:
        """What a table had under a key before all that is not committed; ``now`` is what it has."""
        for entry in self._entries:
            if entry.table is table and entry.key == key:
                return None if entry.old is _ABSENT else entry.old
        return now

    def keys_of(self, table: Table[Any, Any]) -> list[Any]:
        """What was written in a table and is not committed."""
        return [entry.key for entry in self._entries if entry.table is table]

    def __len__(self) -> int:
        return len(self._entries)


class Table(Generic[K, V]):
    """A mapping whose every write goes through ``put`` and ``delete``."""

    __slots__ = ("_journal", "_values")

    def __init__(self, journal: UndoJournal) -> None:
        self._journal = journal
        self._values: dict[K, V] = {}

    def put(self, key: K, value: V) -> None:
        self._journal.note(self, key, self._values.get(key, _ABSENT))
        self._values[key] = value

    def delete(self, key: K) -> None:
        self._journal.note(self, key, self._values.pop(key))

    def clear(self) -> None:
        for key in list(self._values):
            self.delete(key)

    def restore(self, key: K, old: Any) -> None:
        if old is _ABSENT:
            del self._values[key]
        else:
            self._values[key] = old

    def get(self, key: K) -> V | None:
        return self._values.get(key)

    def committed(self, key: K) -> V | None:
        """The value as of the last commit."""
        value: V | None = self._journal.committed(self, key, self._values.get(key))
        return value

    def touched(self) -> list[K]:
        """The keys whose last write is not committed, those that were deleted among them."""
        return list(dict.fromkeys(self._journal.keys_of(self)))

    def __getitem__(self, key: K) -> V:
        return self._values[key]

    def __contains__(self, key: object) -> bool:
        return key in self._values

    def __iter__(self) -> Iterator[K]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def items(self) -> list[tuple[K, V]]:
        return list(self._values.items())

    def values(self) -> list[V]:
        return list(self._values.values())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Table) and self._values == other._values

    __hash__ = None  # type: ignore[assignment]
