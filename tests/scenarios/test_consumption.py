"""Unread time of a partition in a group: from when its reader is gone or stands still until somebody reads it."""

from __future__ import annotations

from kafsim import simulate
from kafsim.cluster.cluster import Cluster
from kafsim.cluster.handles import ConsumerHandle
from kafsim.scenarios.simulation import Run
from tests.clients.groups_kit import keep_polling

MEMBER = {"group.id": "g", "auto.offset.reset": "earliest", "session.timeout.ms": 6_000}


async def joined(cluster: Cluster) -> ConsumerHandle:
    await cluster.admin.create_topic("t")
    member = cluster.consumer(MEMBER)
    await member.subscribe(["t"])
    keep_polling(cluster, member, 60)
    await cluster.advance(5)
    return member


def run(story) -> Run:
    done = simulate(story, configs={"group.initial.rebalance.delay.ms": 0})
    assert done.ok
    return done


def test_a_member_that_is_paused_and_goes_on_reads_again() -> None:
    async def story(cluster: Cluster) -> None:
        member = await joined(cluster)
        member.node.pause()
        await cluster.advance(3)
        member.node.resume()
        await cluster.advance(3)

    done = run(story)
    assert done.unread == {"g": {"t-0": 3.0}}
    assert done.abandoned == {}


def test_what_nobody_takes_from_a_dead_member_is_abandoned() -> None:
    async def story(cluster: Cluster) -> None:
        (await joined(cluster)).kill()
        await cluster.advance(10)

    assert run(story).abandoned == {"g": ("t-0",)}


def test_a_group_that_all_have_left_has_nothing_to_read() -> None:
    async def story(cluster: Cluster) -> None:
        await (await joined(cluster)).stop()
        await cluster.advance(3)

    assert run(story).abandoned == {}
