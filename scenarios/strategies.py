"""Hypothesis strategies for plans: what a test draws, and what a failing test shrinks.

The fault budget: kills, stops, pauses, cuts and slow disks are free, and so are any number at once; power failures lose
data, so a plan has at most min.insync.replicas - 1 of them, and only with eligible leader replicas: without them Kafka
lets the last member of an ISR lead again after it lost its page cache.
"""

from __future__ import annotations

from hypothesis import strategies as st

from kafsim.scenarios.plan import Load, Operation, Plan, Topic
from kafsim.scenarios.swarm import FAST

NODES = ("1", "2", "3", "controller", "leader:orders-0", "follower:orders-0", "leader:orders-1")

times = st.integers(0, 100).map(lambda tenths: tenths / 10)
pairs = st.tuples(st.sampled_from(("1", "2", "3")), st.sampled_from(("1", "2", "3", "controller"))).filter(
    lambda pair: pair[0] != pair[1]
)


def one(do: str, who: st.SearchStrategy[str]) -> st.SearchStrategy[Operation]:
    return st.builds(lambda at, node: Operation(at, do, (node,)), times, who)


nodes = st.sampled_from(NODES)
brokers = st.sampled_from(tuple(node for node in NODES if node != "controller"))
operations = st.one_of(
    one("kill", nodes),
    one("restart", nodes),
    one("stop", brokers),
    one("pause", nodes),
    one("resume", nodes),
    one("isolate", brokers),
    one("rejoin", brokers),
    st.builds(lambda at, pair: Operation(at, "cut", pair), times, pairs),
    st.builds(lambda at, pair: Operation(at, "heal", pair), times, pairs),
    st.builds(lambda at, node, ms: Operation(at, "slow_disk", (node, ms)), times, brokers, st.integers(1, 300)),
)
power_failures = st.lists(one("power_failure", st.sampled_from(("1", "2", "3"))), max_size=1)


def settings() -> st.SearchStrategy[dict[str, object]]:
    """Of a producer: acks=all with idempotence, the default; small timeouts, so that retries happen."""
    return st.fixed_dictionaries(
        {
            "request.timeout.ms": st.sampled_from((1_000, 3_000)),
            "linger.ms": st.sampled_from((0, 5, 50)),
            "max.in.flight.requests.per.connection": st.sampled_from((1, 5)),
            "delivery.timeout.ms": st.sampled_from((8_000, 120_000)),
            "batch.size": st.sampled_from((100, 16_384)),
        }
    )


@st.composite
def plans(draw: st.DrawFn, *, most: int = 12) -> Plan:
    """Three brokers, one topic of two partitions, one or two producers, and faults."""
    min_isr = draw(st.sampled_from((1, 2)))
    loads = tuple(
        Load(topic="orders", count=40, start=0.1, every_ms=200, keys=draw(st.sampled_from((0, 5))), settings=s)
        for s in draw(st.lists(settings(), min_size=1, max_size=2))
    )
    faults = draw(st.lists(operations, max_size=most))
    elr = draw(st.sampled_from((0, 1)))
    if min_isr == 2 and elr:
        faults += draw(power_failures)
    return Plan(
        seed=draw(st.integers(0, 2**32)),
        configs={**FAST, "unclean.leader.election.enable": False},
        features={"eligible.leader.replicas.version": elr},
        topics=(Topic(name="orders", partitions=2, configs={"min.insync.replicas": min_isr}),),
        loads=loads,
        operations=tuple(sorted(faults, key=lambda operation: operation.at)),
        until=draw(st.sampled_from((6.0, 12.0))),
    )
