"""The log directory of a broker (Kafka: ``LogManager``): its logs, its checkpoints, and whether it stopped cleanly.

``.kafka_cleanshutdown`` is there only between a clean stop and the next start. It also keeps the broker epoch of the
process that stopped: a controller that is told another one knows that the broker died uncleanly.
"""

from __future__ import annotations

import json

from kafsim.protocol import uuid
from kafsim.protocol.effects import Outbox
from kafsim.protocol.files import Directory, File
from kafsim.protocol.safeguards import Safeguards
from kafsim.protocol.types import EventNumber, FlushKey, TopicPartition
from kafsim.protocol.uuid import Uuid
from kafsim.storage import checkpoint, recovery
from kafsim.storage.log import Log
from kafsim.storage.log_config import LogConfig
from kafsim.storage.segment import LOG

CLEAN_SHUTDOWN = ".kafka_cleanshutdown"
META_PROPERTIES = "meta.properties"
PARTITION_METADATA = "partition.metadata"
FUTURE = "-future"


class Silent(Outbox):
    """Of a log of which nobody hears: its files are flushed, and nothing is stated."""

    def __init__(self, outbox: Outbox) -> None:
        super().__init__()
        self._outbox = outbox

    def flush(self, file: File, key: FlushKey | None = None) -> None:
        self._outbox.flush(file)

    def happened(self, fact: object, *causes: EventNumber) -> None: ...


class OffsetCheckpoint:
    """One checkpoint file, written again only when an offset in it has changed."""

    __slots__ = ("_changed", "_files", "_name", "offsets")

    def __init__(self, files: Directory, name: str) -> None:
        self._files = files
        self._name = name
        self._changed = False
        self.offsets = checkpoint.read_offsets(files, name)

    def put(self, tp: TopicPartition, offset: int) -> None:
        if self.offsets.get(tp) != offset:
            self.offsets[tp] = offset
            self._changed = True

    def forget(self, tp: TopicPartition) -> None:
        self._changed |= self.offsets.pop(tp, None) is not None

    def write(self) -> None:
        if self._changed:
            checkpoint.write_offsets(self._files, self._name, self.offsets)
            self._changed = False


