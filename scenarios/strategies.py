"""Hypothesis strategies for plans: what a test draws, and what a failing test shrinks.

The fault budget: stops, pauses, cuts, slow disks and links are free, and so are kills as long as no power fails: a
killed broker keeps its page cache. A power failure loses data, so a plan has at most min.insync.replicas - 1 of them,
and only with eligible leader replicas: without them Kafka lets the last member of an ISR lead again after it lost its
page cache.

In a plan with a power failure no broker is killed and no disk fails. Kafka's controller cannot tell the one from the
other: each makes an unclean shutdown, which takes the broker out of the eligible leader replicas (KIP-966). Once all
that hold a record went down so, the last known leader leads again, and if that is the one whose power failed, the
record is lost although another broker has it.
"""

from __future__ import annotations

from hypothesis import strategies as st

from kafsim.protocol.features import KRAFT_VERSION
from kafsim.scenarios.operation import Operation
from kafsim.scenarios.plan import Load, Plan, Reader, Topic
from kafsim.scenarios.swarm import FAST

AIMED_AT = (
    "BecameLeader",
    "BecameFollower",
    "IsrProposed",
    "IsrChanged",
    "LeaderElected",
    "BrokerFenced",
    "BrokerRegistered",
    "BrokerStateChanged",
    "ControllerActivated",
    "ControllerRenounced",
    "LogTruncated",
    "HighWatermarkMoved",
    "QuorumRoleChanged",
    "RecordsAppended",
    "TruncationDecided",
    "VotersChanged",
)
CONTROLLERS = ("controller", "standby", "standby/1")
times = st.integers(0, 100).map(lambda tenths: tenths / 10)


def one(do: str, who: st.SearchStrategy[str]) -> st.SearchStrategy[Operation]:
    return st.builds(lambda at, node: Operation(at, do, (node,)), times, who)


class Faults:
    """What can happen to a cluster of so many brokers."""

    def __init__(self, brokers: int) -> None:
        self.ids = tuple(str(id_ + 1) for id_ in range(brokers))
        roles = ("leader:orders-0", "follower:orders-0", "leader:orders-1") if brokers > 1 else ("leader:orders-0",)
        self.brokers = st.sampled_from((*self.ids, *roles))
        nodes = st.sampled_from((*self.ids, "controller", *roles))
        self.kills = one("kill", self.brokers)
        self.gentle = st.one_of(
            one("kill", st.just("controller")),
            one("restart", nodes),
            one("stop", self.brokers),
            one("pause", nodes),
            one("resume", nodes),
            one("isolate", self.brokers),
            one("rejoin", self.brokers),
            self._pairs("cut"),
            self._pairs("heal"),
            st.builds(
                lambda at, node, ms: Operation(at, "slow_disk", (node, ms)), times, self.brokers, st.integers(1, 300)
            ),
            self._pairs("slow_link", st.integers(0, 1_500)),
        )
        self.disks = st.builds(
            lambda tenths, do, node: Operation(tenths / 10, do, (node, 1)),
            st.integers(10, 100),
            st.sampled_from(("fail_disk", "fail_disk", "repair_disk")),
            self.brokers,
        )
        """Of the second disk, once the controller knows what is on it."""
        self.aimed = st.builds(
            lambda at, do, fact, nth: Operation(at, do, ("teller",), on=fact, nth=nth),
            times,
            st.sampled_from(("kill", "kill", "pause", "isolate", "stop")),
            st.sampled_from(AIMED_AT),
            st.integers(1, 6),
        )
        """At whoever has just decided or done something."""
        self.power_failures = one("power_failure", st.sampled_from(self.ids))

    def _pairs(self, do: str, *more: st.SearchStrategy[int]) -> st.SearchStrategy[Operation]:
        """Of a broker and another node."""
        others = st.sampled_from((*self.ids, "controller"))
        pairs = st.tuples(st.sampled_from(self.ids), others).filter(lambda pair: pair[0] != pair[1])
        return st.builds(lambda at, pair, *rest: Operation(at, do, (*pair, *rest)), times, pairs, *more)

    @property
    def throttles(self) -> st.SearchStrategy[list[Operation]]:
        """Of all replicas. Answers without records count too, so that a few bytes per second let nothing through."""

        def both(at: float, side: str, rate: str) -> list[Operation]:
            listed = Operation(at, "set_config", ("orders", f"{side}.replication.throttled.replicas", "*"))
            return [listed, Operation(at, "set_broker_config", ("default", f"{side}.replication.throttled.rate", rate))]

        some = st.builds(both, times, st.sampled_from(("leader", "follower")), st.sampled_from(("500", "3000")))
        return st.just([]) | some

    def requests(self, *, elr: bool) -> st.SearchStrategy[Operation]:
        """To as many replicas as there are or one less, never to one: what is acknowledged is to survive one disk.

        With eligible leader replicas min.insync.replicas stays as it is: Kafka forgets them with a change, so that a
        partition that has only these never gets a leader again, unless by an unclean election.
        """
        partitions = st.sampled_from(("orders-0", "orders-1"))
        most = min(3, len(self.ids))
        fewest = min(2, len(self.ids))
        replicas = st.permutations(self.ids).flatmap(lambda ids: st.sampled_from((ids[:most], ids[:fewest])))
        targets = replicas.map(",".join) | st.just("cancel")
        requests = st.one_of(
            st.builds(lambda at, tp, to: Operation(at, "reassign", (tp, to)), times, partitions, targets),
            st.builds(lambda at, tp: Operation(at, "elect", (tp,)), times, partitions),
        )
        if elr:
            return requests
        return st.one_of(
            requests,
            st.builds(
                lambda at, value: Operation(at, "set_config", ("orders", "min.insync.replicas", value)),
                times,
                st.sampled_from(("1", "2")),
            ),
        )


