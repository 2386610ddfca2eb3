"""The scenarios by name, in the order in which a newcomer reads them."""

from __future__ import annotations

import importlib

from kafsim.scenarios.scenario import Scenario

NAMES = (
    "leader-killed",
    "follower-lost",
    "leader-killed-acks1",
    "idempotence-off",
    "min-isr-refused",
    "zombie-leader",
    "rolling-restart",
    "preferred-leader",
    "slow-follower",
    "slow-leader",
    "wiped-disk",
    "disk-failed",
    "reassignment",
    "last-replica-elr",
    "last-replica-no-elr",
    "unclean-election",
    "isr-forgotten",
    "power-failure-all",
    "power-failure-written-back",
    "controller-killed",
    "quorum-lost",
    "voter-replaced",
    "retention-overtakes",
    "compaction",
    "group-rebalance",
    "group-cooperative",
    "group-consumer",
    "group-protocols",
    "group-migration",
    "group-static",
    "group-zombie",
    "group-coordinator-killed",
    "group-slow-poll",
    "group-lag",
    "group-auto-commit",
)


def scenario(name: str) -> Scenario:
    """KeyError when there is none of that name."""
    if name not in NAMES:
        raise KeyError(name)
    found: Scenario = importlib.import_module(f"kafsim.scenarios.{name.replace('-', '_')}").SCENARIO
    return found


def summaries() -> dict[str, str]:
    """With ``ping``, which needs no cluster."""
    ping: str = importlib.import_module("kafsim.scenarios.ping").SUMMARY
    return {**{name: scenario(name).summary for name in NAMES}, "ping": ping}