class LogDirectory:
    """The logs in one of ``log.dirs``. ``path`` is its name there, ``id`` that of ``meta.properties``."""

    def __init__(self, files: Directory, outbox: Outbox, safeguards: Safeguards, path: str = "") -> None:
        self.path = path
        self.id: Uuid = uuid.ZERO_UUID
        self.files = files
        self._outbox = outbox
        self._safeguards = safeguards
        self.logs: dict[TopicPartition, Log] = {}
        self.futures: dict[TopicPartition, Log] = {}
        """Logs of replicas that move into this directory (KIP-113)."""
        self._moved: dict[str, Log] = {}
        self.was_clean = files.get(CLEAN_SHUTDOWN) is not None
        self.previous_broker_epoch = self._read_clean_shutdown()
        """Of the process that stopped cleanly; -1 when the last one did not."""
        self.recovery_points = OffsetCheckpoint(files, checkpoint.RECOVERY_POINT)
        self.high_watermarks = OffsetCheckpoint(files, checkpoint.HIGH_WATERMARK)
        self.log_starts = OffsetCheckpoint(files, checkpoint.LOG_START)
        self.first_dirty = OffsetCheckpoint(files, checkpoint.CLEANER)

    def _read_clean_shutdown(self) -> int:
        file = self.files.get(CLEAN_SHUTDOWN)
        try:
            return -1 if file is None else int(json.loads(file.read())["brokerEpoch"])
        except (ValueError, KeyError, TypeError):
            return -1

    def format(self, node_id: int, directory_id: Uuid, cluster_id: str) -> Uuid:
        """Write ``meta.properties`` unless it is there; the id of this directory."""
        file = self.files.get(META_PROPERTIES)
        if file is not None:
            lines = (line.partition("=") for line in file.read().decode().splitlines())
            self.id = uuid.from_text({key: value for key, _, value in lines}["directory.id"])
            return self.id
        self.id = directory_id
        text = f"node.id={node_id}\ndirectory.id={uuid.to_text(directory_id)}\nversion=1\ncluster.id={cluster_id}\n"
        self.files.replace(META_PROPERTIES, text.encode())
        return directory_id

    def holds(self, tp: TopicPartition) -> bool:
        """Is there a log of this partition, opened or not?"""
        return tp in self.logs or self.files.get(f"{tp}/{PARTITION_METADATA}") is not None

    def probe(self) -> None:
        """DiskError when this directory has failed."""
        self.files.get(META_PROPERTIES)

    def begin(self) -> None:
        """The logs are about to be loaded: from now on a crash is unclean."""
        if self.was_clean:
            self.files.delete(CLEAN_SHUTDOWN)

    def on_disk(self) -> dict[TopicPartition, Uuid]:
        """The partitions that have a log here, with the topic ids in their ``partition.metadata``."""
        found = {}
        for name in self.files.names():
            directory, slash, file = name.partition("/")
            _, dash, partition = directory.rpartition("-")
            if slash and dash and file.endswith(LOG) and partition.isdigit():
                found[TopicPartition.parse(directory)] = self._topic_id(directory)
        return found

    def _topic_id(self, directory: str) -> Uuid:
        file = self.files.get(f"{directory}/{PARTITION_METADATA}")
        if file is None:
            return uuid.ZERO_UUID
        return uuid.from_text(file.read().decode().partition("topic_id: ")[2].strip())

    def open(self, tp: TopicPartition, topic_id: Uuid, config: LogConfig, now_ms: int, *, clean: bool = False) -> Log:
        """The log of a partition, loaded or made when first asked for; ``clean``: there is nothing to check."""
        log = self.logs.get(tp)
        if log is not None:
            return log
        directory = str(tp)
        if self._topic_id(directory) not in (uuid.ZERO_UUID, topic_id):
            self.delete(tp)  # of a topic that had this name before
        is_new = self.files.get(f"{directory}/{PARTITION_METADATA}") is None
        if is_new:
            text = f"version: 0\ntopic_id: {uuid.to_text(topic_id)}"
            self.files.replace(f"{directory}/{PARTITION_METADATA}", text.encode())
        log = recovery.load(
            directory,
            self.files,
            self._outbox,
            config,
            self._safeguards,
            now_ms=now_ms,
            clean=self.was_clean or is_new or clean,
            recovery_point=self.recovery_points.offsets.get(tp, 0),
            log_start_offset=self.log_starts.offsets.get(tp, 0),
            high_watermark=self.high_watermarks.offsets.get(tp, 0),
        )
        self.logs[tp] = log
        log.moved = self._moved
        log.note_moved()
        return log

    # ------------------------------------------------------------------ moves between directories

    def futures_on_disk(self) -> dict[TopicPartition, str]:
        """The folders of replicas that were on their way into this directory."""
        found = {}
        for name in self.files.names():
            folder, slash, _ = name.partition("/")
            tp, dot, rest = folder.rpartition(".")
            if slash and dot and rest.endswith(FUTURE) and tp.rpartition("-")[2].isdigit():
                found[TopicPartition.parse(tp)] = folder
        return found

    def open_future(self, tp: TopicPartition, topic_id: Uuid, folder: str, config: LogConfig, now_ms: int) -> Log:
        """The log that is to take the place of the one in another directory; nobody hears of it before."""
        name = f"{folder}/{PARTITION_METADATA}"
        if self.files.get(name) is None:
            self.files.replace(name, f"version: 0\ntopic_id: {uuid.to_text(topic_id)}".encode())
        log = recovery.load(
            folder, self.files, Silent(self._outbox), config, self._safeguards, now_ms=now_ms, clean=False
        )
        self.futures[tp] = log
        return log

    def drop_future(self, tp: TopicPartition) -> None:
        log = self.futures.pop(tp, None)
        folder = log.directory if log is not None else self.futures_on_disk().get(tp)
        if folder is not None:
            self._delete_folder(folder)

    def promote(self, tp: TopicPartition, folder: str) -> None:
        """The future log of a partition is its log from now on, to be opened anew."""
        self.futures.pop(tp, None)
        self._delete_folder(str(tp))
        for name in list(self.files.names(f"{folder}/")):
            self.files.rename(name, f"{tp}/{name.partition('/')[2]}")

    def _delete_folder(self, folder: str) -> None:
        for name in list(self.files.names(f"{folder}/")):
            self.files.delete(name)

    def delete(self, tp: TopicPartition) -> None:
        """Log and checkpoints of a partition are gone."""
        self.logs.pop(tp, None)
        self._moved.pop(str(tp), None)
        self._delete_folder(str(tp))
        for offsets in (self.recovery_points, self.high_watermarks, self.log_starts):
            offsets.forget(tp)

    def write_bounds(self) -> None:
        """The checkpoints of recovery points and log starts; only logs that moved are looked at.

        A log has a line of its start only while that is inside its first segment.
        """
        for directory, log in self._moved.items():
            tp = TopicPartition.parse(directory)
            self.recovery_points.put(tp, log.recovery_point)
            if log.log_start_offset > log.segments[0].base_offset:
                self.log_starts.put(tp, log.log_start_offset)
            else:
                self.log_starts.forget(tp)
        self._moved.clear()
        self.recovery_points.write()
        self.log_starts.write()

    def write_recovery_points(self) -> None:
        """At once after a log was cut: recovery must not take what is behind for durable (Kafka: ``truncateTo``)."""
        for directory, log in self._moved.items():
            self.recovery_points.put(TopicPartition.parse(directory), log.recovery_point)
        self.recovery_points.write()

    def close(self, broker_epoch: int) -> File:
        """A clean stop: flush, snapshots, checkpoints, and the file that says so, which is to be flushed."""
        for tp, log in self.logs.items():
            log.close()
            self.high_watermarks.put(tp, log.high_watermark)
        self.write_bounds()
        self.high_watermarks.write()
        text = json.dumps({"version": 0, "brokerEpoch": broker_epoch}, separators=(",", ":"))
        return self.files.replace(CLEAN_SHUTDOWN, text.encode())
