"""The topics as the coordinator of groups looks at them (Kafka: ``CoordinatorMetadataImage``, ``Utils``)."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator

import xxhash

from kafsim.controller.metadata_state import MetadataState
from kafsim.protocol.uuid import Uuid

_MAGIC = b"\0"
_LONG, _INT = struct.Struct("<q"), struct.Struct("<i")


class Topics:
    """``applied``: up to which offset of the metadata log ``state`` goes.

    The hash of a topic tells when a group that reads it needs another assignment: its id, name, partitions and the
    racks of their replicas are in it (XXH3, as Kafka writes it to ``__consumer_offsets``).
    """

    def __init__(self, state: MetadataState, applied: Callable[[], int]) -> None:
        self._state = state
        self._applied = applied
        self._hashes: dict[Uuid, int] = {}
        self._names: dict[Uuid, str] = {}
        self._changed: dict[str, int] = {}
        self.changes = 0
        """How often topics have changed since this broker was started."""
        self.last_new = 0
        """The version that topics were created in last, or that was the first one seen."""

    @property
    def version(self) -> int:
        return self._applied()

    def id_of(self, name: str) -> Uuid | None:
        return self._state.topic_ids.get(name)

    def name_of(self, id_: Uuid) -> str | None:
        return self._state.topic_names.get(id_)

    def partitions_of(self, id_: Uuid) -> int:
        return self._state.partition_counts[id_]

    def names(self) -> Iterator[str]:
        return iter(self._state.topic_ids)

    def ids_of(self, names: Iterable[str]) -> dict[Uuid, None]:
        """Of those that exist."""
        ids = (self._state.topic_ids.get(name) for name in names)
        return {id_: None for id_ in ids if id_ is not None}

    def on_changed(self, ids: Iterable[Uuid]) -> dict[Uuid, str]:
        """These are new, have changed or are gone; the names of those that are gone."""
        self.changes += 1
        is_first = not self.last_new
        gone: dict[Uuid, str] = {}
        for id_ in ids:
            name, before = self.name_of(id_), self._names.pop(id_, None)
            if name is not None:
                self._names[id_] = name
                is_first = is_first or before is None
            elif before is not None:
                gone[id_] = before
            self._changed[name or before or ""] = self.changes
            self._hashes.pop(id_, None)
        if is_first:
            self.last_new = self.version
        return gone

    def have_changed(self, names: Iterable[str], since: int) -> bool:
        """One of these, after so many changes?"""
        return any(self._changed.get(name, 0) > since for name in names)

    def hash_of(self, names: Iterable[str]) -> int:
        """Of the topics of a group that exist; 0 when none does."""
        known = [(name, id_) for name in sorted(names) if (id_ := self.id_of(name)) is not None]
        data = b"".join(_LONG.pack(self._hash(name, id_)) for name, id_ in known)
        return _signed(xxhash.xxh3_64_intdigest(data)) if known else 0

    def _hash(self, name: str, id_: Uuid) -> int:
        found = self._hashes.get(id_)
        if found is None:
            racks = [self._racks(id_, index) for index in range(self.partitions_of(id_))]
            found = self._hashes[id_] = topic_hash(name, id_, racks)
        return found

    def _racks(self, id_: Uuid, index: int) -> list[str]:
        brokers = (self._state.brokers.get(one) for one in self._state.partitions[id_, index].replicas)
        return [broker.rack for broker in brokers if broker is not None and broker.rack is not None]


def topic_hash(name: str, id_: Uuid, racks: list[list[str]]) -> int:
    """``racks``: of the replicas of each partition, as far as they have one."""
    high, low = (int.from_bytes(half, "big", signed=True) for half in (id_[:8], id_[8:]))
    parts = [_MAGIC, _LONG.pack(high), _LONG.pack(low), _text(name), _INT.pack(len(racks))]
    for index, known in enumerate(racks):
        parts.append(_INT.pack(index))
        parts += [_INT.pack(len(rack)) + _text(rack) for rack in sorted(known)]
    return _signed(xxhash.xxh3_64_intdigest(b"".join(parts)))


def _text(text: str) -> bytes:
    units = text.encode("utf-16-le")
    return units + _INT.pack(len(units) // 2)


def _signed(value: int) -> int:
    return value - (value >> 63 << 64)