GROUP = "g"
CLASSIC = {"session.timeout.ms": 6_000, "heartbeat.interval.ms": 500}
CONSUMER = {"group.protocol": "consumer"}
OF_CONSUMER_GROUPS = {
    "group.consumer.session.timeout.ms": 6_000,
    "group.consumer.min.session.timeout.ms": 6_000,
    "group.consumer.heartbeat.interval.ms": 500,
    "group.consumer.min.heartbeat.interval.ms": 500,
}
"""As :data:`CLASSIC`, for members of the consumer protocol: there the coordinator says how often, and how long."""
GROUP_FACTS = (
    "AssignmentStored",
    "ConsumerGroupLoaded",
    "CoordinatorLoaded",
    "CoordinatorLoading",
    "GroupAssignmentDecided",
    "GroupConverted",
    "GroupEpochBumped",
    "GroupStateChanged",
    "MemberAdded",
    "MemberReconciled",
    "MemberRemoved",
    "OffsetsCommitted",
    "PartitionsAssigned",
    "PartitionsRevoked",
    "TargetAssigned",
)


@st.composite
def members(draw: st.DrawFn) -> tuple[Reader, ...]:
    """Up to four consumers of one group, which come one after the other; some are static.

    They speak one protocol of groups or the other, or some one and some the other.
    """
    strategy = draw(st.sampled_from(("range", "roundrobin", "sticky", "cooperative-sticky")))
    protocols = draw(st.sampled_from((("classic",), ("consumer",), ("classic", "consumer"))))
    found = []
    for number in range(draw(st.integers(1, 4))):
        is_classic = draw(st.sampled_from(protocols)) == "classic"
        given: dict[str, object] = {
            **(CLASSIC if is_classic else CONSUMER),
            ("partition.assignment.strategy" if is_classic else "group.remote.assignor"): strategy
            if is_classic
            else draw(st.sampled_from((None, "uniform", "range"))),
            "metadata.max.age.ms": 2_000,
            "enable.auto.commit": draw(st.booleans()),
            "auto.commit.interval.ms": draw(st.sampled_from((500, 5_000))),
            "max.poll.interval.ms": draw(st.sampled_from((4_000, 300_000))),
            "request.timeout.ms": draw(st.sampled_from((1_000, 3_000))),
        }
        if draw(st.booleans()):
            given["group.instance.id"] = f"i{number}"
        start = draw(st.integers(0, 60)) / 10
        found.append(Reader(topic="orders", group=GROUP, start=start, every_ms=200, settings=given))
    return tuple(found)


