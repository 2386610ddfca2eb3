"""Plays of ``quorum.play``: voters, observers and what they may lose, each checked by the invariants of the quorum."""

from __future__ import annotations

from pathlib import Path

import pytest

from kafsim import simulate
from kafsim.cluster.cluster import Cluster
from kafsim.controller.raft.quorum_state import Resigned
from tests.controller.quorum_kit import Play, perform, read

PLAYS = read(Path(__file__).parent / "quorum.play")


@pytest.mark.parametrize("play", PLAYS, ids=lambda play: play.name)
def test_play(play: Play) -> None:
    perform(play)


@pytest.mark.parametrize("play", [p for p in PLAYS if any(w[0] == "off" for _, w in p.lines)], ids=lambda p: p.name)
def test_with_all_safeguards_the_same_faults_break_nothing(play: Play) -> None:
    assert perform(play, off=False).broken == []


@pytest.mark.parametrize("seed", range(4))
def test_a_node_that_is_frozen_while_it_leaves_the_quorum_ends_once_it_goes_on(seed: int) -> None:
    """Its time is over by then, and it is asked to do nothing more than to end."""

    async def story(cluster: Cluster) -> None:
        await cluster.advance(2)
        leaving = cluster.select("controller")
        core = cluster.controller_core
        assert core is not None
        cluster.stop("controller")
        await cluster.until(lambda: isinstance(core.raft.quorum.role, Resigned), within=30)
        leaving.pause()
        for node in cluster.nodes:
            if node is not leaving:
                node.kill()
        await cluster.advance(60)
        leaving.resume()
        await cluster.advance(1)
        assert leaving.port is None

    simulate(story, seed=seed, controllers=3, combined=True)
