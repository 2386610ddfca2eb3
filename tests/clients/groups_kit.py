"""What tests of consumers in groups share: short timeouts, listeners, polls put on the clock."""

from __future__ import annotations

from typing import Any

from kafsim import simulate
from kafsim.clients.extensions import RebalanceListener
from kafsim.cluster.cluster import Cluster
from kafsim.cluster.handles import ConsumerHandle
from kafsim.cluster.world import Stated
from kafsim.protocol.facts import client as cf
from kafsim.protocol.facts.fact import CHATTER, STATE
from kafsim.protocol.facts.world import MessageSent
from kafsim.protocol.types import TopicPartition

FEW = {"offsets.topic.num.partitions": 2, "group.initial.rebalance.delay.ms": 0, "broker.session.timeout.ms": 3_000}
MEMBER = {
    "group.id": "g",
    "auto.offset.reset": "earliest",
    "session.timeout.ms": 6_000,
    "heartbeat.interval.ms": 500,
    "enable.auto.commit": False,
    "metadata.max.age.ms": 2_000,
}


class Heard:
    """All facts, and which records each consumer has read."""

    level = STATE

    def __init__(self) -> None:
        self.facts: list[tuple[str, Any]] = []

    def on_fact(self, stated: Stated) -> None:
        self.facts.append((str(stated.node), stated.fact))

    def of(self, cls: type, node: str | None = None) -> list[Any]:
        return [fact for name, fact in self.facts if isinstance(fact, cls) and node in (None, name)]

    def read_by(self, node: str) -> list[tuple[int, int]]:
        return [(fact.partition, fact.offset) for fact in self.of(cf.RecordRead, node)]


class Noted(RebalanceListener):
    def __init__(self) -> None:
        self.events: list[tuple[str, list[int]]] = []

    def on_partitions_assigned(self, partitions: tuple[TopicPartition, ...]) -> None:
        self.events.append(("assigned", [tp.partition for tp in partitions]))

    def on_partitions_revoked(self, partitions: tuple[TopicPartition, ...]) -> None:
        self.events.append(("revoked", [tp.partition for tp in partitions]))

    def on_partitions_lost(self, partitions: tuple[TopicPartition, ...]) -> None:
        self.events.append(("lost", [tp.partition for tp in partitions]))


def keep_polling(cluster: Cluster, consumer: ConsumerHandle, seconds: float, every_ms: int = 200) -> None:
    """Polls are put on the clock; they do not hold up the story."""
    start = cluster.world.clock.now
    for at in range(start, start + round(seconds * 1_000_000), every_ms * 1_000):
        cluster.world.at(at, lambda: consumer.begin_poll(timeout_ms=every_ms) if consumer.node.port else None, "poll")


async def owned(*consumers: ConsumerHandle) -> list[list[int]]:
    return [[tp.partition for tp in await consumer.assignment()] for consumer in consumers]


def run(story: Any, *, settle: bool = True, **configs: object) -> Heard:
    heard = Heard()
    done = simulate(story, configs={**FEW, **configs}, listeners=(heard,), settle=settle)
    assert done.ok, done.verdict
    return heard


class Messages:
    """Which requests and answers were sent, and when (µs)."""

    level = CHATTER

    def __init__(self) -> None:
        self.sent: list[tuple[int, str, str]] = []

    def on_fact(self, stated: Stated) -> None:
        if isinstance(stated.fact, MessageSent):
            self.sent.append((stated.time, str(stated.node), stated.fact.what))

    def count(self, node: str, what: str) -> int:
        return sum(1 for _, name, one in self.sent if (name, one) == (node, what))
