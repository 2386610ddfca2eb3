"""A plan for every integer: what to produce and what goes wrong, drawn by keyed chance.

The same number gives the same plan for ever; sweeps, the bench and the tests of safeguards run through them.
"""

from __future__ import annotations

from typing import TypeVar

from kafsim.cluster.chance import Chance, Stream
from kafsim.protocol.safeguards import ALL_ON, Safeguards
from kafsim.scenarios.operation import Operation
from kafsim.scenarios.plan import Load, Plan, Topic

T = TypeVar("T")
FAST: dict[str, object] = {
    "broker.session.timeout.ms": 3_000,
    "broker.heartbeat.interval.ms": 500,
    "replica.lag.time.max.ms": 2_000,
    "leader.imbalance.check.interval.seconds": 5,
}
"""Timeouts that let much happen in ten virtual seconds."""

_KINDS = ("kill", "restart", "pause", "resume", "isolate", "rejoin", "stop", "cut", "heal", "slow_disk")
_NODES = ("1", "2", "3", "leader:orders-0", "follower:orders-0", "leader:orders-1")


def plan_of(
    number: int,
    *,
    power_failures: int = 0,
    controllers: int = 1,
    combined: bool = False,
    safeguards: Safeguards = ALL_ON,
    settings: dict[str, object] | None = None,
) -> Plan:
    """Three brokers, a topic of two partitions, a producer, and up to twelve faults within ten seconds.

    With several controllers up to eight faults more, of theirs.
    """
    stream = Chance(number).stream("swarm")
    operations = [_operation(stream) for _ in range(1 + stream.below(12))]
    if controllers > 1:
        operations += [_quorum_operation(stream) for _ in range(1 + stream.below(8))]
    operations += [Operation(_time(stream), "power_failure", (_pick(stream, _NODES),)) for _ in range(power_failures)]
    producer: dict[str, object] = {
        "request.timeout.ms": _pick(stream, (1_000, 3_000)),
        "linger.ms": _pick(stream, (0, 5)),
        "batch.size": _pick(stream, (100, 16_384)),
    }
    return Plan(
        seed=number,
        controllers=controllers,
        combined=combined,
        configs=FAST,
        topics=(Topic(name="orders", partitions=2, configs={"min.insync.replicas": 2}),),
        loads=(Load(topic="orders", count=60, start=0.1, every_ms=150, settings={**producer, **(settings or {})}),),
        operations=tuple(sorted(operations, key=lambda operation: operation.at)),
        until=10.0,
        safeguards=safeguards,
    )


def _operation(stream: Stream) -> Operation:
    do = _pick(stream, _KINDS)
    if do in ("cut", "heal"):
        first = 1 + stream.below(3)
        other = _pick(stream, (str(first % 3 + 1), "controller"))
        return Operation(_time(stream), do, (str(first), other))
    if do == "slow_disk":
        return Operation(_time(stream), do, (_pick(stream, _NODES), 1 + stream.below(300)))
    return Operation(_time(stream), do, (_pick(stream, _NODES),))


def _quorum_operation(stream: Stream) -> Operation:
    do = _pick(stream, ("kill", "restart", "pause", "resume", "isolate", "rejoin", "stop", "power_failure", "cut"))
    if do == "cut":
        return Operation(_time(stream), do, ("controller", _pick(stream, ("standby", "standby/1"))))
    return Operation(_time(stream), do, (_pick(stream, ("controller", "standby", "standby/1")),))


def _time(stream: Stream) -> float:
    return stream.below(100) / 10


def _pick(stream: Stream, choices: tuple[T, ...]) -> T:
    return choices[stream.below(len(choices))]
