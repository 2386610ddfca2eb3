"""Nobody in sync is left; a replica that lacks records leads, and the old leader throws its own away."""

from __future__ import annotations

from kafsim.cluster.cluster import Cluster
from kafsim.scenarios import scenario
from kafsim.scenarios.scenario import TOPIC, Given, Scenario

BEHIND, AHEAD = 3, 1


async def play(cluster: Cluster, given: Given) -> None:
    await scenario.create_topic(cluster, given, min_insync_replicas=1)
    producer = cluster.producer({"linger.ms": 0, **given.producer})
    first, then = scenario.halves(given)
    await scenario.answers(await scenario.send_all(cluster, producer, first))
    cluster.kill(BEHIND)
    cluster.kill(2)
    await cluster.until(lambda: cluster.isr((TOPIC, 0)) == (AHEAD,), within=60, what="an ISR of the leader alone")
    await scenario.answers(await scenario.send_all(cluster, producer, then))
    cluster.kill(AHEAD)
    await cluster.until(lambda: cluster.leader((TOPIC, 0)) is None, within=60, what="a partition without a leader")
    cluster.restart(BEHIND)
    await cluster.until(lambda: cluster.is_serving(BEHIND), within=60, what=f"broker {BEHIND} to serve")
    await cluster.admin.elect_leader((TOPIC, 0), unclean=True)
    await cluster.until(lambda: cluster.leader((TOPIC, 0)) == BEHIND, within=60, what=f"broker {BEHIND} to lead")
    cluster.restart(AHEAD)
    await cluster.until(lambda: AHEAD in cluster.isr((TOPIC, 0)), within=60, what=f"broker {AHEAD} in the ISR")


SCENARIO = Scenario(
    name="unclean-election",
    summary="an admin lets a replica lead that is not in sync: what it lacks is lost, the old leader truncates",
    play=play,
    least_brokers=3,
    expected="lost",
)