def of_members(count: int) -> st.SearchStrategy[Operation]:
    """Faults of consumers, and of whoever coordinates their group; some in the moment when it does something."""
    who = st.sampled_from([f"consumer:{number + 1}" for number in range(count)])
    both = who | st.just(f"coordinator:{GROUP}")
    aimed = st.builds(
        lambda at, do, fact, nth: Operation(at, do, (f"coordinator:{GROUP}",), on=fact, nth=nth),
        times,
        st.sampled_from(("kill", "pause", "isolate", "stop")),
        st.sampled_from(GROUP_FACTS),
        st.integers(1, 5),
    )
    cut = st.builds(
        lambda at, do, node: Operation(at, do, (node, f"coordinator:{GROUP}")),
        times,
        st.sampled_from(("cut", "heal")),
        who,
    )
    return st.one_of(one("kill", both), one("pause", both), one("resume", both), cut, aimed)


controllers = st.sampled_from(CONTROLLERS)
of_quorum = st.one_of(
    *(one(do, controllers) for do in ("kill", "restart", "stop", "pause", "resume", "isolate", "rejoin")),
    st.builds(
        lambda at, node, do: Operation(at, do, ("controller", node)),
        times,
        st.sampled_from(CONTROLLERS[1:]),
        st.sampled_from(("cut", "heal")),
    ),
)
"""Faults of controllers that are no brokers may lose power too: all that they have said is on their disks."""
numbered = st.sampled_from(("101", "102", "103", "104"))
of_voters = st.one_of(
    one("remove_voter", controllers | numbered),
    one("add_voter", numbered),
    st.builds(lambda at: Operation(at, "add_controller"), times),
)
"""Of dynamic voters that are no brokers."""


def _of_dynamic_quorum(draw: st.DrawFn, most: int) -> list[Operation]:
    """One voter may lose its disk; then no other one is taken out, or a majority of those that are left may be gone."""
    wiped = draw(st.sampled_from(("", "101", "102", "103")))
    changes = of_voters
    if wiped:
        changes = one("remove_voter", st.just(wiped)) | one("add_voter", st.just(wiped))
    drawn = draw(st.lists(of_quorum | changes | one("power_failure", controllers), max_size=most))
    return drawn + (draw(st.lists(one("wipe", st.just(wiped)), max_size=1)) if wiped else [])


