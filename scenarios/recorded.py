"""Recorded histories of a real Apache Kafka, replayed on a simulated cluster and compared.

A history is a list of steps: something done, or a look at the state with what was seen. Timings are never compared.
A step that is not built is reported as unsupported, by name, and ends its history.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kafsim.cluster.cluster import CONTROLLER_ID, Cluster, ClusterShape
from kafsim.controller.config_control import MIN_ISR
from kafsim.controller.metadata_state import ELR_FEATURE
from kafsim.protocol.config import BROKER
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
    """Replay a history and compare what it expects."""
    comparison = Comparison(history["name"])
    try:
        shape = _shape(history["cluster"])
    except Unsupported as error:
        comparison.unsupported = str(error)
        return comparison

    async def story(cluster: Cluster) -> None:
        replay = Replay(cluster, comparison)
        await _prepare(cluster, history["cluster"])
        try:
            for number, step in enumerate(history["steps"]):
                await replay.step(number, step)
        except Unsupported as error:
            comparison.unsupported = str(error)

    run_story(story, Options(seed=seed, shape=shape, settle=False, dispatch="direct", wire="share"))
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
    if not cluster.get("controllers"):
        raise Unsupported("cluster: a quorum of more than one voter, on combined nodes")
    if cluster["controllers"] != [CONTROLLER_ID]:
        raise Unsupported(f"cluster: controllers {cluster['controllers']}")
    configs: dict[str, object] = {}
    for name, value in cluster.get("settings", {}).items():
        if name not in BROKER:
            raise Unsupported(f"cluster: setting {name}")
        configs[name] = value
    return ClusterShape(brokers=cluster["nodes"], configs=configs, features=cluster.get("features", {}))
