"""A partition moves to other brokers under load: they join the ISR first, then the old ones go."""

from __future__ import annotations

from kafsim.cluster.cluster import Cluster, ClusterShape
from kafsim.scenarios import scenario
from kafsim.scenarios.scenario import TOPIC, Given, Scenario


async def play(cluster: Cluster, given: Given) -> None:
    await scenario.create_topic(cluster, given, min_insync_replicas=2)
    producer = cluster.producer({"linger.ms": 0, **given.producer})
    first, then = scenario.halves(given)
    sent = await scenario.send_all(cluster, producer, first)
    await cluster.admin.reassign((TOPIC, 0), (4, 5, 3))
    sent += await scenario.send_all(cluster, producer, then)
    await scenario.answers(sent)
    await cluster.until(lambda: _replicas(cluster) == (4, 5, 3), within=120, what="the end of the reassignment")
    assert cluster.replica((TOPIC, 0), 1) is None


def _replicas(cluster: Cluster) -> tuple[int, ...]:
    state = cluster.partition((TOPIC, 0))
    return () if state is None or state.adding or state.removing else state.replicas


SCENARIO = Scenario(
    name="reassignment",
    summary="a partition moves from brokers 1, 2, 3 to 4, 5, 3 under load: leadership follows, nothing is lost",
    play=play,
    records=60,
    shape=ClusterShape(brokers=5),
)
