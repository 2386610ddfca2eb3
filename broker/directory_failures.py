"""What a broker does when one of its log directories fails (Kafka: ``ReplicaManager.handleLogDirFailure``, KIP-112).

The first error of a disk takes the whole directory out of use until the next start: its replicas are offline, which
clients are told as KAFKA_STORAGE_ERROR, and the controller hears of it with the next heartbeat. A broker whose first
directory fails, where the metadata log is, halts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from kafsim.broker.partition import Partition
from kafsim.controller.metadata_state import UNASSIGNED, PartitionKey, PartitionState
from kafsim.protocol.facts import broker as facts
from kafsim.protocol.facts.fact import because
from kafsim.protocol.files import DiskError
from kafsim.protocol.types import Micros
from kafsim.protocol.uuid import Uuid
from kafsim.storage.log_directory import LogDirectory

if TYPE_CHECKING:
    from kafsim.broker.replica_manager import ReplicaManager


class DirectoryFailures:
    """``offline``: partitions whose replica is in a directory that failed."""

    def __init__(self, replicas: ReplicaManager) -> None:
        self._replicas = replicas
        self.offline: dict[PartitionKey, None] = {}
        self._without_log: dict[PartitionKey, None] = {}
        """Partitions of this broker whose log may be in a directory that is away, and that is not made anew."""
        self._failing: dict[str, LogDirectory] = {}
        self.on_failed: Callable[[Micros, Uuid], None] = lambda _, __: None
        """Told the id of a directory, for the controller."""

    def note(self, directory: LogDirectory) -> None:
        """A disk error; what follows from it happens at the end of this input."""
        self._failing[directory.path] = directory

    def probe(self) -> None:
        """Something could not be read or written: look which directory it was."""
        self.on_directories(lambda directory: directory.probe())

    def on_directories(self, act: Callable[[LogDirectory], None]) -> None:
        """Do something with every directory that works."""
        for directory in self._replicas.logs.live:
            try:
                act(directory)
            except DiskError:
                self.note(directory)

    def handle(self, now: Micros) -> None:
        """Directories that failed during this input."""
        while self._failing:
            directory = self._failing.pop(next(iter(self._failing)))
            if directory in self._replicas.logs.live:
                self._take_out(now, directory)

    def _take_out(self, now: Micros, directory: LogDirectory) -> None:
        replicas = self._replicas
        is_first = directory is replicas.logs.first
        gone = [p for p in replicas.by_key.values() if replicas.logs.directory_of(p.log) is directory]
        replicas.outbox.happened(facts.LogDirectoryFailed(path=directory.path, replicas=len(gone)))
        if is_first:
            raise DiskError(directory.path)  # the metadata log was there: nothing goes on without it
        for partition in gone:
            self.take_offline(now, partition)
        replicas.mover.on_directory_failed(now, directory)
        replicas.logs.fail(directory)
        self.on_failed(now, directory.id)

    def take_offline(self, now: Micros, partition: Partition) -> None:
        key = (partition.topic_id, partition.tp.partition)
        self.offline[key] = None
        self._replicas.let_go(now, partition)
        partition.go_offline()
        self._replicas.outbox.happened(facts.ReplicaOffline(log=partition.name, because=because(facts.DISK_FAILED)))

    # --------------------------------------------------------------------- metadata

    def may_open(self, key: PartitionKey, before: PartitionState | None, named: Uuid, named_before: Uuid) -> bool:
        """May the log of a partition be opened, or made, as the metadata asks?

        ``named``: its directory in the metadata; when it is named anew, that one has to work unless all do.
        """
        logs = self._replicas.logs
        if key in self.offline:
            return False
        if not logs.has_offline:
            return True
        if before is None or named != named_before:
            allowed = named == UNASSIGNED or logs.by_id(named) is not None
            if not allowed:
                self._without_log[key] = None
            return allowed
        if key in self._without_log:
            self._without_log.pop(key)
            self.offline[key] = None
            return False
        return True

    def forget(self, key: PartitionKey) -> None:
        """The partition is not this broker's any more."""
        self._without_log.pop(key, None)
