"""Runs a story or a plan on a simulated cluster and judges it.

``simulate`` is the front door: it gives a :class:`Run` with the fingerprint, the violations of invariants, the
judgement of the clients' history and the time each partition was not available.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any

import attrs

from kafsim.clients.calls import ConsumerRecord
from kafsim.clients.errors import KafkaError, UnreadableRecordError
from kafsim.cluster import fold
from kafsim.cluster.cluster import Cluster, ClusterShape
from kafsim.cluster.errors import Stuck
from kafsim.cluster.handles import ConsumerHandle
from kafsim.cluster.invariants import Monitor, Violation
from kafsim.cluster.trace import Fingerprint
from kafsim.cluster.world import Dispatch, EventListener, Listener, Shape, Stated, WireName, World, run
from kafsim.coordinator.classic_group import STABLE
from kafsim.coordinator.consumer_group import ConsumerGroup
from kafsim.coordinator.coordinator_runtime import TOPIC as OFFSETS_TOPIC
from kafsim.protocol import errors
from kafsim.protocol.facts.fact import STATE
from kafsim.protocol.facts.world import FaultSkipped
from kafsim.protocol.safeguards import ALL_ON, Safeguards
from kafsim.protocol.types import TopicPartition
from kafsim.scenarios.availability import Availability
from kafsim.scenarios.consumption import Consumption
from kafsim.scenarios.history import History, Judgement

Story = Callable[[Cluster], Awaitable[None]]
WAKING_SECONDS = 0.5
RECOVERY_SECONDS = 300.0


@attrs.frozen(kw_only=True)
class Run:
    """What came of a run. ``ok``: no invariant was violated and the cluster recovered."""

    seed: int
    fingerprint: str
    virtual_seconds: float
    messages: int
    events: int
    violations: tuple[Violation, ...]
    history: Judgement
    unavailable: dict[str, float]
    """Seconds without a serving leader, for each partition."""
    unread: dict[str, dict[str, float]]
    """Seconds that a partition was read by no member of a group while these changed, by group."""
    differences: tuple[str, ...]
    """Between the facts and the cores, at the end."""
    stuck: str | None = None
    abandoned: dict[str, tuple[str, ...]] = attrs.field(factory=dict)
    """Partitions that a group has read and nobody of it reads at the end."""
    skipped_faults: int = 0
    """Operations that found nobody, or a node in the wrong state."""
    hollow: tuple[str, ...] = ()
    """Partitions that were led by a replica which its leader had asked into the ISR and forgotten (``docs/isr.md``).

    What was acknowledged there may be lost, as in Kafka.
    """

    @property
    def ok(self) -> bool:
        return not self.violations and not self.differences and self.stuck is None

    @property
    def verdict(self) -> str:
        """``ok``, or what is wrong: a violation, ``stuck``, ``lost``, ``duplicated`` or ``reordered``."""
        if self.violations:
            return f"violated {self.violations[0].invariant}"
        if self.differences:
            return "facts and cores differ"
        if self.stuck is not None:
            return "stuck"
        wrong = [name for name in ("lost", "duplicated", "reordered") if getattr(self.history, name)]
        return ", ".join(wrong) or "ok"


@attrs.define(kw_only=True)
class Options:
    """How to run; nothing here but seed, shape and safeguards changes what happens."""

    seed: int = 0
    shape: ClusterShape = attrs.field(factory=ClusterShape)
    safeguards: Safeguards = ALL_ON
    dispatch: Dispatch = "channel"
    wire: WireName = "codec"
    listeners: tuple[Listener, ...] = ()
    recorder: EventListener | None = None
    settle: bool = True
    """At the end: heal and restart everything, wait until all replicas are in sync, read everything."""
    members_poll: bool = False
    """Every consumer that subscribes polls to the end of the run, so that its group must come to rest."""


def simulate(
    story: Story,
    *,
    seed: int = 0,
    brokers: int = 3,
    controllers: int = 1,
    combined: bool = False,
    racks: Iterable[str] = (),
    configs: Mapping[str, object] | None = None,
    features: Mapping[str, int] | None = None,
    **options: Any,
) -> Run:
    """Run ``async def story(cluster)`` on a cluster that is ready; errors of the story are raised as they are.

    The shape of the cluster as :class:`ClusterShape` has it; ``options`` are those of :class:`Options`.
    """
    shape = ClusterShape(
        brokers=brokers,
        controllers=controllers,
        combined=combined,
        racks=tuple(racks),
        configs=dict(configs or {}),
        features=dict(features or {}),
    )
    return run_story(story, Options(seed=seed, shape=shape, **options))


class SkippedFaults:
    """Counts them."""

    level = STATE

    def __init__(self) -> None:
        self.count = 0

    def on_fact(self, stated: Stated) -> None:
        self.count += isinstance(stated.fact, FaultSkipped)


class _Oracles:
    """What listens to every run, and the Run they make together."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.monitor, self.history, self.available, self.fingerprint = (
            Monitor(),
            History(),
            Availability(),
            Fingerprint(),
        )
        self.skipped, self.consumption = SkippedFaults(), Consumption()
        listeners: tuple[Listener, ...] = (
            self.fingerprint,
            self.monitor,
            self.history,
            self.available,
            self.skipped,
            self.consumption,
            *options.listeners,
        )
        shape = Shape(seed=options.seed, dispatch=options.dispatch, wire=options.wire, safeguards=options.safeguards)
        self.world = World(shape, listeners)
        self.world.recorder = options.recorder
        self.stuck: str | None = None
        self.differences: list[str] = []

    def result(self) -> Run:
        world = self.world
        return Run(
            seed=self.options.seed,
            fingerprint=self.fingerprint.hexdigest(),
            virtual_seconds=world.clock.now / 1e6,
            messages=world.messages,
            events=world.clock.event,
            violations=tuple(self.monitor.violations),
            history=self.history.judge(),
            unavailable=self.available.finish(world.clock.now),
            unread=self.consumption.finish(),
            abandoned=self.consumption.abandoned(),
            differences=tuple(self.differences),
            stuck=self.stuck,
            skipped_faults=self.skipped.count,
            hollow=tuple(name for name, one in self.monitor.ghosts.partitions.items() if one.is_hollow),
        )


