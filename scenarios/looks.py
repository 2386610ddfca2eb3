"""Looks at a simulated cluster as a recorded history takes them of a real one: each states what was seen."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from kafsim.clients.errors import KafkaError
from kafsim.cluster.admin_handle import AdminHandle
from kafsim.cluster.cluster import Cluster
from kafsim.controller.metadata_state import RECOVERING
from kafsim.protocol import errors
from kafsim.protocol.records import batch as batches
from kafsim.protocol.records.record import decode_batch
from kafsim.protocol.types import TopicPartition
from kafsim.scenarios.comparison import Seen, Step, Unsupported

LONGEST_TEXT = 40
_SOURCES = (
    "DYNAMIC_TOPIC_CONFIG",
    "DYNAMIC_BROKER_CONFIG",
    "DYNAMIC_DEFAULT_BROKER_CONFIG",
    "STATIC_BROKER_CONFIG",
    "DEFAULT_CONFIG",
)
_READER = {"auto.offset.reset": "earliest", "default.api.timeout.ms": 8_000, "request.timeout.ms": 5_000}


class Looks:
    """``by_name``: what a step may expect."""

    def __init__(self, cluster: Cluster, admin: AdminHandle) -> None:
        self.cluster = cluster
        self.admin = admin
        core = cluster.controller_core
        self._quorum_at_start = (-1, 0) if core is None else (core.raft.leader_id, core.raft.epoch)
        self.by_name: dict[str, Callable[[Step], Awaitable[Seen]]] = {
            "partition": self._partition,
            "isr": self._partition,
            "log": self._log,
            "replica_log": self._replica_log,
            "end_offsets": self._end_offsets,
            "config": self._config,
            "broker": self._broker,
            "topics": self._topics,
            "quorum": self._quorum,
            "reassignments": self._reassignments,
            "producers": self._producers_of,
        }

    async def _partition(self, step: Step) -> Seen:
        state = self.cluster.partition((step["topic"], step.get("partition", 0)))
        if state is None:
            return {"leader": None}
        seen: Seen = {
            "leader": state.leader,
            "leader_epoch": state.leader_epoch,
            "partition_epoch": state.partition_epoch,
            "replicas": list(state.replicas),
            "isr": list(state.isr),
            "elr": list(state.elr),
            "last_known_elr": list(state.last_known_elr),
        }
        if state.adding:
            seen["adding"] = list(state.adding)
        if state.removing:
            seen["removing"] = list(state.removing)
        if state.recovery == RECOVERING:
            seen["recovery"] = "RECOVERING"
        return seen

    async def _log(self, step: Step) -> Seen:
        if step.get("isolation") == "read_committed":
            raise Unsupported("expect log with isolation read_committed")
        tp = TopicPartition(step["topic"], step.get("partition", 0))
        consumer = self.cluster.consumer(_READER)
        end = (await consumer.end_offsets([tp]))[tp]
        await consumer.assign([tp])
        await consumer.seek_to_beginning(tp)
        found: list[Any] = []
        deadline = self.cluster.world.clock.now + 10_000_000
        while await consumer.position(tp) < end and self.cluster.world.clock.now < deadline:
            for record in await consumer.getmany(timeout_ms=200):
                value = _shown(record.value)
                key = None if record.key is None else record.key.decode()
                found.append([record.offset, key, value] if step.get("keys") else [record.offset, value])
        return {"records": found}

    async def _replica_log(self, step: Step) -> Seen:
        """What is on a node's disk, whether it runs or not."""
        directory = f"{step['topic']}-{step.get('partition', 0)}/"
        disk = self.cluster.select(step["node"]).disk
        names = [name for name in disk.names(directory) if name.endswith(".log")]
        found: list[Any] = []
        for name in names:
            file = disk.get(name)
            data = b"" if file is None else file.read()
            for span in batches.spans_in_file(data):
                head = batches.header(data, span.position)
                for record in decode_batch(data, span.position):
                    row: list[Any] = [record.offset, head.leader_epoch, _shown(record.value)]
                    if step.get("batches") and head.producer_id >= 0:
                        row.append({"producer_epoch": head.producer_epoch, "sequence": record.sequence})
                    found.append(row)
        return {"records": found if names else None}

    async def _end_offsets(self, step: Step) -> Seen:
        tp = TopicPartition(step["topic"], step.get("partition", 0))
        if self.cluster.partition(tp) is None:
            raise KafkaError(errors.UNKNOWN_TOPIC_OR_PARTITION)
        reader = self.cluster.consumer({**_READER, "default.api.timeout.ms": 15_000})
        seen = {
            "start": (await reader.beginning_offsets([tp]))[tp],
            "end": (await reader.end_offsets([tp]))[tp],
        }
        if step.get("stable"):
            raise Unsupported("expect end_offsets stable")
        if "timestamp" in step:
            at_time = (await reader.offsets_for_times({tp: step["timestamp"]}))[tp]
            seen["at_timestamp"] = at_time.offset if at_time else -1
        return seen

    async def _config(self, step: Step) -> Seen:
        found = (await self.admin.describe_configs(step["type"], step["name"])).get(step["key"])
        if found is None:
            return {"value": None}
        return {"value": found.value, "source": _SOURCES[found.config_source - 1]}

    async def _broker(self, step: Step) -> Seen:
        core = self.cluster.controller_core
        assert core is not None, "the controller runs"
        state = core.state.brokers[step["node"]]
        return {"fenced": state.fenced, "in_controlled_shutdown": state.in_controlled_shutdown}

    async def _quorum(self, _: Step) -> Seen:
        found = await self.admin.describe_quorum()
        leader, epoch = self._quorum_at_start
        return {"epoch_change": found.leader_epoch - epoch, "leader_changed": found.leader_id != leader}

    async def _reassignments(self, _: Step) -> Seen:
        found = await self.admin.list_reassignments()
        return {
            "ongoing": [
                {
                    "topic": tp.topic,
                    "partition": tp.partition,
                    "replicas": list(one.replicas),
                    "adding": list(one.adding_replicas),
                    "removing": list(one.removing_replicas),
                }
                for tp, one in found.items()
            ]
        }

    async def _topics(self, _: Step) -> Seen:
        return {"names": [name for name in await self.admin.list_topics() if not name.startswith("__")]}

    async def _producers_of(self, step: Step) -> Seen:
        found = await self.admin.describe_producers((step["topic"], step.get("partition", 0)))
        return {
            "active": [
                {
                    "producer_epoch": state.producer_epoch,
                    "last_sequence": state.last_sequence,
                    "transaction_start": None if state.current_txn_start_offset < 0 else state.current_txn_start_offset,
                }
                for state in found
            ]
        }


def _shown(value: bytes | None) -> str | None:
    if value is None:
        return None
    return value.decode() if len(value) <= LONGEST_TEXT else f"({len(value)} bytes)"
