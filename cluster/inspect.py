"""What a recorded run shows of the cluster at one of its facts: topics as kafka-topics has them, logs, violations."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from kafsim.cluster.ghosts import METADATA, Ghosts
from kafsim.cluster.invariants import Monitor, Violation
from kafsim.cluster.trace import Fact, Trace
from kafsim.cluster.world import Stated
from kafsim.protocol.facts import controller as cf
from kafsim.protocol.types import Address, EventNumber, Micros


def stated(fact: Fact) -> Stated:
    """A recorded fact as listeners get it."""
    role, _, number = fact.node.rpartition("-")
    cluster, _, role = role.rpartition("/")
    return Stated(
        event=EventNumber(fact.event),
        time=Micros(fact.time),
        node=Address(cluster, role, int(number) if number.isdigit() else 0),
        fact=fact.fact,
        causes=fact.causes,
    )


@attrs.define
class TopicView:
    """A topic and its partitions by index."""

    name: str
    topic_id: str = ""
    partitions: dict[int, cf.PartitionRegistered] = attrs.field(factory=dict)


class View:
    """The state after some facts of a trace."""

    def __init__(self, trace: Trace, upto: int | None = None) -> None:
        self.ghosts = Ghosts()
        self.topics: dict[str, TopicView] = {}
        for fact in trace.facts[: None if upto is None else upto + 1]:
            self.ghosts.take(stated(fact))
            self._take(fact)

    def _take(self, fact: Fact) -> None:
        match fact.fact:
            case cf.TopicRegistered(topic=name, topic_id=topic_id):
                self.topics.setdefault(name, TopicView(name)).topic_id = topic_id
            case cf.TopicRemoved(topic=name):
                self.topics.pop(name, None)
            case cf.PartitionRegistered(topic=name):
                self.topics.setdefault(name, TopicView(name)).partitions[fact.fact.partition] = fact.fact

    def describe(self) -> Iterator[str]:
        """The lines of ``kafka-topics --describe`` (Kafka: ``TopicCommand``); of the configs only what facts tell."""
        for _, topic in sorted(self.topics.items()):
            states = topic.partitions
            factor = max((len(state.replicas) for state in states.values()), default=0)
            min_isr = max((state.min_isr for state in states.values()), default=1)
            yield (
                f"Topic: {topic.name}\tTopicId: {topic.topic_id}\tPartitionCount: {len(states)}"
                f"\tReplicationFactor: {factor}\tConfigs: min.insync.replicas={min_isr}"
            )
            for index, state in sorted(states.items()):
                leader = "none" if state.leader < 0 else state.leader
                yield (
                    f"\tTopic: {topic.name}\tPartition: {index}\tLeader: {leader}\tReplicas: {_ids(state.replicas)}"
                    f"\tIsr: {_ids(state.isr)}\tElr: {_ids(state.elr)}\tLastKnownElr: {_ids(state.last_known_elr)}"
                )

    def log(self, node: str) -> Iterator[str]:
        """The batches of every log on a broker, and where each log begins and ends."""
        for name, partition in sorted({METADATA: self.ghosts.metadata, **self.ghosts.partitions}.items()):
            log = partition.logs.get(node)
            if log is None:
                continue
            yield f"{name}: start {log.start}, end {log.end}, high watermark {log.high_watermark}"
            for batch in log.batches:
                state = "committed" if batch.last < log.high_watermark else "not known to be committed"
                yield f"  offsets {batch.base}..{batch.last} leader epoch {batch.epoch} crc {batch.crc:08x} {state}"

    def nodes_with_logs(self) -> list[str]:
        partitions = (self.ghosts.metadata, *self.ghosts.partitions.values())
        return sorted({node for partition in partitions for node in partition.logs})


def check(trace: Trace) -> list[Violation]:
    """The violations of all invariants in a recorded run."""
    monitor = Monitor()
    for fact in trace.facts:
        monitor.on_fact(stated(fact))
    return monitor.violations


def _ids(ids: tuple[int, ...]) -> str:
    return ",".join(map(str, ids))