def run_story(story: Story, options: Options) -> Run:
    """As :func:`simulate`, with everything in one object."""
    oracles = _Oracles(options)

    async def play(world: World) -> None:
        cluster = Cluster(world, options.shape)
        await cluster.start()
        await story(cluster)
        if options.settle:
            try:
                await settle(cluster, oracles.history, members_poll=options.members_poll)
            except Stuck as stuck:
                oracles.stuck = f"{_refusals(cluster)}{stuck}"
        oracles.differences = fold.differences(cluster, oracles.monitor.ghosts)

    run(oracles.world, play)
    return oracles.result()


def run_world_story(story: Callable[[World], Awaitable[None]], options: Options) -> Run:
    """A story of a world without a cluster."""
    oracles = _Oracles(options)
    run(oracles.world, story)
    return oracles.result()


# ------------------------------------------------------------------------------ the end of a run


async def settle(cluster: Cluster, history: History | None = None, *, members_poll: bool = False) -> None:
    """Heal, restart, wait for recovery and for every answer, and read all that is there; Stuck when that fails."""
    cancelled: dict[TopicPartition, None] = {}

    def is_well() -> bool:
        return is_recovered(cluster) and (not members_poll or groups_have_converged(cluster))

    heal_all(cluster)
    await cluster.advance(WAKING_SECONDS)  # who was paused learns only now that it was asked to stop
    while not is_well():
        heal_all(cluster)  # again when a broker has ended that was asked to stop, or began with a broken disk
        for tp in endless_reassignments(cluster):
            cluster.admin.begin_reassignment(tp, None)
            cancelled[tp] = None
        await cluster.advance(WAKING_SECONDS)
        await cluster.until(
            lambda: (
                is_well()
                or _needs_healing(cluster)
                or any(tp not in cancelled for tp in endless_reassignments(cluster))
            ),
            within=RECOVERY_SECONDS,
            what="all replicas to be in sync" + (", and every group to be Stable" if members_poll else ""),
        )
    if history is not None:
        sends = history.sends
        await cluster.until(
            lambda: all(sent.answered_us >= 0 for sent in sends.values()),
            within=RECOVERY_SECONDS,
            what="an answer to every send",
        )
        reader = cluster.consumer(auto_offset_reset="earliest")
        history.read_from_now_on(reader.name)
        await read_all(cluster, reader)
        history.all_is_read()


def heal_all(cluster: Cluster) -> None:
    """Nothing is cut, slow, paused or down any more."""
    world = cluster.world
    for source, target in world.network.links():
        link = world.network.link(source, target)
        while link.cut:
            world.heal(source, target)
        if link.extra_us:
            world.slow_link(source, target, 0)
    for node in cluster.nodes:
        if node.disk.append_us:
            node.slow_disk(0, 1_000)
        for number in range(len(node.disks)):
            node.repair_disk(number)
        if node.paused:
            node.resume()
        if node.port is None:
            node.start()
    for client in cluster.clients.values():
        if client.paused:
            client.resume()
    _stop_who_knew_a_broken_disk(cluster)


def endless_reassignments(cluster: Cluster) -> list[TopicPartition]:
    """Those that never end by themselves, in Kafka 4.3 as here.

    A second reassignment, to some of the replicas of the first one, leaves what is to be added as it was: a replica
    that is to be added and removed at once is never in sync of those that stay.
    """
    core = cluster.controller_core
    if core is None or not core.is_active:
        return []
    names = core.state.topic_names
    return [
        TopicPartition(names[topic_id], index)
        for (topic_id, index), state in core.state.partitions.items()
        if any(replica in state.removing for replica in state.adding)
    ]


def _needs_healing(cluster: Cluster) -> bool:
    return any(node.port is None for node in cluster.nodes) or bool(_who_knew_a_broken_disk(cluster))


