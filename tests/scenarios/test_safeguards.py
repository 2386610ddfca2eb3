"""Each invariant is shown to see: with one safeguard off, some plan of the swarm violates it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import attrs
import pytest

from kafsim import simulate
from kafsim.broker.replica_fetcher import FetchState
from kafsim.cluster.cluster import Cluster
from kafsim.cluster.errors import CoreFailed
from kafsim.cluster.invariants import INVARIANTS, Monitor
from kafsim.cluster.world import Stated
from kafsim.controller.controller import Deferred
from kafsim.protocol.facts import broker as bf
from kafsim.protocol.facts import client as kf
from kafsim.protocol.facts import controller as cf
from kafsim.protocol.facts import group as gf
from kafsim.protocol.facts import quorum as qf
from kafsim.protocol.facts.fact import because
from kafsim.protocol.safeguards import ALL_ON, names
from kafsim.protocol.types import Address, ConnectionId, EventNumber, Header, Micros
from kafsim.scenarios.operation import operation
from kafsim.scenarios.plan import Load, Plan, Reader, Topic
from kafsim.scenarios.planned import run_plan
from kafsim.scenarios.simulation import Run
from kafsim.scenarios.swarm import FAST, plan_of
from tests.controller.quorum_kit import read

PLAYS = Path(__file__).parents[1] / "controller" / "quorum.play"

SEEN = {
    "check_producer_sequences": (range(3), {"idempotence"}),
    "elect_only_from_isr": (range(36, 40), {"leader-completeness", "candidate-completeness", "acked-records-durable"}),
    "check_partition_epochs": ((19, 12), {"isr-superset", "log-matching"}),
    "detect_unclean_shutdown": (range(31, 34), {"leader-completeness", "acked-records-durable", "log-matching"}),
    "wait_for_in_sync_replicas": (range(4), {"acked-on-min-isr", "acked-records-durable"}),
    "freeze_high_watermark_under_min_isr": (range(5, 8), {"candidate-completeness"}),
    "use_maximal_isr": (range(40), {"strong-isr"}),
    "truncate_on_divergence": (range(27, 30), {"log-matching"}),
}


@pytest.mark.parametrize("safeguard", SEEN)
def test_without_a_safeguard_its_invariants_break(safeguard: str) -> None:
    numbers, expected = SEEN[safeguard]
    safeguards = attrs.evolve(ALL_ON, **{safeguard: False})
    failures = int(safeguard == "detect_unclean_shutdown")
    found: set[str] = set()
    for number in numbers:
        plan = plan_of(number, power_failures=failures, safeguards=safeguards)
        found |= {violation.invariant for violation in run_plan(plan, dispatch="direct", wire="share").violations}
        if found >= expected:
            break
    assert found >= expected


@pytest.mark.parametrize("safeguard", SEEN)
def test_with_all_safeguards_the_same_plans_hold(safeguard: str) -> None:
    for number in list(SEEN[safeguard][0])[:4]:
        plan = plan_of(number, power_failures=int(safeguard == "detect_unclean_shutdown"))
        assert run_plan(plan, dispatch="direct", wire="share").ok


# What the swarm does not find within a reasonable number of plans: (seconds, operation, arguments) each.
SCRIPTED = {
    # Acknowledged by the only replica that is left. The frozen high watermark alone would prevent it too.
    ("check_min_isr", "freeze_high_watermark_under_min_isr"): (
        ((1.0, "kill", "3"), (1.1, "kill", "2")),
        "acked-on-min-isr",
    ),
    # Followers get nothing, so nothing is committed, and the leader that gave it to a consumer is gone.
    ("bound_reads_by_high_watermark",): (
        ((1.0, "cut", "1", "2"), (1.0, "cut", "1", "3"), (2.5, "kill", "1")),
        "consistent-read",
    ),
    # What broker 3 lacks comes slowly; it is in the ISR before.
    ("expand_isr_only_when_caught_up",): (
        ((1.0, "kill", "3"), (5.5, "slow_link", "1", "3", 400), (6.0, "restart", "3")),
        "candidate-completeness",
    ),
    # The case of KIP-903: the leader asks for broker 3, the request is long under way, and broker 3 comes back
    # meanwhile without what its page cache held.
    ("check_broker_epochs",): (
        (
            (1.0, "kill", "3"),
            (6.0, "restart", "3"),
            (6.0005, "slow_link", "1", "controller", 5000),
            (6.03, "slow_link", "1", "controller", 0),
            (6.9, "cut", "1", "3"),
            (6.95, "power_failure", "3"),
            (7.0, "restart", "3"),
        ),
        "candidate-completeness",
    ),
}


def _scripted(operations: tuple[tuple[object, ...], ...], off: tuple[str, ...]) -> set[str]:
    plan = Plan(
        configs=FAST,
        topics=(Topic(name="orders", assignment=((1, 2, 3),), configs={"min.insync.replicas": 2}),),
        loads=(Load(topic="orders", count=60, start=0.1, every_ms=100),),
        readers=(Reader(topic="orders"),),
        operations=tuple(operation(*given) for given in operations),
        until=13.0,
        safeguards=attrs.evolve(ALL_ON, **dict.fromkeys(off, False)),
    )
    return {violation.invariant for violation in run_plan(plan, dispatch="direct", wire="share").violations}


@pytest.mark.parametrize("off", SCRIPTED, ids="+".join)
def test_a_scripted_plan_breaks_without_its_safeguards_only(off: tuple[str, ...]) -> None:
    operations, expected = SCRIPTED[off]
    assert expected in _scripted(operations, off)
    assert _scripted(operations, ()) == set()


def test_without_recovery_a_torn_log_fails_its_broker() -> None:
    safeguards = attrs.evolve(ALL_ON, recover_after_unclean_shutdown=False)

    def run_all() -> None:
        for number in range(40):
            run_plan(plan_of(number, power_failures=1, safeguards=safeguards), dispatch="direct", wire="share")

    with pytest.raises(CoreFailed):
        run_all()


def _state(monitor: Monitor, node: int, fact: object) -> None:
    monitor.on_fact(Stated(EventNumber(1), Micros(1), Address("", "broker", node), fact, ()))


def test_two_leaders_in_one_epoch_are_seen() -> None:
    monitor = Monitor()
    for node in (1, 2):
        why = because(bf.NOT_LEADER)
        _state(monitor, node, bf.BecameLeader(log="t-0", leader_epoch=3, epoch_start=0, isr=(1, 2), because=why))
    assert [violation.invariant for violation in monitor.violations] == ["one-leader-per-epoch"]


ALONE = (
    (0.9, "kill", "3"),
    (6.0, "set_config", "orders", "min.insync.replicas", "2"),
    (8.0, "heal", "1", "controller"),
)


def _alone(*more: tuple[object, ...], off: tuple[str, ...] = ()) -> Run:
    """Broker 1 leads alone where one replica is enough, until two are asked for; broker 2 has nothing of it."""
    plan = Plan(
        configs={**FAST, "broker.session.timeout.ms": 6_000},
        topics=(Topic(name="orders", assignment=((1, 3),), configs={"min.insync.replicas": 1}),),
        loads=(Load(topic="orders", count=90, start=0.1, every_ms=100),),
        operations=tuple(operation(*given) for given in sorted((*ALONE, *more), key=lambda given: str(given[0]))),
        until=13.0,
        safeguards=attrs.evolve(ALL_ON, **dict.fromkeys(off, False)),
    )
    return run_plan(plan, dispatch="direct", wire="share")


def test_a_leader_that_cannot_know_of_a_larger_min_isr_may_acknowledge_alone() -> None:
    run = _alone((5.9, "cut", "1", "controller"))
    assert run.violations == ()
    assert run.history.acked > 70


def test_a_leader_that_knows_of_a_larger_min_isr_may_not() -> None:
    off = ("check_min_isr", "freeze_high_watermark_under_min_isr")
    assert {violation.invariant for violation in _alone(off=off).violations} == {"acked-on-min-isr"}
    assert _alone().violations == ()


def test_a_high_watermark_that_goes_down_is_seen() -> None:
    monitor = Monitor()
    _state(monitor, 1, bf.HighWatermarkMoved(log="t-0", was=5, to=4, leads=True))
    assert "high-watermark-monotone" in {violation.invariant for violation in monitor.violations}


def test_a_controller_that_keeps_what_was_never_committed_goes_wrong() -> None:
    plan = plan_of(14, controllers=3, safeguards=attrs.evolve(ALL_ON, revert_on_renounce=False))
    assert run_plan(plan, dispatch="direct", wire="share").verdict == "stuck"
    assert run_plan(plan_of(14, controllers=3), dispatch="direct", wire="share").ok


def _fenced(broker: int) -> cf.BrokerCommitted:
    return cf.BrokerCommitted(broker=broker, epoch=1, fenced=True, in_controlled_shutdown=False)


def _registered(partition_epoch: int, isr: tuple[int, ...]) -> cf.PartitionRegistered:
    return cf.PartitionRegistered(
        topic="t",
        partition=0,
        leader=1,
        leader_epoch=0,
        partition_epoch=partition_epoch,
        replicas=(1, 2, 3),
        isr=isr,
        elr=(),
        last_known_elr=(),
        min_isr=1,
    )


@pytest.mark.parametrize("second", [_registered(4, (1, 2)), _registered(5, (1, 2, 3))])
def test_a_registration_taken_back_or_made_twice_is_seen(second: cf.PartitionRegistered) -> None:
    monitor = Monitor()
    _state(monitor, 101, _registered(5, (1, 2)))
    _state(monitor, 101, second)
    assert {violation.invariant for violation in monitor.violations} == {"registrations-monotone"}


def test_an_active_controller_that_does_not_lead_the_quorum_is_seen() -> None:
    monitor = Monitor()
    _state(monitor, 101, cf.ControllerActivated(epoch=3, log_end_offset=0))
    assert [violation.invariant for violation in monitor.violations] == ["one-active-controller-per-epoch"]


def test_a_high_watermark_that_no_majority_has_is_seen() -> None:
    monitor = Monitor()
    _state(monitor, 101, qf.VotersChanged(voters=(101, 102, 103), at=-1))
    why = because(qf.LEADER_SAYS, leader=101)
    _state(monitor, 101, qf.QuorumHighWatermarkMoved(to=1, epoch=1, leads=True, because=why))
    assert "quorum-high-watermark-on-majority" in {violation.invariant for violation in monitor.violations}


def _partition(**changes: object) -> cf.PartitionRegistered:
    return attrs.evolve(_registered(5, (1, 2)), **changes)


@pytest.mark.parametrize(
    ("facts", "invariant"),
    [
        ([_partition(isr=(1, 4))], "isr-and-elr-valid"),
        ([_partition(elr=(2, 3), min_isr=3)], "isr-and-elr-valid"),
        ([_partition(min_isr=2), _partition(partition_epoch=6, isr=(1,), elr=(9,), min_isr=2)], "isr-and-elr-valid"),
        ([_partition(), _partition(partition_epoch=6, elr=(3,))], "isr-and-elr-valid"),
        ([_partition(), _partition(partition_epoch=6, leader=-1, isr=(), elr=())], "recovery-leader-known"),
        ([_fenced(2), _partition()], "fenced-not-in-sync"),
        ([_partition(), _fenced(2)], "fenced-not-in-sync"),
    ],
)
def test_states_that_the_controller_must_not_commit_are_seen(facts: list[object], invariant: str) -> None:
    monitor = Monitor()
    for fact in facts:
        _state(monitor, 101, fact)
    assert invariant in {violation.invariant for violation in monitor.violations}


def test_a_leader_of_the_quorum_that_goes_back_or_takes_a_snapshot_is_seen() -> None:
    monitor = Monitor()
    why = because(qf.LEADER_SAYS, leader=101)
    role = qf.QuorumRoleChanged(
        role="Leader", was="Candidate", epoch=1, leader=101, voted=101, is_voter=True, because=why
    )
    _state(monitor, 101, role)
    _state(monitor, 101, qf.QuorumHighWatermarkMoved(to=5, epoch=1, leads=True, because=why))
    _state(monitor, 101, qf.QuorumHighWatermarkMoved(to=4, epoch=1, leads=True, because=why))
    _state(monitor, 101, qf.SnapshotTaken(end_offset=4, epoch=1, records=0, fetched=True))
    found = {violation.invariant for violation in monitor.violations}
    assert {"quorum-high-watermark-monotone", "leader-takes-no-snapshot"} <= found


async def _two_fetchers(cluster: Cluster) -> None:
    replica, core = cluster.replica("t-0", 2), cluster.core(2)
    assert replica is not None
    assert core is not None
    core.replicas._fetcher(3)._states[replica.topic_id, 0] = FetchState(replica, 0)


async def _a_cut_without_a_snapshot(cluster: Cluster) -> None:
    core = cluster.controller_of(101)
    assert core is not None
    core.raft.log.log.log_start_offset = 3


async def _an_answer_owed(cluster: Cluster) -> None:
    core = cluster.controller_of(102)
    assert core is not None
    core._deferred.append(Deferred(0, ConnectionId(1), Header(0, 0, 0), None))


async def _an_offset_that_is_not_in_the_log(cluster: Cluster) -> None:
    await cluster.admin.alter_group_offsets("g", {"t-0": 0})
    broker = cluster.coordinator_of("g")
    core = None if broker is None else cluster.core(broker)
    assert core is not None
    coordinator = core.groups.find("g")[0]
    assert coordinator is not None
    coordinator.shard.offsets.delete(("g", "t", 0))


@pytest.mark.parametrize(
    ("plant", "told"),
    [
        (_two_fetchers, "copies t-0 from"),
        (_a_cut_without_a_snapshot, "the metadata begins at 3"),
        (_an_answer_owed, "is not active and owes answers"),
        (_an_offset_that_is_not_in_the_log, "its log says [(('g', 't', 0)"),
    ],
)
def test_cores_in_a_state_that_cannot_be_are_seen(plant: Callable[[Cluster], Awaitable[None]], told: str) -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", assignment={0: (1, 2)})
        assert cluster.active_controller == 101
        await plant(cluster)

    run = simulate(story, brokers=3, controllers=3, seed=2, settle=False)
    assert any(told in difference for difference in run.differences)


def _assigned(node: int, member: str, *partitions: str) -> object:
    return kf.PartitionsAssigned(group="g", member=member, generation=3, added=(), assigned=partitions)


def test_a_partition_with_two_owners_is_seen() -> None:
    monitor = Monitor()
    _state(monitor, 1, _assigned(1, "a", "t-0", "t-1"))
    _state(monitor, 2, _assigned(2, "b", "t-2"))
    assert monitor.violations == []
    _state(monitor, 2, _assigned(2, "b", "t-1"))
    assert [violation.invariant for violation in monitor.violations] == ["one-owner-per-generation"]
    monitor = Monitor()
    twice = (("a", ("t-0",)), ("b", ("t-0",)))
    _state(monitor, 1, gf.AssignmentStored(group="g", generation=1, protocol="x", leader="a", assigned=twice))
    assert [violation.invariant for violation in monitor.violations] == ["one-owner-per-generation"]


MEMBER = {"session.timeout.ms": 6_000, "heartbeat.interval.ms": 500, "auto.commit.interval.ms": 500}


def _of_a_group(*operations: tuple[object, ...], off: str = "") -> set[str]:
    plan = Plan(
        configs={**FAST, "offsets.topic.num.partitions": 1, "group.initial.rebalance.delay.ms": 0},
        topics=(Topic(name="orders", assignment=((1, 2, 3), (1, 2, 3)), configs={"min.insync.replicas": 2}),),
        loads=(Load(topic="orders", count=100, start=0.1, every_ms=100),),
        readers=tuple(Reader(topic="orders", group="g", start=start, settings=MEMBER) for start in (0.1, 0.3)),
        operations=tuple(operation(*given) for given in operations),
        until=14.0,
        safeguards=attrs.evolve(ALL_ON, **({off: False} if off else {})),
    )
    return {violation.invariant for violation in run_plan(plan, dispatch="direct", wire="share").violations}


CONSUMER = {"group.protocol": "consumer", "auto.commit.interval.ms": 500}
SOON = {
    "group.consumer.session.timeout.ms": 6_000,
    "group.consumer.min.session.timeout.ms": 6_000,
    "group.consumer.heartbeat.interval.ms": 500,
    "group.consumer.min.heartbeat.interval.ms": 500,
}


def _of_a_consumer_group(*operations: tuple[object, ...], off: str = "") -> set[str]:
    plan = Plan(
        configs={**FAST, **SOON, "offsets.topic.num.partitions": 1},
        topics=(Topic(name="orders", assignment=((1, 2, 3), (1, 2, 3)), configs={"min.insync.replicas": 2}),),
        loads=(Load(topic="orders", count=100, start=0.1, every_ms=100),),
        readers=tuple(Reader(topic="orders", group="g", start=start, settings=CONSUMER) for start in (0.1, 2.0)),
        operations=tuple(operation(*given) for given in operations),
        until=14.0,
        safeguards=attrs.evolve(ALL_ON, **({off: False} if off else {})),
    )
    return {violation.invariant for violation in run_plan(plan, dispatch="direct", wire="share").violations}


OF_CONSUMER_GROUPS = {
    "check_generations": (((4.0, "pause", "consumer:1"), (12.0, "resume", "consumer:1")), "commits-of-the-epoch"),
    "wait_until_released": ((), "one-owner-across-epochs"),
}


@pytest.mark.parametrize("off", OF_CONSUMER_GROUPS)
def test_a_consumer_group_breaks_without_a_safeguard_only(off: str) -> None:
    operations, invariant = OF_CONSUMER_GROUPS[off]
    assert _of_a_consumer_group(*operations) == set()
    assert invariant in _of_a_consumer_group(*operations, off=off)


def _reconciled(member: str, epoch: int, *partitions: str) -> object:
    why = because(gf.COMPLETE, target=epoch)
    return gf.MemberReconciled(
        group="g", member=member, epoch=epoch, state="STABLE", assigned=partitions, pending=(), because=why
    )


def test_an_epoch_that_goes_back_is_seen() -> None:
    monitor = Monitor()
    for epoch in (3, 4, -2, 4):
        _state(monitor, 1, _reconciled("a", epoch))
    assert monitor.violations == []
    _state(monitor, 1, _reconciled("a", 3))
    assert [violation.invariant for violation in monitor.violations] == ["member-epochs-monotone"]


def test_another_topic_of_the_same_name_has_no_owners() -> None:
    monitor = Monitor()
    _state(monitor, 101, cf.TopicRegistered(topic="t", topic_id="x"))
    _state(monitor, 1, _reconciled("a", 3, "t-0"))
    _state(monitor, 1, _assigned(1, "a", "t-0"))
    _state(monitor, 101, cf.TopicRemoved(topic="t", topic_id="x", partitions=1))
    _state(monitor, 1, _reconciled("b", 4, "t-0"))
    _state(monitor, 2, _assigned(2, "b", "t-0"))
    assert monitor.violations == []


def test_a_consumer_that_reads_on_is_seen() -> None:
    monitor = Monitor()
    _state(monitor, 1, _reconciled("a", 3, "t-0"))
    _state(monitor, 1, _assigned(1, "a", "t-0"))
    _state(monitor, 1, _reconciled("a", 4))
    _state(monitor, 1, _reconciled("b", 4, "t-0"))
    assert monitor.violations == []
    _state(monitor, 2, kf.PartitionsAssigned(group="g", member="b", generation=4, added=(), assigned=("t-0",)))
    assert [violation.invariant for violation in monitor.violations] == ["one-owner-across-epochs"]


OF_GROUPS = {
    # It wakes up after its session is over, and commits before it hears that the group went on without it.
    "check_generations": (((3.0, "pause", "consumer:1"), (11.0, "resume", "consumer:1")), "commits-of-the-generation"),
    # Followers get nothing, so that nothing is committed of what it reads.
    "bound_reads_by_high_watermark": (
        ((3.0, "slow_link", "1", "2", 2_000), (3.0, "slow_link", "1", "3", 2_000)),
        "positions-within-the-log",
    ),
}


@pytest.mark.parametrize("off", OF_GROUPS)
def test_a_group_breaks_without_a_safeguard_only(off: str) -> None:
    operations, expected = OF_GROUPS[off]
    assert expected in _of_a_group(*operations, off=off)
    assert _of_a_group(*operations) == set()


PLANTED = {
    "member-epochs-monotone",
    "one-owner-per-generation",
    "isr-and-elr-valid",
    "recovery-leader-known",
    "fenced-not-in-sync",
    "quorum-high-watermark-monotone",
    "leader-takes-no-snapshot",
    "one-leader-per-epoch",
    "high-watermark-monotone",
    "registrations-monotone",
    "one-active-controller-per-epoch",
    "quorum-high-watermark-on-majority",
}


def _plays() -> tuple[set[str], set[str]]:
    """The safeguards that the plays of the quorum switch off, and the invariants that they break."""
    lines = [line for play in read(PLAYS) for _, line in play.lines]
    off = {name for word, *names in lines if word == "off" for name in names}
    return off, {name for word, *names in lines if word == "broken" for name in names} - {"-"}


def test_every_invariant_is_shown_to_see() -> None:
    seen = {invariant for _, invariants in SEEN.values() for invariant in invariants}
    seen |= {expected for _, expected in (*SCRIPTED.values(), *OF_GROUPS.values(), *OF_CONSUMER_GROUPS.values())}
    assert seen | PLANTED | _plays()[1] == set(INVARIANTS)


def test_every_safeguard_is_shown_to_matter() -> None:
    """Fencing of leader epochs is beside the diverging epoch in fetches; ``tests/broker/test_partition.py`` has it."""
    shown = {*SEEN, *(name for off in SCRIPTED for name in off), "recover_after_unclean_shutdown"}
    shown |= {"revert_on_renounce", *_plays()[0], *OF_GROUPS, *OF_CONSUMER_GROUPS}
    assert shown | {"fence_leader_epochs"} == set(names())
