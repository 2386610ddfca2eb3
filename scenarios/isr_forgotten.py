"""The leader forgets that it asked for a replica in the ISR; the high watermark passes it, and then it leads."""

from __future__ import annotations

from kafsim.cluster.cluster import Cluster, ClusterShape
from kafsim.cluster.world import Stated
from kafsim.protocol.facts.broker import IsrProposalForgotten, IsrProposed
from kafsim.protocol.facts.fact import DECISION
from kafsim.scenarios import scenario
from kafsim.scenarios.scenario import TOPIC, Given, Scenario

LEADER, FORGOTTEN = 1, 2
LATE_MS = 1_500  # of requests, so that the answer to a proposal may overtake the metadata, asked for later


class Heard:
    """How often an ISR was proposed, and whether one was forgotten."""

    level = DECISION

    def __init__(self) -> None:
        self.proposals = 0
        self.forgotten = False

    def on_fact(self, stated: Stated) -> None:
        self.proposals += isinstance(stated.fact, IsrProposed)
        self.forgotten |= isinstance(stated.fact, IsrProposalForgotten)


async def play(cluster: Cluster, given: Given) -> None:
    heard = Heard()
    cluster.world.listen(heard)
    await scenario.create_topic(cluster, given, min_insync_replicas=1)
    producer = cluster.producer({"linger.ms": 0, **given.producer})
    first, then = scenario.halves(given)
    await scenario.answers(await scenario.send_all(cluster, producer, first))
    cluster.slow_link(LEADER, "controller", extra_ms=LATE_MS)
    cluster.cut(LEADER, FORGOTTEN)
    sent = await scenario.send_all(cluster, producer, then[:1])
    await cluster.until(lambda: heard.proposals >= 1, within=60, what="the leader to ask for a smaller ISR")
    cluster.heal(LEADER, FORGOTTEN)
    begin = cluster.world.clock.now
    while heard.proposals < 2 and cluster.world.clock.now < begin + 60_000_000:
        sent.append(producer.send(TOPIC, "between"))  # so that the follower fetches again
        await cluster.advance(0.05)
    cluster.cut(LEADER, FORGOTTEN)
    await cluster.until(lambda: heard.forgotten, within=60, what="the leader to forget that")
    await scenario.answers([*sent, *await scenario.send_all(cluster, producer, then[1:], every_ms=10)])
    await cluster.until(lambda: FORGOTTEN in cluster.isr((TOPIC, 0)), within=60, what="the larger ISR")
    cluster.kill(LEADER)
    await cluster.until(lambda: cluster.leader((TOPIC, 0)) == FORGOTTEN, within=60, what="the forgotten one to lead")


SCENARIO = Scenario(
    name="isr-forgotten",
    summary="a leader forgets that it asked for a replica in the ISR, as Kafka's may: what that one lacks is lost",
    play=play,
    least_brokers=2,
    expected="lost",
    shape=ClusterShape(
        controllers=3,
        configs={
            "replica.lag.time.max.ms": 500,
        },
        features={"eligible.leader.replicas.version": 0},
    ),
)
