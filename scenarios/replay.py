"""Performs the steps of a recorded history on a simulated cluster."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from typing import Any

from kafsim.clients.errors import KafkaError
from kafsim.cluster.cluster import Cluster
from kafsim.cluster.errors import Stuck
from kafsim.cluster.handles import ProducerHandle
from kafsim.protocol import errors
from kafsim.protocol.config import ConfigError
from kafsim.protocol.records.batch import OVERHEAD, TRANSACTIONAL, header
from kafsim.protocol.surroundings import EPOCH_MS
from kafsim.protocol.types import TopicPartition
from kafsim.scenarios.comparison import FIELDS, Comparison, Difference, Seen, Step, Unsupported
from kafsim.scenarios.looks import Looks
from kafsim.scenarios.replay_groups import GroupMembers

_PLAIN = {"enable.idempotence": False, "retries": 0, "linger.ms": 0, "request.timeout.ms": 5_000}
_ONCE = {**_PLAIN, "delivery.timeout.ms": 6_000, "reconnect.backoff.max.ms": 500}
_RAW = {
    "PRODUCE": 3,
    "DELETE_RECORDS": 0,
    "LIST_OFFSETS": 1,
    "OFFSET_FOR_LEADER_EPOCH": 2,
    "FETCH": 4,
    "FIND_COORDINATOR": 0,
    "JOIN_GROUP": 2,
    "SYNC_GROUP": 0,
    "HEARTBEAT": 0,
    "LEAVE_GROUP": 0,
    "OFFSET_COMMIT": 2,
    "OFFSET_FETCH": 1,
    "OFFSET_DELETE": 0,
    "DESCRIBE_GROUPS": 0,
    "LIST_GROUPS": 0,
    "DELETE_GROUPS": 0,
    "CONSUMER_GROUP_HEARTBEAT": 0,
    "CONSUMER_GROUP_DESCRIBE": 0,
}
"""The APIs that a step may speak by hand, from this version on."""


class Replay:
    """Performs the steps of one history."""

    def __init__(self, cluster: Cluster, comparison: Comparison) -> None:
        self.cluster = cluster
        self.comparison = comparison
        times = {"request.timeout.ms": 6_000, "default.api.timeout.ms": 15_000}
        self.admin = cluster.new_admin(times)
        self._by_hand = cluster.new_admin({**times, "client.id": "raw"})
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
            "create_partitions": self._create_partitions,
            "elect": self._elect,
            "reassign": self._reassign,
            "delete_records": self._delete_records,
            "alter_configs": self._alter_configs,
            "raw": self._raw,
            "produce": self._produce,
            "producer": self._producer,
            "send": self._send,
            "flush": self._flush,
            "close_producer": self._close_producer,
        }
        groups = GroupMembers(cluster, self.admin)
        self._actions.update(groups.actions)
        self._looks = {**Looks(cluster, self.admin).by_name, **groups.looks}

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
        assignment = {int(index): brokers for index, brokers in step.get("assignment", {}).items()}
        await self.admin.create_topic(
            step["topic"],
            partitions=-1 if assignment else step.get("partitions", -1),
            replication_factor=-1 if assignment else step.get("replication", -1),
            assignment=assignment,
            configs=step.get("configs"),
        )
        return {}

    async def _delete_topic(self, step: Step) -> Seen:
        await self.admin.delete_topic(step["topic"])
        return {}

    async def _create_partitions(self, step: Step) -> Seen:
        await self.admin.create_partitions(step["topic"], step["count"], step.get("assignments") or None)
        return {}

    async def _elect(self, step: Step) -> Seen:
        unclean = step["kind"] == "unclean"
        if "topic" in step:
            await self.admin.elect_leader((step["topic"], step["partition"]), unclean=unclean)
        else:
            await self.admin.elect_leaders(unclean=unclean)
        return {}

    async def _reassign(self, step: Step) -> Seen:
        try:
            await self.admin.reassign((step["topic"], step["partition"]), step["replicas"])
        except ValueError:
            return {"error": "IllegalArgumentException"}
        return {}

    async def _delete_records(self, step: Step) -> Seen:
        tp = TopicPartition(step["topic"], step.get("partition", 0))
        if self.cluster.partition(tp) is None:
            raise KafkaError(errors.UNKNOWN_TOPIC_OR_PARTITION)
        return {"low_watermark": await self.admin.delete_records(tp, step["offset"])}

    async def _alter_configs(self, step: Step) -> Seen:
        type_ = step.get("type", "topic")
        if type_ not in ("topic", "broker"):
            raise Unsupported(f"alter_configs of a {type_}")
        if type_ == "broker" and step["name"] and not step["name"].isdigit():
            return {"error": "NumberFormatException"}
        await self.admin.alter_configs(type_, step["name"], set=step.get("set"), delete=step.get("delete", ()))
        return {}

    async def _raw(self, step: Step) -> Seen:
        api, version = step["api"], step["version"]
        if api not in _RAW or version < _RAW[api]:
            raise Unsupported(f"raw {api} version {version}")
        if api == "PRODUCE" and step["body"]["transactionalId"] is not None and _is_transactional(step["body"]):
            raise Unsupported("raw PRODUCE in a transaction")
        try:
            seen = await self._by_hand.raw(step["node"], api, version, step["body"])
        except KafkaError as error:
            return {"error": "SocketTimeoutException" if error.name == "REQUEST_TIMED_OUT" else error.name}
        if api == "FETCH":
            _leave_records_out(seen)
        return seen

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


def _leave_records_out(fetched: Seen) -> None:
    """As the recordings do."""
    for topic in fetched["responses"]:
        for partition in topic["partitions"]:
            partition["records"] = ""


def _is_transactional(produce: Step) -> bool:
    given = [data["records"] for topic in produce["topicData"] for data in topic["partitionData"]]
    decoded = [base64.b64decode(records) for records in given if records]
    return any(len(data) >= OVERHEAD and header(data).attributes & TRANSACTIONAL for data in decoded)


def _results(outcomes: list[Seen]) -> Seen:
    """As the recordings have it: offsets when all is well, one error when all have it, otherwise each."""
    if all("offset" in outcome for outcome in outcomes):
        return {"offsets": [outcome["offset"] for outcome in outcomes]}
    if len({outcome.get("error") for outcome in outcomes}) == 1:
        return {"error": outcomes[0]["error"], "records": len(outcomes)}
    return {"results": outcomes}
