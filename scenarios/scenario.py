"""A scenario: a story with a name, the cluster it needs, and what should come of it.

A story sends the records it is given, one after the other, and does something to the cluster meanwhile. What a user
adds (records, settings, faults) comes in as :class:`Given`, so that every story takes it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import attrs

from kafsim.cluster.aimed import FactTrigger
from kafsim.cluster.cluster import Cluster, ClusterShape
from kafsim.cluster.handles import Pending, ProducerHandle
from kafsim.scenarios import planned
from kafsim.scenarios.operation import Operation
from kafsim.scenarios.simulation import outcome

TOPIC = "orders"
Record = tuple[str | None, str]
"""Key and value."""


@attrs.frozen(kw_only=True)
class Given:
    """The settings are added to those of the story and win over them."""

    records: tuple[Record, ...] = ()
    producer: dict[str, object] = attrs.field(factory=dict)
    consumer: dict[str, object] = attrs.field(factory=dict)
    topic: dict[str, object] = attrs.field(factory=dict)
    operations: tuple[Operation, ...] = ()


def is_expected(verdict: str, expected: str) -> bool:
    return verdict == expected or (expected == "violated" and verdict.startswith("violated "))


Play = Callable[[Cluster, Given], Awaitable[None]]


@attrs.frozen(kw_only=True)
class Scenario:
    """``expected``: the verdict when nothing is changed, ``violated`` for that of any invariant.

    ``records``: how many it sends of its own. ``has_consumers``: but for the one that reads everything at the end.
    ``least_brokers``: it names so many, or needs them for what it shows.
    """

    name: str
    summary: str
    play: Play
    expected: str = "ok"
    records: int = 20
    has_consumers: bool = False
    least_brokers: int = 1
    shape: ClusterShape = attrs.field(factory=ClusterShape)

    def given(self, given: Given) -> Given:
        """With records of its own when the user brought none."""
        if given.records:
            return given
        return attrs.evolve(given, records=tuple((None, f"order {number}") for number in range(1, self.records + 1)))


async def create_topic(cluster: Cluster, given: Given, *, partitions: int = 1, **configs: object) -> None:
    """The story's topic on three replicas, its leaders spread from broker 1; ``min_insync_replicas=2``."""
    assignment = {index: _rotated(list(cluster.brokers), index)[:3] for index in range(partitions)}
    dotted: dict[str, object] = {name.replace("_", "."): value for name, value in configs.items()}
    await cluster.admin.create_topic(TOPIC, assignment=assignment, configs={**dotted, **given.topic})


def _rotated(brokers: list[int], by: int) -> list[int]:
    by %= len(brokers)
    return brokers[by:] + brokers[:by]


def schedule(cluster: Cluster, given: Given) -> list[FactTrigger]:
    """The faults that a user asked for, each at its time after the cluster is ready; those aimed at facts."""
    begin = cluster.world.clock.now
    return [
        trigger
        for operation in given.operations
        for trigger in planned.schedule(cluster, operation, begin, "asked for")
    ]


async def send_all(
    cluster: Cluster,
    producer: ProducerHandle,
    records: tuple[Record, ...],
    *,
    every_ms: float = 20,
    partition: int | None = None,
) -> list[Pending]:
    """An open loop: one record every so often, whether or not the earlier ones are answered."""
    sent = []
    for key, value in records:
        sent.append(producer.send(TOPIC, value, key=key, partition=partition))
        await cluster.advance(every_ms / 1_000)
    return sent


async def answers(sent: list[Pending]) -> None:
    """Wait until every send is answered, well or badly."""
    for pending in sent:
        await outcome(pending)


async def has_ended(cluster: Cluster, node: int) -> None:
    """Wait until a node that was asked to stop has ended."""
    stopping = cluster.select(node)
    await cluster.until(lambda: stopping.port is None, within=60, what=f"node {node} to end")


def halves(given: Given) -> tuple[tuple[Record, ...], tuple[Record, ...]]:
    middle = (len(given.records) + 1) // 2
    return given.records[:middle], given.records[middle:]
