"""Where each leader epoch begins in a log (Kafka: ``LeaderEpochFileCache``).

Invariant: epochs and start offsets both rise from entry to entry.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import NamedTuple

from kafsim.protocol.files import Directory
from kafsim.storage import checkpoint

UNDEFINED_EPOCH = -1
UNDEFINED_OFFSET = -1
FILE_NAME = "leader-epoch-checkpoint"


class EpochEntry(NamedTuple):
    epoch: int
    start_offset: int


class LeaderEpochCache:
    """Every change is written to ``leader-epoch-checkpoint`` before what follows it."""

    __slots__ = ("_files", "_name", "entries")

    def __init__(self, files: Directory, directory: str) -> None:
        self._files = files
        self._name = f"{directory}/{FILE_NAME}"
        self.entries: list[EpochEntry] = []

    def load(self) -> None:
        """Read the file; one that cannot be read counts as empty."""
        file = self._files.get(self._name)
        self.entries = []
        if file is not None:
            try:
                self.entries = [EpochEntry(int(e), int(o)) for e, o in checkpoint.decode(file.read(), 2)]
            except ValueError:
                self.entries = []

    @property
    def latest(self) -> int:
        return self.entries[-1].epoch if self.entries else UNDEFINED_EPOCH

    def assign(self, epoch: int, start_offset: int) -> None:
        """An epoch begins here, unless it is the latest one and began before."""
        entries = self.entries
        if entries and entries[-1].epoch == epoch and start_offset >= entries[-1].start_offset:
            return
        assert epoch >= 0, f"epoch {epoch}"
        assert start_offset >= 0, f"offset {start_offset}"
        while entries and (entries[-1].epoch >= epoch or entries[-1].start_offset >= start_offset):
            entries.pop()
        entries.append(EpochEntry(epoch, start_offset))
        self._write()

    def truncate_from_end(self, end_offset: int) -> None:
        """The log ends here now."""
        if self.entries and self.entries[-1].start_offset >= end_offset:
            while self.entries and self.entries[-1].start_offset >= end_offset:
                self.entries.pop()
            self._write()

    def truncate_from_start(self, start_offset: int) -> None:
        """The log begins here now; the epoch in force stays, with its start moved."""
        index = bisect_right(self.entries, start_offset, key=lambda entry: entry.start_offset)
        if index and self.entries[index - 1].start_offset != start_offset:
            self.entries[:index] = [EpochEntry(self.entries[index - 1].epoch, start_offset)]
            self._write()
        elif index > 1:
            del self.entries[: index - 1]
            self._write()

    def clear(self) -> None:
        if self.entries:
            self.entries.clear()
            self._write()

    def end_offset_for(self, epoch: int, log_end_offset: int) -> tuple[int, int]:
        """``(epoch found, end offset)`` for an epoch somebody else knows; both -1 when it cannot be told."""
        if epoch == UNDEFINED_EPOCH or not self.entries or epoch > self.latest:
            return UNDEFINED_EPOCH, UNDEFINED_OFFSET
        if epoch == self.latest:
            return epoch, log_end_offset
        index = bisect_right(self.entries, epoch, key=lambda entry: entry.epoch)
        found = self.entries[index - 1].epoch if index else epoch
        return found, self.entries[index].start_offset

    def epoch_for(self, offset: int) -> int:
        """The epoch in which the record at this offset was written; -1 before the first entry."""
        index = bisect_right(self.entries, offset, key=lambda entry: entry.start_offset)
        return self.entries[index - 1].epoch if index else UNDEFINED_EPOCH

    def _write(self) -> None:
        self._files.replace(self._name, checkpoint.encode(f"{e.epoch} {e.start_offset}" for e in self.entries))
