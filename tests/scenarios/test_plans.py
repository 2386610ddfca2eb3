"""Plans with faults of every kind: no invariant breaks, the cluster recovers, and clients lose nothing."""

from __future__ import annotations

import itertools
import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, note, settings

from kafsim.cluster.world import Stated
from kafsim.protocol.facts.broker import BecameLeader
from kafsim.protocol.facts.client import RecordRead
from kafsim.protocol.facts.fact import STATE
from kafsim.protocol.facts.world import NodeKilled
from kafsim.protocol.safeguards import names
from kafsim.scenarios.operation import KINDS, Operation
from kafsim.scenarios.plan import Load, Plan, PlanError, Reader, Topic, from_mapping
from kafsim.scenarios.planned import run_plan
from kafsim.scenarios.strategies import group_plans, plans
from kafsim.scenarios.swarm import FAST, plan_of


@given(plans())
def test_any_plan(plan: Plan) -> None:
    run = run_plan(plan, dispatch="direct", wire="share")
    note(f"{run.verdict}: {run.history}; {', '.join(f'{o.at} {o}' for o in plan.operations)}")
    assert run.violations == ()
    assert run.differences == ()
    assert run.stuck is None
    assert run.history.unanswered == 0
    assert run.history.lost == 0 or run.hollow
    # A producer that has to begin its sequences anew may write again what it did not know to be written, as Kafka's
    # does; without that, idempotence holds.
    if not run.history.epoch_bumps and not run.hollow:
        assert run.history.duplicated == run.history.reordered == 0


