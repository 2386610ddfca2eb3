"""Unavailable time: from the death of a leader to the moment somebody serves again."""

from __future__ import annotations

from kafsim import simulate
from kafsim.cluster.cluster import Cluster


def _unavailable(story) -> float:
    run = simulate(story, configs={"broker.session.timeout.ms": 6_000})
    assert run.ok
    return run.unavailable["t-0"]


def test_a_leader_that_comes_back_unregistered_serves_nobody() -> None:
    """Its session has to end before it may register again; meanwhile it believes to lead and closes connections."""

    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", assignment={0: (1, 2, 3)})
        cluster.kill(1)
        await cluster.advance(0.1)
        cluster.restart(1)
        await cluster.until(lambda: cluster.leader("t-0") == 2)

    assert 5 < _unavailable(story) < 8


def test_a_paused_leader_serves_nobody() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", assignment={0: (1, 2, 3)})
        cluster.pause(1)
        await cluster.advance(2)
        cluster.resume(1)
        await cluster.advance(2)

    assert round(_unavailable(story), 1) == 2.0


def test_a_follower_that_dies_takes_nothing_away() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", assignment={0: (1, 2, 3)})
        cluster.kill(2)
        await cluster.advance(2)

    assert _unavailable(story) == 0
