"""All logs of a broker, in one or several directories (Kafka: ``LogManager``, KIP-112, KIP-858).

A directory that fails is not used again before the next start. A new log goes into the directory that the metadata
names, else into the one with the fewest logs. While a directory is away a log that may be in it is not made anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from kafsim.protocol.effects import Outbox
from kafsim.protocol.files import Directory, DiskError
from kafsim.protocol.safeguards import Safeguards
from kafsim.protocol.types import TopicPartition
from kafsim.protocol.uuid import Uuid
from kafsim.storage.log import Log
from kafsim.storage.log_config import LogConfig
from kafsim.storage.log_directory import LogDirectory


class Disk(NamedTuple):
    """One of ``log.dirs``."""

    path: str
    files: Directory


class LogManager:
    """``live``: the directories that work, in the order of ``log.dirs``. The first one has the metadata log too.

    DiskError when that one does not work.
    """

    def __init__(self, disks: Iterable[Disk], outbox: Outbox, safeguards: Safeguards) -> None:
        self._outbox = outbox
        self.paths: dict[str, LogDirectory | None] = {}
        """None for a directory that failed."""
        self.preferred: dict[TopicPartition, str] = {}
        """Where an admin wants the log of a replica, until it is there."""
        for number, disk in enumerate(disks):
            try:
                self.paths[disk.path] = LogDirectory(disk.files, outbox, safeguards, disk.path)
            except DiskError:
                if not number:
                    raise
                self.paths[disk.path] = None
        self._by_files = {id(directory.files): directory for directory in self.live}
        epochs = {directory.previous_broker_epoch for directory in self.live}
        is_whole = len(epochs) == 1 and not self.has_offline
        self.previous_broker_epoch = epochs.pop() if is_whole else -1
        """Of the process that stopped cleanly; -1 when the last one did not, or not every directory can tell."""

    # ------------------------------------------------------------------- directories

    @property
    def live(self) -> list[LogDirectory]:
        return [directory for directory in self.paths.values() if directory is not None]

    @property
    def first(self) -> LogDirectory:
        return self.live[0]

    @property
    def has_offline(self) -> bool:
        return None in self.paths.values()

    @property
    def has_several(self) -> bool:
        return len(self.paths) > 1

    @property
    def ids(self) -> tuple[Uuid, ...]:
        """Of the directories that work; Kafka sorts them as it compares ids."""
        return tuple(sorted(directory.id for directory in self.live))

    def format(self, node_id: int, new_id: Callable[[], Uuid], first_id: Uuid, cluster_id: str) -> Uuid:
        """Give each directory its id, unless it has one; that of the first."""
        for number, directory in enumerate(self.live):
            directory.format(node_id, new_id() if number else first_id, cluster_id)
        return self.first.id

    def by_id(self, id_: Uuid) -> LogDirectory | None:
        return next((directory for directory in self.live if directory.id == id_), None)

    def directory_of(self, log: Log) -> LogDirectory:
        return self._by_files[id(log.files)]

    def directory_with(self, tp: TopicPartition) -> LogDirectory | None:
        """The one that has a log of this partition."""
        return next((directory for directory in self.live if directory.holds(tp)), None)

    def fail(self, directory: LogDirectory) -> None:
        """Leave a directory alone from now on."""
        self.paths[directory.path] = None

    # ----------------------------------------------------------------------- logs

    def begin(self) -> None:
        for directory in self.live:
            directory.begin()

    def on_disk(self) -> Iterator[tuple[TopicPartition, Uuid, LogDirectory]]:
        """The partitions that have a log, their topic ids, and where they are."""
        for directory in self.live:
            for tp, topic_id in directory.on_disk().items():
                yield tp, topic_id, directory

    def place(self, tp: TopicPartition, named: Uuid) -> LogDirectory:
        """Where the log of a partition is, or goes; ``named``: the directory in the metadata."""
        found = self.directory_with(tp)
        if found is not None:
            return found
        preferred = self.preferred.pop(tp, None)
        wanted = self.by_id(named) or (self.paths[preferred] if preferred is not None else None)
        return wanted or min(self.live, key=lambda directory: len(directory.logs) + len(directory.futures))

    def open(self, tp: TopicPartition, topic_id: Uuid, config: LogConfig, now_ms: int, named: Uuid) -> Log:
        return self.place(tp, named).open(tp, topic_id, config, now_ms)

    def delete(self, tp: TopicPartition) -> None:
        for directory in self.live:
            if directory.holds(tp):
                directory.delete(tp)

    # ------------------------------------------------------------------ checkpoints

    def put_high_watermark(self, tp: TopicPartition, log: Log) -> None:
        self.directory_of(log).high_watermarks.put(tp, log.high_watermark)

    def close(self, broker_epoch: int) -> None:
        """A clean stop of every directory that works."""
        for directory in self.live:
            try:
                file = directory.close(broker_epoch)
            except DiskError:
                if directory is self.first:
                    raise
                continue  # it was not closed cleanly
            self._outbox.flush(file, ("closed",) if directory is self.first else None)