@settings(max_examples=max(25, settings.default.max_examples * 2 // 5))  # 2,000 in the large profile
@given(group_plans())
def test_any_plan_of_a_group(plan: Plan) -> None:
    run = run_plan(plan, dispatch="direct", wire="share")
    note(f"{run.verdict}: {run.history}; {', '.join(f'{o.at} {o}' for o in plan.operations)}")
    assert run.violations == ()
    assert run.differences == ()
    assert run.stuck is None
    assert run.history.unanswered == 0
    assert run.history.lost == 0 or run.hollow


@pytest.mark.parametrize("number", range(10))
def test_one_plan_is_one_run(number: int) -> None:
    plan = plan_of(number)
    prints = {
        run_plan(plan, dispatch=dispatch, wire=wire).fingerprint
        for dispatch, wire in itertools.product(("channel", "direct"), ("codec", "share"))
    }
    assert len(prints) == 1


def test_a_connection_closed_while_its_answer_waits_in_a_paused_broker() -> None:
    load = {"request.timeout.ms": 1_000, "batch.size": 100, "delivery.timeout.ms": 8_000, "linger.ms": 50}
    plan = Plan(
        seed=11554,
        configs={**FAST, "unclean.leader.election.enable": False},
        features={"eligible.leader.replicas.version": 0},
        topics=(Topic(name="orders", partitions=2, configs={"min.insync.replicas": 1}),),
        loads=tuple(Load(topic="orders", count=40, start=0.1, every_ms=200, settings=load) for _ in range(2)),
        operations=(
            Operation(1.0, "cut", ("3", "1")),
            Operation(1.8, "stop", ("2",)),
            Operation(1.8, "pause", ("follower:orders-0",)),
            Operation(3.7, "heal", ("1", "3")),
            Operation(4.3, "rejoin", ("2",)),
        ),
        until=6.0,
    )
    assert run_plan(plan, dispatch="direct", wire="share").ok


def test_a_controller_that_dies_before_it_states_a_change() -> None:
    """Killed between the write of a change and its commit: the change is there when it starts again."""
    plan = Plan(
        configs=FAST,
        features={"eligible.leader.replicas.version": 0},
        topics=(Topic(name="orders", partitions=2, configs={"min.insync.replicas": 1}),),
        loads=tuple(Load(topic="orders", count=40, start=0.1, every_ms=200, settings={"linger.ms": 0}) for _ in "ab"),
        operations=tuple(
            Operation(at, do, ("controller",)) for at, do in ((0.0, "pause"), (3.8, "resume"), (3.8, "kill"))
        ),
        until=6.0,
    )
    assert run_plan(plan, dispatch="direct", wire="share").violations == ()


def test_a_fetch_of_the_incarnation_before_arrives_after_one_of_the_next() -> None:
    """And the ISR change that took the broker out after both: the living one must still be seen to catch up."""
    load = {"request.timeout.ms": 1_000, "max.in.flight.requests.per.connection": 1, "delivery.timeout.ms": 8_000}
    plan = Plan(
        seed=1,
        configs=FAST,
        features={"eligible.leader.replicas.version": 0},
        topics=(Topic(name="orders", partitions=2, configs={"min.insync.replicas": 1}),),
        loads=tuple(
            Load(
                topic="orders", count=40, start=0.1, every_ms=200, settings={**load, "linger.ms": ms, "batch.size": 100}
            )
            for ms in (50, 0)
        ),
        operations=(
            Operation(0.0, "slow_disk", ("2", 59)),
            Operation(0.2, "kill", ("controller",)),
            Operation(0.5, "stop", ("2",)),
        ),
        until=6.0,
    )
    assert run_plan(plan, dispatch="direct", wire="share").ok


def test_a_coordinator_that_was_frozen_tells_late_what_is_old() -> None:
    """It sees its last records committed after the next coordinator has gone on from them."""
    reader = Reader(
        topic="orders",
        group="g",
        start=1.8,
        every_ms=200,
        settings={"group.protocol": "consumer", "metadata.max.age.ms": 2_000, "request.timeout.ms": 1_000},
    )
    plan = Plan(
        seed=195,
        configs={
            **FAST,
            "group.consumer.session.timeout.ms": 6_000,
            "group.consumer.min.session.timeout.ms": 6_000,
            "group.consumer.heartbeat.interval.ms": 500,
            "group.consumer.min.heartbeat.interval.ms": 500,
            "offsets.topic.num.partitions": 2,
            "min.insync.replicas": 1,
        },
        features={"eligible.leader.replicas.version": 0},
        topics=(Topic(name="orders", partitions=3, replication_factor=3),),
        readers=(reader, reader),
        operations=(Operation(1.0, "pause", (1,)), Operation(3.9, "pause", ("coordinator:g",))),
        until=12.0,
    )
    assert run_plan(plan, dispatch="direct", wire="share").violations == ()


def test_a_fault_is_aimed_at_a_fact() -> None:
    """The broker that takes over dies in that moment, then the next one."""
    plan = from_mapping(
        {
            "brokers": 3,
            "configs": FAST,
            "topics": [{"name": "t", "configs": {"min.insync.replicas": 1}}],
            "loads": [{"topic": "t", "count": 10}],
            "operations": [
                {"at": 0.5, "do": "kill", "arguments": ["leader:t-0"]},
                {"at": 0.5, "on": "BecameLeader", "do": "kill", "arguments": ["teller"]},
                {"on": "BecameLeader", "nth": 99, "do": "kill", "arguments": ["teller"]},
                {"on": "SendAcknowledged", "do": "kill", "arguments": ["teller"]},
            ],
        }
    )
    killed: list[tuple[int, str]] = []
    leaders: list[tuple[int, str]] = []

    class Listener:
        level = STATE

        def on_fact(self, stated: Stated) -> None:
            if isinstance(stated.fact, NodeKilled):
                killed.append((stated.time, str(stated.node)))
            elif isinstance(stated.fact, BecameLeader):
                leaders.append((stated.time, str(stated.node)))

    run = run_plan(plan, listeners=(Listener(),))
    assert run.violations == ()
    assert run.skipped_faults == 1  # a producer is no broker
    assert len(killed) == 2
    assert killed[1] == leaders[1]
    prints = {run_plan(plan, dispatch=d, wire=w).fingerprint for d in ("channel", "direct") for w in ("codec", "share")}
    assert len(prints) == 1


def test_a_plan_is_read_from_a_mapping() -> None:
    plan = from_mapping(
        {
            "seed": 7,
            "topics": [{"name": "t", "partitions": 2}],
            "loads": [{"topic": "t", "count": 5}],
            "operations": [{"at": 1, "do": "kill", "arguments": ["leader:t-0"]}],
        }
    )
    assert plan.operations == (Operation(1.0, "kill", ("leader:t-0",)),)
    assert run_plan(plan).history.acked == 5


def test_a_reader_polls_until_the_faults_end() -> None:
    reads: list[int] = []

    class Listener:
        level = STATE

        def on_fact(self, stated: Stated) -> None:
            if isinstance(stated.fact, RecordRead) and str(stated.node) == "consumer-1":
                reads.append(stated.fact.offset)

    load = {"topic": "t", "count": 20, "every_ms": 100}
    reader = {"topic": "t", "start": 0.5, "every_ms": 300, "settings": {"auto.offset.reset": "latest"}}
    given = {"topics": [{"name": "t"}], "loads": [load], "readers": [reader], "until": 1.5}
    assert run_plan(from_mapping(given), listeners=(Listener(),)).ok
    assert reads == [7, 8, 9, 10]


def test_the_page_on_plans_names_every_operation_and_safeguard_and_its_example_runs() -> None:
    page = (Path(__file__).parents[2] / "docs" / "plans.md").read_text()
    listed = re.findall(
        r"`(\w+)`", "".join(re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", page.split("## Operations")[1], re.MULTILINE))
    )
    assert set(listed) == {*KINDS, "do"}
    safeguards = page.split("## Safeguards")[1].split("## Who")[0]
    assert re.findall(r"^\| `(\w+)` \|", safeguards, re.MULTILINE) == list(names())
    example = from_mapping(tomllib.loads(page.split("```toml\n")[1].split("```")[0]))
    assert run_plan(example).history.acked == 60


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sed": 1}, "a plan has no 'sed'"),
        ({"operations": [{"at": 1, "do": "kil"}]}, "unknown operation 'kil'"),
        (
            {"operations": [{"on": "BecameLeeder", "do": "kill", "arguments": ["teller"]}]},
            "did you mean 'BecameLeader'",
        ),
        (
            {"operations": [{"on": "IsrChanged", "nth": 0, "do": "kill", "arguments": [1]}]},
            "nth must be a number from 1",
        ),
        ({"operations": [{"at": 1, "do": "kill", "arguments": ["teller"]}]}, "unknown role 'teller'"),
        ({"operations": [{"at": -1, "do": "kill", "arguments": [1]}]}, "the time must be a number of seconds"),
        ({"operations": [{"at": 1, "do": "cut", "arguments": [1]}]}, "cut takes 2 arguments, not 1"),
        ({"operations": [{"at": 1, "do": "kill", "arguments": ["leader:t"]}]}, "'leader:t' names no partition"),
        ({"operations": [{"at": 1, "do": "kill", "arguments": ["coordinator:"]}]}, "'coordinator:' names nobody"),
        ({"operations": [{"at": 1, "do": "kill", "arguments": ["consumer:x"]}]}, "names nobody; try consumer:1"),
        (
            {"operations": [{"at": 1, "do": "set_config", "arguments": ["orders", "retention.mss", "1"]}]},
            "did you mean 'retention.ms'",
        ),
        (
            {"operations": [{"at": 1, "do": "set_config", "arguments": ["orders", "retention.ms", "a week"]}]},
            "Invalid value a week for configuration retention.ms",
        ),
        (
            {"operations": [{"at": 1, "do": "set_broker_config", "arguments": ["all", "message.max.bytes", "1"]}]},
            "'all' names no broker; try 1, or default",
        ),
        ({"operations": [{"at": 1, "do": "cut", "arguments": [1, "contoller"]}]}, "did you mean 'controller'"),
        (
            {"operations": [{"at": 1, "do": "slow_disk", "arguments": [1, "x"]}]},
            "slow_disk takes milliseconds, not 'x'",
        ),
        (
            {"operations": [{"at": 1, "do": "slow_link", "arguments": [1, 2, -5]}]},
            "slow_link takes milliseconds, not -5",
        ),
        ({"loads": [{"topic": "t"}]}, "a load goes to 't'"),
        ({"readers": [{"topic": "t"}]}, "a reader reads 't'"),
        ({"readers": [{"topic": "orders", "every_ms": 0}]}, "every_ms must be from 1 to"),
        ({"topics": [{"nam": "t"}]}, "a topic has no 'nam'"),
    ],
)
def test_a_wrong_plan_is_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(PlanError, match=message.replace("(", r"\(")):
        from_mapping(given)


def test_a_broker_that_nobody_lets_go_yet_is_waited_for_at_the_end() -> None:
    """Asked to stop without a controller it goes once there is one again, which must not be while all is read."""
    plan = Plan(
        brokers=1,
        configs=FAST,
        topics=(Topic(name="orders", replication_factor=1),),
        loads=(Load(topic="orders", count=40, start=0.1, every_ms=200),),
        operations=(Operation(0.0, "kill", ("controller",)), Operation(0.0, "stop", ("1",))),
        until=6.0,
    )
    assert run_plan(plan, dispatch="direct", wire="share").ok


def test_a_broker_that_was_asked_to_stop_while_it_was_paused_is_waited_for_at_the_end() -> None:
    plan = Plan(
        brokers=1,
        configs=FAST,
        topics=(Topic(name="orders", replication_factor=1),),
        loads=(Load(topic="orders", count=40, start=0.1, every_ms=200),),
        operations=(Operation(0.5, "pause", ("1",)), Operation(1.8, "stop", ("1",))),
        until=3.0,
    )
    assert run_plan(plan, dispatch="direct", wire="share").ok


def test_a_broker_that_starts_with_a_broken_disk_when_the_plan_ends_is_healed_once_it_runs() -> None:
    plan = Plan(
        seed=21,
        brokers=2,
        configs={**FAST, "log.dirs": "/a,/b"},
        topics=(Topic(name="orders", partitions=2, replication_factor=2),),
        loads=(Load(topic="orders", count=40, start=0.1, every_ms=200),),
        operations=(
            Operation(3.5, "kill", ("2",)),
            Operation(3.6, "fail_disk", ("2", 1)),
            Operation(4.0, "restart", ("2",)),
        ),
        until=6.0,
    )
    assert run_plan(plan).stuck is None


def test_a_reassignment_that_cannot_end_is_cancelled_at_the_end() -> None:
    plan = Plan(
        brokers=5,
        configs=FAST,
        topics=(Topic(name="orders", assignment=((3, 4, 5),)),),
        operations=(
            Operation(1.0, "kill", ("1",)),
            Operation(1.8, "reassign", ("orders-0", "1,5,2")),
            Operation(3.4, "reassign", ("orders-0", "1,3,4")),
        ),
        until=6.0,
    )
    assert run_plan(plan, dispatch="direct", wire="share").ok
