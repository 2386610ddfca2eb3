"""What the stories of consumer groups share: members that poll, whatever else happens."""

from __future__ import annotations

from kafsim.cluster.cluster import Cluster, ClusterShape
from kafsim.cluster.handles import ConsumerHandle
from kafsim.scenarios.scenario import TOPIC, Given

GROUP = "billing"
POLL_MS = 200
SHAPE = ClusterShape(
    configs={
        "offsets.topic.num.partitions": 1,
        "group.initial.rebalance.delay.ms": 500,
        "broker.session.timeout.ms": 3_000,
        "broker.heartbeat.interval.ms": 500,
        "group.consumer.session.timeout.ms": 6_000,
        "group.consumer.min.session.timeout.ms": 6_000,
        "group.consumer.heartbeat.interval.ms": 1_000,
        "group.consumer.min.heartbeat.interval.ms": 1_000,
    }
)
SETTINGS: dict[str, object] = {
    "group.id": GROUP,
    "auto.offset.reset": "earliest",
    "auto.commit.interval.ms": 1_000,
}
CLASSIC = {"session.timeout.ms": 6_000, "heartbeat.interval.ms": 1_000}
"""In a group of the consumer protocol the brokers say these."""


async def join(cluster: Cluster, given: Given, *, every_ms: int = POLL_MS, **settings: object) -> ConsumerHandle:
    """A member that polls to the end of the run, as long as it lives; ``group_instance_id="i1"``."""
    dotted = {name.replace("_", "."): value for name, value in settings.items()} | given.consumer
    of_protocol = {} if str(dotted.get("group.protocol")).lower() == "consumer" else CLASSIC
    member = cluster.consumer({**SETTINGS, **of_protocol, **dotted})
    await member.subscribe([TOPIC])
    keep_polling(cluster, member, every_ms, POLL_MS)
    return member


def keep_polling(
    cluster: Cluster, member: ConsumerHandle, every_ms: int = POLL_MS, timeout_ms: int | None = None
) -> None:
    """One poll after the other, or after a pause for what it read; a process that has ended polls no more."""
    world = cluster.world

    def poll() -> None:
        if member.node.port is not None:
            member.begin_poll(timeout_ms=every_ms if timeout_ms is None else timeout_ms)
            world.at(world.clock.now + every_ms * 1_000, poll, "poll")

    poll()


async def until_stable(cluster: Cluster, *members: ConsumerHandle) -> None:
    """All of them have their assignment, but for those that were killed or refused for good."""
    await cluster.until(
        lambda: all(_is_stable(member) for member in members), within=60, what="the members to have an assignment"
    )


async def leave(member: ConsumerHandle) -> None:
    """Unless it was killed meanwhile."""
    if member.node.port is not None:
        await member.stop()


def _is_stable(member: ConsumerHandle) -> bool:
    if member.node.port is None:
        return True
    group = getattr(member.node.port.core, "group", None)
    assert group is not None, f"{member.node.address} has no group"
    if group.refused_for:
        return True
    return bool(group.is_stable) and group.joined == group.membership.generation