@st.composite
def faults(
    draw: st.DrawFn, possible: Faults, most: int, may_lose_power: bool, quorum: str, disks: int
) -> tuple[Operation, ...]:
    """Within the fault budget, in the order of their times; ``quorum`` is one, apart, dynamic or combined."""
    if quorum == "dynamic":
        of_controllers = _of_dynamic_quorum(draw, most)
    elif quorum == "apart":
        of_controllers = draw(st.lists(of_quorum | one("power_failure", controllers), max_size=most // 2))
    else:
        of_controllers = draw(st.lists(of_quorum, max_size=most // 2)) if quorum == "combined" else []
    loses_power = may_lose_power and draw(st.booleans())
    if loses_power:
        drawn = [*draw(st.lists(possible.gentle, max_size=most - 1)), draw(possible.power_failures)]
    else:
        drawn = draw(st.lists(possible.gentle | possible.kills, max_size=most))
        drawn += draw(st.lists(possible.aimed, max_size=2))
    if loses_power and quorum == "combined":
        of_controllers = [operation for operation in of_controllers if operation.do != "kill"]
        drawn = [o for o in drawn if (o.do, o.arguments) != ("kill", ("controller",))]
    if disks > 1 and not loses_power:  # a failed disk makes a shutdown unclean too: with both, nobody may have a record
        drawn += draw(st.lists(possible.disks, max_size=3))
    return tuple(sorted([*drawn, *of_controllers], key=lambda operation: operation.at))


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


def readers() -> st.SearchStrategy[Reader]:
    """Some beside a replica, which they read from where the brokers have racks."""
    racks, polls = st.sampled_from(("", "a", "b")), st.sampled_from((50, 200))
    return st.builds(
        lambda rack, ms, most: Reader(
            topic="orders", every_ms=ms, settings={"client.rack": rack, "max.poll.records": most}
        ),
        racks,
        polls,
        st.sampled_from((3, 500)),
    )


@st.composite
def group_plans(draw: st.DrawFn, *, most: int = 8) -> Plan:
    """Three brokers, a topic of three partitions, a producer, members of a group, faults of all of them."""
    readers_ = draw(members())
    possible = Faults(3)
    operations = draw(st.lists(of_members(len(readers_)) | possible.gentle | possible.kills, max_size=most))
    delay = draw(st.sampled_from((0, 500)))
    return Plan(
        seed=draw(st.integers(0, 2**32)),
        configs={
            **FAST,
            **OF_CONSUMER_GROUPS,
            "offsets.topic.num.partitions": 2,
            "group.initial.rebalance.delay.ms": delay,
            "min.insync.replicas": draw(st.sampled_from((1, 2))),
        },
        features={"eligible.leader.replicas.version": draw(st.sampled_from((0, 1)))},
        topics=(Topic(name="orders", partitions=3),),
        loads=(Load(topic="orders", count=50, start=0.1, every_ms=200, settings=draw(settings())),),
        readers=readers_,
        operations=tuple(sorted(operations, key=lambda operation: operation.at)),
        until=draw(st.sampled_from((6.0, 12.0))),
    )


@st.composite
def plans(draw: st.DrawFn, *, most: int = 12) -> Plan:
    """One to seven brokers, perhaps in racks, one to five controllers apart or combined, a topic of two partitions.

    One or two producers, perhaps a consumer or two, and faults.
    """
    brokers = draw(st.sampled_from((3, 3, 3, 1, 2, 5, 7)))
    quorum = draw(st.sampled_from(("one", "apart", "dynamic", "combined") if brokers >= 3 else ("one", "apart")))
    voters = 1 if quorum == "one" else draw(st.sampled_from((3, 5) if quorum != "combined" or brokers >= 5 else (3,)))
    min_isr = draw(st.sampled_from((1, 2))) if brokers > 1 else 1
    loads = tuple(
        Load(topic="orders", count=40, start=0.1, every_ms=200, keys=draw(st.sampled_from((0, 5))), settings=s)
        for s in draw(st.lists(settings(), min_size=1, max_size=2))
    )
    elr = draw(st.sampled_from((0, 1)))
    possible = Faults(brokers)
    asked = draw(st.lists(possible.requests(elr=elr == 1), max_size=3)) + draw(possible.throttles)
    may_lose_power = min_isr == 2 and elr == 1 and brokers >= 3
    disks = draw(st.sampled_from((1, 1, 2)))
    operations = draw(faults(possible, most, may_lose_power=may_lose_power, quorum=quorum, disks=disks))
    return Plan(
        brokers=brokers,
        controllers=voters,
        combined=quorum == "combined",
        racks=tuple("ab"[i % 2] for i in range(brokers)) if draw(st.booleans()) else (),
        seed=draw(st.integers(0, 2**32)),
        configs={
            **FAST,
            "unclean.leader.election.enable": False,
            "replica.selector.class": "org.apache.kafka.common.replica.RackAwareReplicaSelector",
            "log.dirs": ",".join(f"/data/{number + 1}" for number in range(disks)),
        },
        features={"eligible.leader.replicas.version": elr, **({KRAFT_VERSION: 1} if quorum == "dynamic" else {})},
        topics=(
            Topic(
                name="orders",
                partitions=2,
                replication_factor=min(3, brokers),
                configs={"min.insync.replicas": min_isr},
            ),
        ),
        loads=loads,
        readers=tuple(draw(st.lists(readers(), max_size=2))),
        operations=tuple(sorted((*operations, *asked), key=lambda operation: operation.at)),
        until=draw(st.sampled_from((6.0, 12.0))),
    )