def _stop_who_knew_a_broken_disk(cluster: Cluster) -> None:
    """It does not look at the disk again before its next start."""
    for id_ in _who_knew_a_broken_disk(cluster):
        cluster.stop(id_)


def _who_knew_a_broken_disk(cluster: Cluster) -> list[int]:
    """Brokers that run without one of their directories; one that is still starting is asked to stop once it runs."""
    cores = {id_: cluster.core(id_) for id_ in cluster.brokers}
    return [id_ for id_, core in cores.items() if core and core.logs.has_offline and core.lifecycle.is_running]


def is_recovered(cluster: Cluster) -> bool:
    """Every broker serves, and every partition has all its replicas in sync behind a leader that knows it.

    Nothing is on its way any more: no reassignment, no ISR proposal, no record above a high watermark.
    """
    core = cluster.controller_core
    if core is None or not core.is_active or len(core.state.journal) or not cluster.is_ready():
        return False
    if any((broker := cluster.core(id_)) and not broker.lifecycle.is_running for id_ in cluster.brokers):
        return False  # it was asked to stop, and waits for a controller to let it go
    for (topic_id, index), state in core.state.partitions.items():
        if state.leader < 0 or len(state.isr) != len(state.replicas) or state.adding or state.removing:
            return False
        broker = cluster.core(state.leader)
        replica = None if broker is None else broker.replicas.by_key.get((topic_id, index))
        if replica is None or replica.leader is None or replica.leader_epoch != state.leader_epoch:
            return False
        if replica.leader.isr.in_flight or replica.log.high_watermark != replica.log.log_end_offset:
            return False
    return True


FOR_GOOD = (errors.UNKNOWN_SERVER_ERROR, errors.GROUP_ID_NOT_FOUND, errors.UNRELEASED_INSTANCE_ID)
"""What a consumer is refused for, and has to be made anew after, through no fault of its own: it comes to a classic
group that has not had a generation yet, the group has become a classic one while nothing was heard of it, or the
process that had its instance id is not known to be gone."""


def _refusals(cluster: Cluster) -> str:
    """Which consumers were refused for good, for whoever waits for their groups."""
    codes = ((name, core.group.refused_for) for name, core in _in_groups(cluster))
    return "".join(f"{name} was refused for good with {errors.name(code)}; " for name, code in codes if code)


def _in_groups(cluster: Cluster) -> Iterator[tuple[str, Any]]:
    """The names and cores of the consumers that run and have a group."""
    for name, node in cluster.clients.items():
        core: Any = None if node.port is None else node.port.core
        if name.startswith("consumer-") and core is not None and core.group is not None:
            yield name, core


def groups_have_converged(cluster: Cluster) -> bool:
    """Every consumer that subscribes and runs is a member of its group, in the generation that is assigned."""
    expected: dict[str, dict[str, int]] = {}
    for _, core in _in_groups(cluster):
        group = core.group
        if group.is_subscribed and group.refused_for not in FOR_GOOD:
            if not group.is_stable:
                return False
            generation = group.membership.generation
            expected.setdefault(core.settings["group.id"], {})[generation.member] = generation.id
    return all(_has_converged(cluster, name, members) for name, members in expected.items())


def _has_converged(cluster: Cluster, name: str, members: dict[str, int]) -> bool:
    broker = cluster.coordinator_of(name)
    core = None if broker is None else cluster.core(broker)
    coordinator = None if core is None else core.groups.find(name)[0]
    group = None if coordinator is None else coordinator.shard.groups.get(name)
    if group is None or group.state != STABLE:
        return False
    if isinstance(group, ConsumerGroup):
        return {id_: member.epoch for id_, member in group.members.items()} == members
    if set(members.values()) != {group.generation}:
        return False
    return sorted(group.members) == sorted(members)


async def read_all(cluster: Cluster, reader: ConsumerHandle) -> None:
    """Every record of every partition, from the start to the end, past what cannot be read."""
    core = cluster.controller_core
    assert core is not None, "the cluster has recovered"
    every = (TopicPartition(core.state.topic_names[topic_id], index) for topic_id, index in core.state.partitions)
    partitions = [tp for tp in every if tp.topic != OFFSETS_TOPIC]
    if not partitions:
        return
    ends = await reader.end_offsets(partitions)
    await reader.assign(partitions)
    await reader.seek_to_beginning(*partitions)
    positions = await reader.beginning_offsets(partitions)
    while any(positions[tp] < ends[tp] for tp in partitions):
        for record in await _poll(reader):
            positions[TopicPartition(record.topic, record.partition)] = record.offset + 1
        for tp in partitions:
            if positions[tp] < ends[tp]:  # behind the last record there may be a gap, where the log was compacted
                positions[tp] = await reader.position(tp)


async def _poll(reader: ConsumerHandle) -> tuple[ConsumerRecord, ...]:
    try:
        return await reader.getmany(timeout_ms=500)
    except UnreadableRecordError as error:
        await reader.seek(error.partition, error.offset + 1)
        return ()


async def outcome(pending: Awaitable[Any]) -> Any:
    """The answer to a send, or the error it ended with."""
    try:
        return await pending
    except KafkaError as error:
        return error
