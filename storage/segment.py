"""One segment: the batches from its base offset on, and its two sparse indexes (Kafka: ``LogSegment``).

In memory every batch has an entry, so that a read finds its place by bisection; on disk the indexes are Kafka's, an
entry for every ``index.interval.bytes``, and are rebuilt from the log whenever they are missing.
"""

from __future__ import annotations

import struct
from bisect import bisect_left, bisect_right
from typing import NamedTuple

from kafsim.protocol.files import Directory, File
from kafsim.protocol.records import batch as batches
from kafsim.protocol.records.batch import BatchHeader
from kafsim.protocol.records.errors import RecordError

LOG, INDEX, TIME_INDEX, SNAPSHOT = ".log", ".index", ".timeindex", ".snapshot"
CLEANED, SWAP = ".cleaned", ".swap"
"""At the end of a name: being written by the cleaner; complete, and about to take the place of others."""
_INDEX_ENTRY = struct.Struct(">ii")
_TIME_ENTRY = struct.Struct(">qi")


class Placed(NamedTuple):
    """One batch in a segment."""

    base_offset: int
    last_offset: int
    position: int
    size: int
    leader_epoch: int
    max_timestamp: int
    crc: int


def file_name(directory: str, base_offset: int, suffix: str) -> str:
    return f"{directory}/{base_offset:020}{suffix}"


class Segment:
    """``batches`` in the order of the file; ``_bases`` are their base offsets, for bisection."""

    __slots__ = (
        "_bases",
        "_directory",
        "_files",
        "_index",
        "_interval",
        "_since_index",
        "_suffix",
        "_time_index",
        "_timestamp_of_max",
        "base_offset",
        "batches",
        "created_ms",
        "file",
        "max_timestamp",
    )

    def __init__(
        self, files: Directory, directory: str, base_offset: int, interval: int, created_ms: int, *, suffix: str = ""
    ) -> None:
        self._files = files
        self._suffix = suffix
        self._directory = directory
        self._interval = interval
        self.base_offset = base_offset
        self.created_ms = created_ms
        self.file: File = files.get(self.name(LOG)) or files.create(self.name(LOG))
        self._index: File = files.get(self.name(INDEX)) or files.create(self.name(INDEX))
        self._time_index: File = files.get(self.name(TIME_INDEX)) or files.create(self.name(TIME_INDEX))
        self.batches: list[Placed] = []
        self._bases: list[int] = []
        self.max_timestamp = -1
        self._timestamp_of_max = base_offset
        self._since_index = 0

    def name(self, suffix: str) -> str:
        return file_name(self._directory, self.base_offset, suffix) + self._suffix

    def rename(self, suffix: str) -> None:
        """To the names with this at their end."""
        old = [self.name(kind) for kind in (LOG, INDEX, TIME_INDEX)]
        self._suffix = suffix
        for name, kind in zip(old, (LOG, INDEX, TIME_INDEX), strict=True):
            self._files.rename(name, self.name(kind))

    @property
    def size(self) -> int:
        return self.file.size

    @property
    def next_offset(self) -> int:
        return self.batches[-1].last_offset + 1 if self.batches else self.base_offset

    @property
    def first_timestamp(self) -> int | None:
        """The largest timestamp of the first batch, from which time-based rolling counts."""
        return self.batches[0].max_timestamp if self.batches else None

    def append(self, data: bytes, head: BatchHeader) -> Placed:
        """Write one batch that has its place already."""
        position = self.file.size
        placed = Placed(
            head.base_offset,
            head.last_offset,
            position,
            len(data),
            head.leader_epoch,
            head.max_timestamp,
            head.crc,
        )
        self.file.append(data)
        self._note(placed, write_index=True)
        return placed

    def _note(self, placed: Placed, *, write_index: bool) -> None:
        self.batches.append(placed)
        self._bases.append(placed.base_offset)
        if placed.max_timestamp > self.max_timestamp:
            self.max_timestamp = placed.max_timestamp
            self._timestamp_of_max = placed.last_offset
        if write_index and self._since_index > self._interval:
            self._index.append(_INDEX_ENTRY.pack(placed.last_offset - self.base_offset, placed.position))
            self._append_time_entry()
            self._since_index = 0
        self._since_index += placed.size

    def _append_time_entry(self) -> None:
        size, last = self._time_index.size, -1
        if size >= _TIME_ENTRY.size:
            last = _TIME_ENTRY.unpack(self._time_index.read(size - _TIME_ENTRY.size))[0]
        if self.max_timestamp > last:
            self._time_index.append(_TIME_ENTRY.pack(self.max_timestamp, self._timestamp_of_max - self.base_offset))

    def finish(self) -> None:
        """Nothing more is appended: the time index gets the true maximum."""
        if self.batches:
            self._append_time_entry()

    # ---------------------------------------------------------------------- reading

    def index_of(self, offset: int) -> int:
        """The first batch whose last offset is not before this one; ``len(batches)`` when there is none."""
        index = bisect_right(self._bases, offset) - 1
        if index < 0:
            return 0
        return index if self.batches[index].last_offset >= offset else index + 1

    def index_before(self, bound: int) -> int:
        """How many batches lie wholly below an offset."""
        index = bisect_left(self._bases, bound)
        return index - 1 if index and self.batches[index - 1].last_offset >= bound else index

    def read(self, first: int, end: int) -> bytes:
        """The bytes of some batches."""
        if first >= end:
            return b""
        start, last = self.batches[first].position, self.batches[end - 1]
        return self.file.read(start, last.position + last.size - start)

    # ----------------------------------------------------------------- loading, cutting

    def load(self, *, check: bool) -> int:
        """Read the batches that the file holds; returns how many bytes at its end are none.

        ``check``: stop at the first batch whose CRC is wrong, cut the file there, write the indexes anew (recovery).
        """
        data = self.file.read()
        self.batches.clear()
        self._bases.clear()
        self.max_timestamp, self._since_index = -1, 0
        if check:
            self._index.truncate(0)
            self._time_index.truncate(0)
        good = 0
        try:
            for span in batches.spans_in_file(data):
                if check:
                    batches.ensure_valid(data, span.position, span.size)
                head = batches.header(data, span.position)
                if check and not 0 <= head.last_offset - self.base_offset <= 0x7FFF_FFFF:
                    break
                self._note(_placed(head, span.position, span.size), write_index=check)
                good = span.position + span.size
        except RecordError:
            pass
        if check:
            self.file.truncate(good)
            self.finish()
        return len(data) - good

    def truncate(self, offset: int) -> None:
        """Cut at the batch that holds this offset; the whole batch goes."""
        index = self.index_of(offset)
        if index >= len(self.batches):
            return
        self.file.truncate(self.batches[index].position)
        self._index.truncate(0)
        self._time_index.truncate(0)
        kept = self.batches[:index]
        self.batches, self._bases = [], []
        self.max_timestamp, self._since_index = -1, 0
        for placed in kept:
            self._note(placed, write_index=True)

    def delete(self, *, keep_snapshot: bool = False) -> None:
        """The files are gone; the snapshot at the base offset goes with them."""
        for suffix in (LOG, INDEX, TIME_INDEX) if keep_snapshot or self._suffix else (LOG, INDEX, TIME_INDEX, SNAPSHOT):
            name = self.name(suffix)
            if self._files.get(name) is not None:
                self._files.delete(name)


def _placed(head: BatchHeader, position: int, size: int) -> Placed:
    return Placed(head.base_offset, head.last_offset, position, size, head.leader_epoch, head.max_timestamp, head.crc)
