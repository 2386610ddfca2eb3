"""Files as a core sees them: everything acts at once on the page cache, durability is an effect.

The simulated disk is in ``cluster/disk.py``. A core never learns whether what it wrote has reached the platter, except
by ``on_flushed``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol


class DiskError(OSError):
    """A disk can neither be read nor written any more (Java: ``IOException``). A core that lets it pass is ended."""


class File(Protocol):
    """The bytes of one file; offsets and sizes in bytes."""

    @property
    def name(self) -> str: ...
    @property
    def size(self) -> int: ...
    def append(self, data: bytes | bytearray | memoryview) -> None: ...
    def read(self, position: int = 0, size: int | None = None) -> bytes: ...
    def truncate(self, size: int) -> None: ...
    def sync(self) -> None:
        """Wait for the disk: what the file holds now is durable before anything of this input leaves the node."""
        ...


class Directory(Protocol):
    """A tree of files by name (``orders-0/00000000000000000000.log``)."""

    def create(self, name: str) -> File:
        """A new empty file; whatever had the name is gone."""
        ...

    def get(self, name: str) -> File | None: ...
    def names(self, prefix: str = "") -> Iterable[str]:
        """The names that begin with the prefix, in order."""
        ...

    def rename(self, old: str, new: str) -> None:
        """Atomic; a file that had the new name is gone."""
        ...

    def delete(self, name: str) -> None: ...

    def replace(self, name: str, data: bytes) -> File:
        """Write beside, flush, rename: after a power failure the file has its old bytes or all of the new ones."""
        ...
