"""The sets of what may need work against a walk over everything, after every event of plans with faults.

A parked fetch waits for nothing that is there already, and whatever it has not been told is marked. A leader is in the
lagging set if and only if a replica is behind. A follower outside the ISR is looked at with each of its fetches.
"""

from __future__ import annotations

import attrs
import pytest

from kafsim.broker.broker import Broker
from kafsim.broker.fetch_session import FetchSession
from kafsim.broker.partition import Partition
from kafsim.cluster.clock import SimClock
from kafsim.cluster.cluster import Cluster
from kafsim.cluster.node import Node
from kafsim.protocol.types import TopicPartition
from kafsim.scenarios.plan import Load, Plan, Topic
from kafsim.scenarios.planned import begin
from kafsim.scenarios.simulation import Options, run_story, simulate
from kafsim.scenarios.swarm import FAST, plan_of

SMALL = {
    "replica.fetch.response.max.bytes": 200,
    "fetch.max.bytes": 1_024,
    "max.incremental.fetch.session.cache.slots": 4,
}


class Walk:
    """Looks at every broker before each event."""

    def __init__(self) -> None:
        self.cluster: Cluster | None = None
        self.parked = self.lagging = 0

    def on_event(self, clock: SimClock, node: Node, what: str) -> None:
        for broker in self.cluster.brokers if self.cluster is not None else ():
            core = self.cluster.core(broker)
            if core is not None:
                self._check_fetches(core)
                self._check_lagging(core)

    def _check_fetches(self, core: Broker) -> None:
        fetches = core.fetches
        for sessions in fetches._by_connection.values():
            for session in sessions.values():
                results = []
                for key, cached in session.partitions.items():
                    partition = core.replicas.by_key.get(key)
                    assert partition is None or session.number in partition.watchers
                    result = fetches._read_one(session, cached, 1 << 30, at_least_one=True)
                    if result.records or fetches._is_news(result):
                        assert key in session.dirty, f"{partition and partition.name} has news for session {session.id}"
                    results.append(result)
                    if partition is not None and partition.leader is not None and session.is_follower:
                        self._check_outside(session, partition)
                assert not fetches._is_enough(session, session.parked.request, results)
                self.parked += 1

    def _check_outside(self, session: FetchSession, partition: Partition) -> None:
        replica = partition.leader.replicas.get(session.replica_id) if partition.leader is not None else None
        if replica is not None and session.replica_id not in partition.leader.isr.isr:
            key = (partition.topic_id, partition.tp.partition)
            assert key in session.dirty or key in session.outside, f"{partition.name} forgets {session.replica_id}"

    def _check_lagging(self, core: Broker) -> None:
        for key, partition in core.replicas.by_key.items():
            leader, end = partition.leader, partition.log.log_end_offset
            behind = leader is not None and any(r.log_end_offset != end for r in leader.replicas.values())
            assert behind == (key in core.replicas._lagging), partition.name
            self.lagging += behind


def _run(plan: Plan) -> Walk:
    walk = Walk()

    async def story(cluster: Cluster) -> None:
        walk.cluster = cluster
        await begin(cluster, plan)
        reader = cluster.consumer(auto_offset_reset="earliest", fetch_max_bytes=100)
        await reader.assign(TopicPartition(topic.name, n) for topic in plan.topics for n in range(topic.partitions))
        while cluster.world.clock.now < plan.until * 1e6:
            await reader.getmany(timeout_ms=200)

    run_story(story, Options(seed=plan.seed, dispatch="direct", wire="share", recorder=walk))
    return walk


@pytest.mark.parametrize("number", range(12))
def test_plan(number: int) -> None:
    plan = plan_of(number)
    topics = (*plan.topics, Topic(name="more", partitions=6, configs={"min.insync.replicas": 2}))
    loads = (*plan.loads, Load(topic="more", count=60, start=0.1, every_ms=100, settings={"linger.ms": 0}))
    walk = _run(attrs.evolve(plan, topics=topics, loads=loads, configs={**plan.configs, **SMALL}))
    assert walk.parked > 1_000
    assert walk.lagging > 100


@pytest.mark.parametrize("seed", range(3))
def test_followers_that_asked_before_the_leader_knew_its_partition(seed: int) -> None:
    """Their fetches are parked when it comes to know it, and answered by their timeout: nothing is to be read."""
    walk = Walk()
    isrs: dict[str, tuple[int, ...]] = {}

    async def story(cluster: Cluster) -> None:
        walk.cluster = cluster
        await cluster.admin.create_topic("first", partitions=3, replication_factor=3)
        cluster.slow_disk(2, append_ms=200)
        producer = cluster.producer({"linger.ms": 0, "batch.size": 0})
        for number in range(3):
            producer.send("first", b"x", partition=number)
        await cluster.advance(0.35)
        await cluster.admin.create_topic("late", partitions=3, replication_factor=3)
        await cluster.advance(15)
        assert cluster.controller_core is not None
        state = cluster.controller_core.state
        isrs.update({f"{state.topic_names[key[0]]}-{key[1]}": one.isr for key, one in state.partitions.items()})

    simulate(story, seed=seed, configs=FAST, settle=False, recorder=walk)
    assert len(isrs) == 6
    assert [name for name, isr in isrs.items() if len(isr) < 3] == []
