"""Recorded histories of a real Apache Kafka, replayed on a simulated cluster and compared.

A history is a list of steps: something done, or a look at the state with what was seen. Timings are never compared.
A step that is not built is reported as unsupported, by name, and ends its history.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import attrs

from kafsim.clients.errors import KafkaError
from kafsim.cluster.cluster import CONTROLLER_ID, Cluster, ClusterShape
from kafsim.cluster.errors import Stuck
from kafsim.cluster.handles import ProducerHandle
from kafsim.controller.metadata_state import RECOVERING
from kafsim.protocol import errors
from kafsim.protocol.config import BROKER, ConfigError
from kafsim.protocol.records import batch as batches
from kafsim.protocol.records.record import decode_batch
from kafsim.protocol.surroundings import EPOCH_MS
from kafsim.protocol.types import TopicPartition
from kafsim.scenarios.simulation import Options, run_story

Step = dict[str, Any]
Seen = dict[str, Any]

FIELDS = {
    "partition": (
        "leader",
        "leader_epoch",
        "partition_epoch",
        "replicas",
        "isr",
        "elr",
        "last_known_elr",
        "adding",
        "removing",
        "recovery",
    ),
    "log": ("records", "error"),
    "replica_log": ("records",),
    "end_offsets": ("start", "end", "last_stable", "at_timestamp", "error"),
    "broker": ("fenced", "in_controlled_shutdown"),
    "topics": ("names", "error"),
    "producers": ("active", "error"),
    "isr": ("isr",),
}
"""What a look may state; everything else in its step says where to look."""

_PLAIN = {"enable.idempotence": False, "retries": 0, "linger.ms": 0, "request.timeout.ms": 5_000}
_ONCE = {**_PLAIN, "delivery.timeout.ms": 6_000, "reconnect.backoff.max.ms": 500}
_READER = {"auto.offset.reset": "earliest", "default.api.timeout.ms": 8_000, "request.timeout.ms": 5_000}
LONGEST_TEXT = 40

INTERNAL_ASSIGNMENT = {0: (1, 2, 3), 1: (2, 3, 1), 2: (3, 1, 2), 3: (1, 3, 2), 4: (2, 1, 3)}
INTERNAL_TOPICS = {
    "__consumer_offsets": {
        "cleanup.policy": "compact",
        "compression.type": "producer",
        "segment.bytes": 104_857_600,
    },
    "__transaction_state": {
        "cleanup.policy": "compact",
        "compression.type": "uncompressed",
        "min.insync.replicas": 2,
        "unclean.leader.election.enable": False,
        "segment.bytes": 104_857_600,
    },
}


class HistoryError(ValueError):
    """A file that is no history."""


class Unsupported(Exception):
    """A step, or a cluster, that is not built."""


@attrs.frozen
class Difference:
    """One field that is not as it was seen on the real cluster."""

    step: int
    what: str
    field: str
    ours: Any
    kafka: Any

    def __str__(self) -> str:
        ours, kafka = json.dumps(self.ours), json.dumps(self.kafka)
        return f"step {self.step} ({self.what}): {self.field} is {ours}, Kafka has {kafka}"


@attrs.define
class Comparison:
    """``unsupported``: what ended the replay, if something did; ``checked``: how many fields were compared."""

    name: str
    steps: int = 0
    checked: int = 0
    differences: list[Difference] = attrs.field(factory=list)
    unsupported: str | None = None


def read(path: Path) -> dict[str, Any]:
    """A history file; HistoryError when it is none."""
    try:
        history = json.loads(path.read_text())
    except ValueError as error:
        raise HistoryError(f"{path} is not JSON: {error}") from None
    if not isinstance(history, dict) or not {"name", "cluster", "steps"} <= set(history):
        raise HistoryError(f"{path} is not a history: it needs name, cluster and steps")
    return history


def compare(history: dict[str, Any], *, seed: int = 0) -> Comparison:
    """Replay a history and compare what it expects."""
    comparison = Comparison(history["name"])
    try:
        shape = _shape(history["cluster"])
    except Unsupported as error:
        comparison.unsupported = str(error)
        return comparison

    async def story(cluster: Cluster) -> None:
        replay = Replay(cluster, comparison)
        if history["cluster"].get("internal_topics"):
            await _make_internal_topics(cluster)
        try:
            for number, step in enumerate(history["steps"]):
                await replay.step(number, step)
        except Unsupported as error:
            comparison.unsupported = str(error)

    run_story(story, Options(seed=seed, shape=shape, settle=False, dispatch="direct", wire="share"))
    return comparison


async def _make_internal_topics(cluster: Cluster) -> None:
    """As the recorder made them before its first step."""
    for topic, configs in INTERNAL_TOPICS.items():
        await cluster.admin.create_topic(topic, assignment=INTERNAL_ASSIGNMENT, configs=configs)
    await cluster.advance(1)


def _shape(cluster: dict[str, Any]) -> ClusterShape:
    if not cluster.get("controllers"):
        raise Unsupported("cluster: a quorum of more than one voter, on combined nodes")
    if cluster["controllers"] != [CONTROLLER_ID]:
        raise Unsupported(f"cluster: controllers {cluster['controllers']}")
    configs: dict[str, object] = {}
    for name, value in cluster.get("settings", {}).items():
        if name not in BROKER:
            raise Unsupported(f"cluster: setting {name}")
        configs[name] = value
    return ClusterShape(brokers=cluster["nodes"], configs=configs, features=cluster.get("features", {}))


class Replay:
    """Performs the steps of one history."""

    def __init__(self, cluster: Cluster, comparison: Comparison) -> None:
        self.cluster = cluster
        self.comparison = comparison
        self._producers: dict[str, ProducerHandle] = {}
        self._pending: dict[str, list[Awaitable[Any]]] = {}
        self._actions: dict[str, Callable[[Step], Awaitable[Seen]]] = {
            "settle": self._settle,
            "await": self._await,
            "kill": self._fault,
            "pause": self._fault,
            "resume": self._fault,
            "restart": self._restart,
            "term": self._term,
            "create_topic": self._create_topic,
            "delete_topic": self._delete_topic,
            "alter_configs": self._alter_configs,
            "produce": self._produce,
            "producer": self._producer,
            "send": self._send,
            "flush": self._flush,
            "close_producer": self._close_producer,
        }
        self._looks: dict[str, Callable[[Step], Awaitable[Seen]]] = {
            "partition": self._partition,
            "isr": self._partition,
            "log": self._log,
            "replica_log": self._replica_log,
            "end_offsets": self._end_offsets,
            "broker": self._broker,
            "topics": self._topics,
            "producers": self._producers_of,
        }

    async def step(self, number: int, step: Step) -> None:
        does = "do" in step
        what = step["do"] if does else f"expect {step['expect']}"
        handlers = self._actions if does else self._looks
        handler = handlers.get(step["do"] if does else step["expect"])
        if handler is None:
            raise Unsupported(f"step {number}: {what}")
        began = self.cluster.world.clock.now
        self.cluster.bootstrap = [
            id_ for id_, node in self.cluster.brokers.items() if node.port is not None and not node.paused
        ]
        self.cluster.bootstrap = self.cluster.bootstrap or list(self.cluster.brokers)
        try:
            seen = await handler(step)
        except KafkaError as error:
            seen = {"error": error.name}
        await self._take_as_long(step, began)
        self.comparison.steps += 1
        expected = step.get("expect", {}) if does else {k: step[k] for k in FIELDS[step["expect"]] if k in step}
        for field, value in expected.items():
            self.comparison.checked += 1
            if seen.get(field) != value:
                self.comparison.differences.append(Difference(number, what, field, seen.get(field), value))

    async def _take_as_long(self, step: Step, began: int) -> None:
        """What runs on a timer beside the steps (retention) has its turn as often as it had in the recording."""
        seconds = step.get("observed", {}).get("seconds", 0)
        taken = [one for one in seconds if one is not None] if isinstance(seconds, list) else [seconds]
        least = min(taken, default=0)
        rest = least - (self.cluster.world.clock.now - began) / 1_000_000
        if rest > 0:
            await self.cluster.advance(rest)

    # ----------------------------------------------------------------------------- actions

    async def _settle(self, step: Step) -> Seen:
        await self.cluster.advance(step["seconds"])
        return {}

    async def _await(self, step: Step) -> Seen:
        try:
            await self.cluster.until(lambda: self._reached(step), within=step.get("timeout", 60), what="a state")
        except Stuck:
            return {"reached": False}
        return {"reached": True}

    def _reached(self, step: Step) -> bool:
        if "broker" in step:
            core = self.cluster.controller_core
            broker = None if core is None else core.state.brokers.get(step["broker"])
            return broker is not None and broker.fenced == step["fenced"]
        if "group" in step:
            raise Unsupported("await group")
        state = self.cluster.partition((step["topic"], step.get("partition", 0)))
        if state is None:
            return False
        seen = {"leader": state.leader, "isr": sorted(state.isr)}
        same = all(seen[key] == step[key] for key in seen if key in step)
        return same and all(seen[key] != value for key, value in step.get("not", {}).items())

    async def _fault(self, step: Step) -> Seen:
        if step["node"] == "controller":
            raise Unsupported(f"{step['do']} the active controller")
        getattr(self.cluster, step["do"])(step["node"])
        return {}

    async def _restart(self, step: Step) -> Seen:
        self.cluster.restart(step["node"])
        return {}

    async def _term(self, step: Step) -> Seen:
        node = self.cluster.select(step["node"])
        self.cluster.stop(step["node"])
        await self.cluster.until(lambda: node.port is None, within=60, what="a broker to end")
        return {}

    async def _create_topic(self, step: Step) -> Seen:
        if "compact" in str(step.get("configs", {}).get("cleanup.policy", "")):
            raise Unsupported("create_topic with cleanup.policy=compact")
        assignment = {int(index): brokers for index, brokers in step.get("assignment", {}).items()}
        await self.cluster.admin.create_topic(
            step["topic"],
            partitions=-1 if assignment else step.get("partitions", -1),
            replication_factor=-1 if assignment else step.get("replication", -1),
            assignment=assignment,
            configs=step.get("configs"),
        )
        return {}

    async def _delete_topic(self, step: Step) -> Seen:
        await self.cluster.admin.delete_topic(step["topic"])
        return {}

    async def _alter_configs(self, step: Step) -> Seen:
        type_ = step.get("type", "topic")
        if type_ not in ("topic", "broker"):
            raise Unsupported(f"alter_configs of a {type_}")
        await self.cluster.admin.alter_configs(type_, step["name"], set=step.get("set"), delete=step.get("delete", ()))
        return {}

    # --------------------------------------------------------------------------- producers

    async def _produce(self, step: Step) -> Seen:
        """Without retries and idempotence, one record in a request: the first error shows."""
        settings = {**_ONCE, "acks": step.get("acks", "all"), "max.block.ms": step.get("max_block_ms", 6_000)}
        producer = self.cluster.producer({**settings, **step.get("config", {})})
        return _results([await self._outcome(self._record(producer, step, value)) for value in step["records"]])

    async def _producer(self, step: Step) -> Seen:
        config = step.get("config", {})
        if "transactional.id" in config:
            raise Unsupported("producer with a transactional.id")
        try:
            settings = {"linger.ms": 0, "reconnect.backoff.max.ms": 500, **config}
            self._producers[step["id"]] = self.cluster.producer(settings)
        except ConfigError as error:
            raise Unsupported(f"producer: {error}") from None
        return {}

    async def _send(self, step: Step) -> Seen:
        producer = self._producers[step["id"]]
        if step.get("wait", True):
            return _results([await self._outcome(self._record(producer, step, v)) for v in step["records"]])
        sent = [self._record(producer, step, value) for value in step["records"]]
        self._pending.setdefault(step["id"], []).extend(sent)
        return {"ok": True}

    async def _flush(self, step: Step) -> Seen:
        pending = self._pending.pop(step["id"], [])
        return _results([await self._outcome(one) for one in pending])

    async def _close_producer(self, step: Step) -> Seen:
        await self._producers.pop(step["id"]).stop()
        return {}

    def _record(self, producer: ProducerHandle, step: Step, value: Any) -> Awaitable[Any]:
        given = value if isinstance(value, dict) else {"value": value}
        text = "x" * given["size"] if "size" in given else given.get("value")
        timestamp = given.get("timestamp")
        if "timestamp_ago" in given:
            timestamp = EPOCH_MS + self.cluster.world.clock.now // 1_000 - given["timestamp_ago"]
        partition = step.get("partition")
        return producer.send(step["topic"], text, key=given.get("key"), partition=partition, timestamp_ms=timestamp)

    async def _outcome(self, pending: Awaitable[Any]) -> Seen:
        try:
            return {"offset": (await pending).offset}
        except KafkaError as error:
            return {"error": error.name}

    # ------------------------------------------------------------------------------- looks

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
            seen["at_timestamp"] = (await reader.offsets_for_time([tp], step["timestamp"]))[tp]
        return seen

    async def _broker(self, step: Step) -> Seen:
        core = self.cluster.controller_core
        assert core is not None, "the controller runs"
        state = core.state.brokers[step["node"]]
        return {"fenced": state.fenced, "in_controlled_shutdown": state.in_controlled_shutdown}

    async def _topics(self, _: Step) -> Seen:
        return {"names": [name for name in await self.cluster.admin.list_topics() if not name.startswith("__")]}

    async def _producers_of(self, step: Step) -> Seen:
        found = await self.cluster.admin.describe_producers((step["topic"], step.get("partition", 0)))
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


def _results(outcomes: list[Seen]) -> Seen:
    """As the recordings have it: offsets when all is well, one error when all have it, otherwise each."""
    if all("offset" in outcome for outcome in outcomes):
        return {"offsets": [outcome["offset"] for outcome in outcomes]}
    if len({outcome.get("error") for outcome in outcomes}) == 1:
        return {"error": outcomes[0]["error"], "records": len(outcomes)}
    return {"results": outcomes}


def _shown(value: bytes | None) -> str | None:
    if value is None:
        return None
    return value.decode() if len(value) <= LONGEST_TEXT else f"({len(value)} bytes)"
