"""Recorded histories of a real Apache Kafka, replayed on a simulated cluster and compared.

A history is a list of steps: something done, or a look at the state with what was seen. Timings are never compared.
A step that is not built is reported as unsupported, by name, and ends its history.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kafsim.cluster.cluster import Cluster, ClusterShape
from kafsim.cluster.processes import FIRST_CONTROLLER
from kafsim.cluster.world import Stated
from kafsim.controller.config_control import MIN_ISR
from kafsim.controller.metadata_state import ELR_FEATURE
from kafsim.protocol.config import BROKER
from kafsim.protocol.facts.fact import DECISION
from kafsim.protocol.facts.quorum import QuorumRoleChanged
from kafsim.scenarios.comparison import Comparison, Unsupported
from kafsim.scenarios.replay import Replay
from kafsim.scenarios.simulation import Options, run_story

INTERNAL_ASSIGNMENT = {0: (1, 2, 3), 1: (2, 3, 1), 2: (3, 1, 2), 3: (1, 3, 2), 4: (2, 1, 3)}
INTERNAL_TOPICS = {
    "__consumer_offsets": {
        "cleanup.policy": "compact",
        "compression.type": "producer",
        "segment.bytes": 104_857_600,
    },
    "__transaction_state": {
        "cleanup.policy": "compact",
        "compression.type": "uncompressed",
        "min.insync.replicas": 2,
        "unclean.leader.election.enable": False,
        "segment.bytes": 104_857_600,
    },
}


OF_ALL = {"offsets.topic.num.partitions": 5, "group.initial.rebalance.delay.ms": 0}
"""Settings that all recorded clusters have."""


class HistoryError(ValueError):
    """A file that is no history."""


def read(path: Path) -> dict[str, Any]:
    """A history file; HistoryError when it is none."""
    try:
        history = json.loads(path.read_text())
    except ValueError as error:
        raise HistoryError(f"{path} is not JSON: {error}") from None
    if not isinstance(history, dict) or not {"name", "cluster", "steps"} <= set(history):
        raise HistoryError(f"{path} is not a history: it needs name, cluster and steps")
    return history


def compare(history: dict[str, Any], *, seed: int = 0) -> Comparison:
    """Replay a history and compare what it expects.

    Which controller is active first, and whether votes split in an election, falls by lot here as it does in Kafka (a
    real quorum of three split its votes in 9 of 36 elections, measured). A history that begins with a certain active
    controller, or counts epochs of the quorum, is replayed with the next seeds until the lot fits. So is one whose
    groups are assigned in the order of ids that their members have drawn.
    """
    try:
        shape = _shape(history["cluster"])
    except Unsupported as error:
        return Comparison(history["name"], unsupported=str(error))
    wanted = history["cluster"].get("active_controller")
    comparison = Comparison(history["name"])
    for lot in range(seed, seed + LOTS):
        splits = _SplitVotes()
        try:
            comparison = _replay(history, shape, lot, splits)
        except _AnotherController:
            continue
        by_lot = _draws_order(history) or (wanted is not None and splits.count)
        if not by_lot or not comparison.differences:
            break
    return comparison


LOTS = 40


def _draws_order(history: dict[str, Any]) -> bool:
    """The assignor "range" of the consumer protocol sorts by member ids, which are drawn."""
    asked = {"do": "consumer", "protocol": "consumer", "assignor": "range"}
    return any(asked.items() <= step.items() for step in history["steps"])


class _AnotherController(Exception):
    """Not the one that is active when the history begins."""


class _SplitVotes:
    """Counts elections that nobody won."""

    level = DECISION

    def __init__(self) -> None:
        self.count = 0

    def on_fact(self, stated: Stated) -> None:
        fact = stated.fact
        if isinstance(fact, QuorumRoleChanged):
            self.count += fact.was == "Candidate" and fact.role == "Prospective"


def _replay(history: dict[str, Any], shape: ClusterShape, seed: int, splits: _SplitVotes) -> Comparison:
    comparison = Comparison(history["name"])
    wanted = history["cluster"].get("active_controller")

    async def story(cluster: Cluster) -> None:
        if wanted is not None and cluster.active_controller != wanted:
            raise _AnotherController
        replay = Replay(cluster, comparison)
        await _prepare(cluster, history["cluster"])
        try:
            for number, step in enumerate(history["steps"]):
                await replay.step(number, step)
        except Unsupported as error:
            comparison.unsupported = str(error)

    options = Options(seed=seed, shape=shape, settle=False, dispatch="direct", wire="share", listeners=(splits,))
    run_story(story, options)
    return comparison


async def _prepare(cluster: Cluster, recorded: dict[str, Any]) -> None:
    """As the recorder did before its first step.

    Its clusters began with eligible leader replicas, Kafka's default; they leave a cluster-wide min.insync.replicas
    behind when they are switched off.
    """
    if recorded.get("features", {}).get(ELR_FEATURE) == 0:
        least = recorded.get("settings", {}).get(MIN_ISR, 1)
        await cluster.admin.alter_configs("broker", "", set={MIN_ISR: least})
    if recorded.get("internal_topics"):
        await _make_internal_topics(cluster)


async def _make_internal_topics(cluster: Cluster) -> None:
    for topic, configs in INTERNAL_TOPICS.items():
        await cluster.admin.create_topic(topic, assignment=INTERNAL_ASSIGNMENT, configs=configs)
    await cluster.advance(1)


def _shape(cluster: dict[str, Any]) -> ClusterShape:
    apart = cluster.get("controllers")
    if apart and apart != [FIRST_CONTROLLER]:
        raise Unsupported(f"cluster: controllers {apart}")
    configs: dict[str, object] = {**OF_ALL}
    for name, value in cluster.get("settings", {}).items():
        if name not in BROKER:
            raise Unsupported(f"cluster: setting {name}")
        configs[name] = value
    return ClusterShape(
        brokers=cluster["nodes"],
        controllers=1 if apart else cluster["nodes"],
        combined=not apart,
        configs=configs,
        features=cluster.get("features", {}),
    )
