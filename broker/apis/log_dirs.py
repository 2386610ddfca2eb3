"""AlterReplicaLogDirs (34) and DescribeLogDirs (35): which directory a replica is in, and is to be in (KIP-113).

Behaviour:
* A request is for the broker that has the replica; it is answered when the copy begins. How far that has come is told
  by the lag of the future log.
* A directory that is not one of log.dirs is told before anything about the partition. A replica that is not here yet
  goes into the directory when it comes (REPLICA_NOT_AVAILABLE until then).
* Every directory is described, a failed one with KAFKA_STORAGE_ERROR and nothing else.
"""

from __future__ import annotations

from kafsim.broker.log_dir_mover import LogDirMover
from kafsim.broker.replica_manager import ReplicaManager
from kafsim.protocol import errors
from kafsim.protocol.effects import Outbox
from kafsim.protocol.messages import alter_replica_log_dirs as alter
from kafsim.protocol.messages import describe_log_dirs as describe
from kafsim.protocol.types import ConnectionId, Header, Micros, TopicPartition
from kafsim.storage.log import Log
from kafsim.storage.log_directory import LogDirectory

UNKNOWN_SIZE = 0x7FFF_FFFF_FFFF_FFFF
"""Of a volume that does not say how large it is."""


class AlterReplicaLogDirsApi:
    def __init__(self, outbox: Outbox, mover: LogDirMover) -> None:
        self._outbox = outbox
        self._mover = mover

    def handle(
        self, now: Micros, connection: ConnectionId, header: Header, request: alter.AlterReplicaLogDirsRequest
    ) -> None:
        wanted = {
            TopicPartition(topic.name, index): directory.path
            for directory in request.dirs
            for topic in directory.topics
            for index in topic.partitions
        }
        topics: dict[str, list[alter.AlterReplicaLogDirPartitionResult]] = {}
        for tp, path in wanted.items():
            error = self._mover.alter(now, tp, path)
            answer = alter.AlterReplicaLogDirPartitionResult(partition_index=tp.partition, error_code=error)
            topics.setdefault(tp.topic, []).append(answer)
        results = tuple(
            alter.AlterReplicaLogDirTopicResult(topic_name=name, partitions=tuple(answers))
            for name, answers in topics.items()
        )
        self._outbox.reply(connection, header, alter.AlterReplicaLogDirsResponse(results=results))


class DescribeLogDirsApi:
    def __init__(self, outbox: Outbox, replicas: ReplicaManager) -> None:
        self._outbox = outbox
        self._replicas = replicas

    def handle(
        self, now: Micros, connection: ConnectionId, header: Header, request: describe.DescribeLogDirsRequest
    ) -> None:
        asked = None
        if request.topics is not None:
            asked = {TopicPartition(topic.topic, index) for topic in request.topics for index in topic.partitions}
        results = tuple(self._describe(path, directory, asked) for path, directory in self._replicas.logs.paths.items())
        self._outbox.reply(connection, header, describe.DescribeLogDirsResponse(results=results))

    def _describe(
        self, path: str, directory: LogDirectory | None, asked: set[TopicPartition] | None
    ) -> describe.DescribeLogDirsResult:
        if directory is None:
            return describe.DescribeLogDirsResult(error_code=errors.KAFKA_STORAGE_ERROR, log_dir=path)
        topics: dict[str, list[describe.DescribeLogDirsPartition]] = {}
        for logs, is_future in ((directory.logs, False), (directory.futures, True)):
            for tp, log in logs.items():
                if asked is None or tp in asked:
                    topics.setdefault(tp.topic, []).append(self._partition(tp, log, is_future=is_future))
        return describe.DescribeLogDirsResult(
            log_dir=path,
            topics=tuple(
                describe.DescribeLogDirsTopic(name=name, partitions=tuple(found)) for name, found in topics.items()
            ),
            total_bytes=UNKNOWN_SIZE,
            usable_bytes=UNKNOWN_SIZE,
        )

    def _partition(self, tp: TopicPartition, log: Log, *, is_future: bool) -> describe.DescribeLogDirsPartition:
        current = self._replicas.partition(tp)
        lag = -1
        if not isinstance(current, int):
            end, high_watermark = current.log.log_end_offset, current.log.high_watermark
            lag = end - log.log_end_offset if is_future else max(high_watermark - end, 0)
        return describe.DescribeLogDirsPartition(
            partition_index=tp.partition, partition_size=log.size, offset_lag=lag, is_future_key=is_future
        )
