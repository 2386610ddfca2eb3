"""Moves replicas between the log directories of a broker (Kafka: ``ReplicaAlterLogDirsThread``, KIP-113, KIP-858).

A future log in the other directory copies the current one, up to its very end. When it has caught up, the controller is
asked to note the other directory; once it has, and the copy is complete again, the future log takes the place of the
current one. Nobody but the controller hears of it: leader, ISR and clients go on.

    COPYING --caught up--> ASKED --the controller has noted the directory, caught up--> done
    COPYING, ASKED --another move, or the copy's directory fails--> given up; what was asked is taken back
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from kafsim.broker.assignments import Assignments
from kafsim.broker.partition import Partition
from kafsim.controller.metadata_state import PartitionKey
from kafsim.protocol import errors
from kafsim.protocol.facts import broker as facts
from kafsim.protocol.files import DiskError
from kafsim.protocol.types import Micros, TopicPartition, millis
from kafsim.protocol.uuid import Uuid
from kafsim.storage.log import Log, UnexpectedOffset
from kafsim.storage.log_directory import FUTURE, LogDirectory

if TYPE_CHECKING:
    from kafsim.broker.replica_manager import ReplicaManager

TIMER = "log-dir-mover"
STEP = millis(1)
LONGEST_NAME = 255


@attrs.define
class Move:
    """``future``: the copy. ``asked``: the controller was asked to note its directory."""

    partition: Partition
    target: LogDirectory
    future: Log
    asked: bool = False
    is_cut: bool = True
    """The current log was truncated, or has been there before: the copy may have what that has not."""

    @property
    def key(self) -> PartitionKey:
        return self.partition.topic_id, self.partition.tp.partition

    @property
    def is_complete(self) -> bool:
        return not self.is_cut and self.future.log_end_offset == self.partition.log.log_end_offset


class LogDirMover:
    """``fetch_bytes``: how much is copied at a time; ``backoff``: how long to wait while that was too much."""

    def __init__(self, replicas: ReplicaManager, fetch_bytes: int, backoff: Micros) -> None:
        self._backoff = backoff
        self._replicas = replicas
        self._fetch_bytes = fetch_bytes
        self.assignments: Assignments | None = None
        self.moves: dict[PartitionKey, Move] = {}

    # ------------------------------------------------------------------------ requests

    def alter(self, now: Micros, tp: TopicPartition, path: str) -> int:
        """An admin wants this replica in that directory; an error code. The answer comes when the copy begins."""
        logs = self._replicas.logs
        if len(f"{tp}.{'0' * 32}{FUTURE}") > LONGEST_NAME:
            return errors.INVALID_TOPIC_EXCEPTION
        if path not in logs.paths:
            return errors.LOG_DIR_NOT_FOUND
        target = logs.paths[path]
        if target is None:
            return errors.KAFKA_STORAGE_ERROR
        partition = self._replicas.partition(tp)
        if partition == errors.KAFKA_STORAGE_ERROR:
            return errors.KAFKA_STORAGE_ERROR
        move = None if isinstance(partition, int) else self.moves.get((partition.topic_id, tp.partition))
        if move is not None and move.target is not target:
            self.give_up(now, move)
            move = None
        if isinstance(partition, int):
            logs.preferred[tp] = path
            missing = partition == errors.NOT_LEADER_OR_FOLLOWER
            return errors.REPLICA_NOT_AVAILABLE if missing else partition
        if move is not None or logs.directory_of(partition.log) is target:
            return errors.NONE
        if logs.has_offline:
            return errors.KAFKA_STORAGE_ERROR
        return self._begin(now, partition, target)

    def _begin(self, now: Micros, partition: Partition, target: LogDirectory) -> int:
        folder = f"{partition.tp}.{self._replicas.new_id().hex()}{FUTURE}"
        try:
            self._add(now, partition, target, folder)
        except DiskError:
            self._replicas.failures.note(target)
            return errors.KAFKA_STORAGE_ERROR
        return errors.NONE

    def _add(self, now: Micros, partition: Partition, target: LogDirectory, folder: str) -> None:
        wall = self._replicas.wall_ms(now)
        future = target.open_future(partition.tp, partition.topic_id, folder, partition.log.config, wall)
        self.moves[partition.topic_id, partition.tp.partition] = Move(partition, target, future)
        self._replicas.cleaner.pause(partition.tp)
        source = self._replicas.logs.directory_of(partition.log).path
        self._replicas.outbox.happened(facts.ReplicaMoveStarted(log=partition.name, source=source, target=target.path))
        self._arm(now)

    # --------------------------------------------------------------------------- start

    def recover(self, tp: TopicPartition, named: Uuid) -> None:
        """A move that the controller had noted, and that the process did not live to finish: it is finished now."""
        directory = self._replicas.logs.by_id(named)
        folder = None if directory is None else directory.futures_on_disk().get(tp)
        if directory is None or folder is None:
            return
        for other in self._replicas.logs.live:
            if other is not directory and other.holds(tp):
                other.delete(tp)
        directory.promote(tp, folder)

    def resume(self, now: Micros, partition: Partition) -> None:
        """A move that was under way when the process before this one ended goes on."""
        for directory in self._replicas.logs.live:
            folder = directory.futures_on_disk().get(partition.tp)
            if folder is not None:
                self._add(now, partition, directory, folder)
                return

    # --------------------------------------------------------------------------- copying

    def _arm(self, now: Micros) -> None:
        self._replicas.outbox.set_timer(TIMER, Micros(now + STEP))

    def on_timer(self, now: Micros) -> None:
        """One step for each move that is not complete, unless the throttle holds them all back."""
        if self._replicas.quotas.moves.is_exceeded(now):
            self._replicas.outbox.set_timer(TIMER, Micros(now + self._backoff))
            return
        for move in list(self.moves.values()):
            if not move.asked and self._copy(now, move) and move.is_complete:
                self._ask(now, move)
        if any(not move.asked for move in self.moves.values()):
            self._arm(now)

    def _copy(self, now: Micros, move: Move) -> bool:
        """False when a disk failed."""
        try:
            self._copy_some(now, move)
        except DiskError:
            self._replicas.failures.probe()
            return False
        return True

    def _copy_some(self, now: Micros, move: Move) -> None:
        log, future, wall = move.partition.log, move.future, self._replicas.wall_ms(now)
        if move.is_cut:
            future.truncate_to(_agreed(log, future), wall)
            move.is_cut = False
        if future.log_end_offset < log.log_start_offset:
            future.replace_all(log.log_start_offset, wall)
        read = log.read(future.log_end_offset, self._fetch_bytes, log.log_end_offset)
        if read.records:
            self._replicas.quotas.moves.record(now, len(read.records))
            epoch = move.partition.leader_epoch
            try:
                future.append_as_follower(read.records, epoch, wall)
            except UnexpectedOffset as unexpected:  # the log begins in the middle of a batch
                future.replace_all(unexpected.first, wall)
                future.append_as_follower(read.records, epoch, wall)
        future.set_high_watermark(log.high_watermark)
        future.advance_log_start(log.log_start_offset)

    def on_cut(self, key: PartitionKey) -> None:
        """The current log was truncated, or begins anew elsewhere."""
        move = self.moves.get(key)
        if move is not None:
            move.is_cut = True

    # ------------------------------------------------------------------------- promotion

    def _ask(self, now: Micros, move: Move) -> None:
        assert self.assignments is not None, "not put together"
        move.asked = True
        self.assignments.ask(now, move.key, move.target.id, lambda at: self._on_noted(at, move))

    def _on_noted(self, now: Micros, move: Move) -> None:
        """The controller has the other directory: what is missing is copied at once, and the logs change places."""
        if self.moves.get(move.key) is not move:
            return
        while not move.is_complete:
            if not self._copy(now, move):
                return
        try:
            self._promote(now, move)
        except DiskError:
            self._replicas.failures.probe()

    def _promote(self, now: Micros, move: Move) -> None:
        partition, logs = move.partition, self._replicas.logs
        source, tp = logs.directory_of(partition.log), partition.tp
        high_watermark, start = partition.log.high_watermark, partition.log.log_start_offset
        move.target.promote(tp, move.future.directory)
        source.delete(tp)
        move.target.high_watermarks.put(tp, high_watermark)
        move.target.log_starts.put(tp, start)
        del self.moves[move.key]
        wall = self._replicas.wall_ms(now)
        log = move.target.open(tp, partition.topic_id, partition.log.config, wall, clean=True)
        log.recovery_point = min(move.future.recovery_point, log.log_end_offset)
        self._replicas.replace_log(partition, log)
        self._replicas.outbox.happened(
            facts.ReplicaMoved(log=partition.name, source=source.path, target=move.target.path)
        )

    # ------------------------------------------------------------------------- giving up

    def give_up(self, now: Micros, move: Move, *, keep: bool = False) -> None:
        """The copy goes, unless its directory is gone; what the controller was told is taken back."""
        del self.moves[move.key]
        if not keep:
            move.target.drop_future(move.partition.tp)
        self._replicas.cleaner.note(move.partition.tp, move.partition.log)
        if move.asked and self.assignments is not None:
            directory = self._replicas.logs.directory_of(move.partition.log)
            self.assignments.ask(now, move.key, directory.id, None)

    def on_gone(self, key: PartitionKey) -> None:
        """The partition is not kept here any more."""
        move = self.moves.pop(key, None)
        if move is not None and move.target in self._replicas.logs.live:
            move.target.drop_future(move.partition.tp)

    def on_directory_failed(self, now: Micros, directory: LogDirectory) -> None:
        for move in list(self.moves.values()):
            if move.target is directory:
                self.give_up(now, move, keep=True)


def _agreed(log: Log, future: Log) -> int:
    """Up to where a copy has what its log has, by their leader epochs."""
    epoch, end = log.end_offset_for_epoch(future.latest_epoch)
    if future.latest_epoch < 0 or epoch < 0:
        return 0
    _, end_in_future = future.end_offset_for_epoch(epoch)
    return min(end, end_in_future, future.log_end_offset)
