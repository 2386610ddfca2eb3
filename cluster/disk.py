"""The disk of one node: a page cache, and a journal of what a power failure may still take away.

Every operation acts at once; a process crash therefore loses nothing. Until it is flushed, or written back by the
kernel after 5 to 35 s, an operation is only in the journal: a power failure keeps, for each file and for the directory,
a prefix of the operations that keyed chance chooses, and may tear the last append it keeps.

A slow disk is a lane: what an append or a flush costs delays the effects of the input that did it and later work on the
same log, not the node. Time on the lane is read by the port after each input.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from kafsim.cluster.chance import mix
from kafsim.protocol.files import DiskError
from kafsim.protocol.types import Micros

WRITE_BACK_MIN = 5_000_000
WRITE_BACK_SPREAD = 30_000_000
_TRIM = 4_096


class Write(NamedTuple):
    """How to take back one operation on a file: cut at ``position``, then put ``removed`` there."""

    time: Micros
    position: int
    removed: bytes


class SimFile:
    """One file (an inode: renaming it does not change it)."""

    __slots__ = ("_data", "_disk", "_durable", "_journal", "lane", "name")

    def __init__(self, disk: SimDisk, name: str) -> None:
        self._disk = disk
        self.name = name
        self.lane = name.partition("/")[0]
        self._data = bytearray()
        self._journal: list[Write] = []
        self._durable = 0
        """How many operations are durable; the journal holds those that follow."""

    @property
    def size(self) -> int:
        return len(self._data)

    @property
    def disk(self) -> SimDisk:
        return self._disk

    @property
    def operations(self) -> int:
        return self._durable + len(self._journal)

    def append(self, data: bytes | bytearray | memoryview) -> None:
        if self._disk.failed:
            raise DiskError(self.name)
        self._journal.append(Write(self._disk.now(), len(self._data), b""))
        self._data += data
        if len(self._journal) > _TRIM:
            self._trim()
        if self._disk.append_us:
            self._disk.spend(self.lane, self._disk.append_us)

    def read(self, position: int = 0, size: int | None = None) -> bytes:
        if self._disk.failed:
            raise DiskError(self.name)
        end = len(self._data) if size is None else position + size
        return bytes(memoryview(self._data)[position:end])

    def truncate(self, size: int) -> None:
        if self._disk.failed:
            raise DiskError(self.name)
        if size < len(self._data):
            self._journal.append(Write(self._disk.now(), size, bytes(self._data[size:])))
            del self._data[size:]

    def sync(self) -> None:
        """The disk is waited for: durable now, and what this input does leaves when the disk is done."""
        if self._disk.failed:
            raise DiskError(self.name)
        self._disk.spend(self.lane, self._disk.flush_us)
        self._disk.settle_directory()
        self.settle(self.operations)

    def settle(self, operations: int) -> None:
        """The first so many operations have reached the platter."""
        done = operations - self._durable
        if done > 0:
            del self._journal[:done]
            self._durable = operations

    def overwrite(self, position: int, data: bytes) -> None:
        """Corruption: change bytes in place, durably and without anybody knowing."""
        self._data[position : position + len(data)] = data

    def _trim(self) -> None:
        horizon = self._disk.now() - WRITE_BACK_MIN - WRITE_BACK_SPREAD
        old = 0
        for write in self._journal:  # in the order of their times
            if write.time >= horizon:
                break
            old += 1
        self.settle(self._durable + old)

    def lose_power(self, now: Micros, key: int) -> int:
        """Keep a prefix of the journal, perhaps with a torn last append; returns how many bytes are gone or back."""
        safe = 0
        for index, write in enumerate(self._journal):
            if _written_back(write.time, key) <= now:
                safe = index + 1
        kept = safe + mix(key, 1) % (len(self._journal) - safe + 1)
        before = len(self._data)
        for write in reversed(self._journal[kept:]):
            self._undo(write)
        if kept > safe and mix(key, 2) % 2:
            last = self._journal[kept - 1]
            length = len(self._data) - last.position
            if not last.removed and length > 0:
                del self._data[last.position + mix(key, 3) % length :]
        self._journal.clear()
        self._durable = 0
        return abs(before - len(self._data))

    def _undo(self, write: Write) -> None:
        del self._data[write.position :]
        self._data += write.removed


def _written_back(time: Micros, key: int) -> int:
    """When the kernel writes a page back that was dirtied at this time; the same for writes of one 5 s window."""
    return time + WRITE_BACK_MIN + mix(key, 100 + time // WRITE_BACK_MIN) % WRITE_BACK_SPREAD


class Entry(NamedTuple):
    """How to take back one operation on the directory: these names held these files before."""

    time: Micros
    before: tuple[tuple[str, SimFile | None], ...]
    slow: bool
    """False for a rename that its writer flushed: only a power failure in the same instant can undo it."""


class SimDisk:
    """The files of one directory of a node; survives its processes. ``first``: the first disk of the node."""

    def __init__(self, now: Callable[[], Micros], key: int = 0, first: SimDisk | None = None) -> None:
        self.now = now
        self.failed = False
        """Whoever reads or writes gets a DiskError; what is there stays."""
        self._first = first or self
        self.append_us = 0
        self.flush_us = 1_000
        self.ready_at = Micros(0)
        """When the work of the current input will be done; 0 when it touched no slow lane. Of all disks, on the first.
        """
        self._key = key
        self._files: dict[str, SimFile] = {}
        self._directories: dict[str, dict[str, None]] = {}
        self._trim_at = _TRIM
        self._journal: list[Entry] = []
        self._lanes: dict[str, Micros] = {}

    def spend(self, lane: str, cost: int) -> Micros:
        """Work on one log: it begins when earlier work there is done."""
        done = Micros(max(self.now(), self._lanes.get(lane, 0)) + cost)
        self._lanes[lane] = done
        self._first.ready_at = max(self._first.ready_at, done)
        return done

    def create(self, name: str) -> SimFile:
        file = SimFile(self, name)
        self._put({name: file})
        return file

    def get(self, name: str) -> SimFile | None:
        if self.failed:
            raise DiskError(name)
        return self._files.get(name)

    def names(self, prefix: str = "") -> Iterable[str]:
        """Sorted; of one directory without looking at the others when the prefix names it."""
        if self.failed:
            raise DiskError(prefix)
        directory, slash, _ = prefix.partition("/")
        among: Iterable[str] = self._directories.get(directory, ()) if slash else self._files
        return sorted(name for name in among if name.startswith(prefix))

    def _set(self, name: str, file: SimFile | None) -> None:
        directory = self._directories.setdefault(name.partition("/")[0], {})
        if file is None:
            self._files.pop(name, None)
            directory.pop(name, None)
        else:
            self._files[name] = file
            directory[name] = None

    def rename(self, old: str, new: str) -> None:
        if self.failed:
            raise DiskError(old)
        file = self._files[old]
        self._put({old: None, new: file})
        file.name, file.lane = new, new.partition("/")[0]

    def delete(self, name: str) -> None:
        self._put({name: None})

    def replace(self, name: str, data: bytes) -> SimFile:
        file = SimFile(self, name)
        file._data += data
        self._put({name: file}, slow=False)
        return file

    def _put(self, changes: dict[str, SimFile | None], *, slow: bool = True) -> None:
        if self.failed:
            raise DiskError(next(iter(changes)))
        before = tuple((name, self._files.get(name)) for name in changes)
        self._journal.append(Entry(self.now(), before, slow))
        if len(self._journal) > self._trim_at:
            self._trim()
        for name, file in changes.items():
            self._set(name, file)

    def _trim(self) -> None:
        horizon = self.now() - WRITE_BACK_MIN - WRITE_BACK_SPREAD
        self._journal = [entry for entry in self._journal if entry.time >= horizon]
        self._trim_at = max(_TRIM, 2 * len(self._journal))

    def flush(self, file: SimFile) -> tuple[Micros, Callable[[], None]]:
        """When a flush that begins now will be done, and what to call then.

        As on a journalling file system, flushing a file makes its name durable too.
        """
        operations, entries = file.operations, len(self._journal)
        marker = self._journal[-1] if entries else None
        done = self.spend(file.lane, self.flush_us) if self.append_us else Micros(self.now() + self.flush_us)

        def settle() -> None:
            file.settle(operations)
            if marker is not None and marker in self._journal:
                del self._journal[: self._journal.index(marker) + 1]

        return done, settle

    def settle_directory(self) -> None:
        """All names are durable."""
        self._journal.clear()

    def lose_power(self) -> int:
        """The machine is off: take back what was not durable; returns how many bytes changed."""
        now = self.now()
        lost = self._lose_entries(now)
        for name, file in self._files.items():
            lost += file.lose_power(now, mix(self._key, hash_name(name) ^ now))
        self._lanes.clear()
        return lost

    def _lose_entries(self, now: Micros) -> int:
        key = mix(self._key, now)
        safe = 0
        for index, entry in enumerate(self._journal):
            due = _written_back(entry.time, key) if entry.slow else entry.time + 1
            if due <= now:
                safe = index + 1
        kept = safe + mix(key, 1) % (len(self._journal) - safe + 1)
        for entry in reversed(self._journal[kept:]):
            for name, file in entry.before:
                self._set(name, file)
                if file is not None:
                    file.name = name
        self._journal.clear()
        return 0

    def wipe(self) -> int:
        """A new empty disk; returns how many files are gone."""
        count = len(self._files)
        self._files.clear()
        self._directories.clear()
        self._journal.clear()
        return count


def hash_name(name: str) -> int:
    """A number for a name that is the same in every process."""
    number = 0xCBF2_9CE4_8422_2325
    for byte in name.encode():
        number = (number ^ byte) * 0x100_0000_01B3 & 0xFFFF_FFFF_FFFF_FFFF
    return number
