"""Runs a plan: its loads and its operations, each at its time."""

from __future__ import annotations

import attrs

from kafsim.cluster.admin_handle import AdminHandle
from kafsim.cluster.aimed import FactTrigger
from kafsim.cluster.cluster import Cluster, ClusterShape, UnknownNode
from kafsim.cluster.handles import ProducerHandle
from kafsim.cluster.world import WORLD, Stated
from kafsim.protocol.facts.world import FaultSkipped
from kafsim.protocol.types import Micros
from kafsim.scenarios.operation import DEFAULT_BROKER, OF_VOTERS, REQUESTS, TELLER, Operation
from kafsim.scenarios.plan import Load, Plan, Reader
from kafsim.scenarios.simulation import Options, Run, run_story

NEEDS_RUNNING = frozenset({"kill", "pause", "power_failure", "resume", "stop"})
NEEDS_DOWN = frozenset({"restart", "wipe"})


def run_plan(plan: Plan, **options: object) -> Run:
    """``options`` are those of :class:`kafsim.scenarios.simulation.Options`."""
    shape = ClusterShape(
        brokers=plan.brokers,
        controllers=plan.controllers,
        combined=plan.combined,
        racks=plan.racks,
        configs=plan.configs,
        features=plan.features,
    )

    async def story(cluster: Cluster) -> None:
        await play(cluster, plan)

    polls = any(reader.group for reader in plan.readers)
    given = Options(
        seed=plan.seed,
        shape=shape,
        safeguards=plan.safeguards,
        members_poll=polls,
        **options,  # type: ignore[arg-type]
    )
    return run_story(story, given)


async def play(cluster: Cluster, plan: Plan) -> None:
    """Everything happens at its time; what comes after ``until`` does not."""
    triggers = await begin(cluster, plan)
    await cluster.world.advance(Micros(round(plan.until * 1_000_000)))
    for trigger in triggers:
        trigger.disarm()


async def begin(cluster: Cluster, plan: Plan) -> list[FactTrigger]:
    """Create the topics, and put loads and operations on the clock; what was aimed at facts may be disarmed."""
    for topic in plan.topics:
        placed = dict(enumerate(topic.assignment))
        await cluster.admin.create_topic(
            topic.name,
            partitions=-1 if placed else topic.partitions,
            replication_factor=-1 if placed else topic.replication_factor,
            assignment=placed,
            configs=topic.configs,
        )
    start = cluster.world.clock.now
    for number, load in enumerate(plan.loads):
        schedule_load(cluster, start, number, load, plan.until)
    for reader in plan.readers:
        schedule_reader(cluster, start, reader, plan)
    triggers: list[FactTrigger] = []
    for operation in plan.operations:
        if operation.at >= plan.until:
            continue
        triggers += schedule(cluster, operation, start, "plan")
    return triggers


def schedule(cluster: Cluster, operation: Operation, start: int, whose: str) -> list[FactTrigger]:
    """Put an operation on the clock, or aim it; times count from ``start``. What was aimed may be disarmed."""
    at = start + round(operation.at * 1_000_000)
    if operation.on:
        return [_aim(cluster, operation, at)]
    cluster.world.at(at, lambda: perform(cluster, operation), f"{whose}: {operation}")
    return []


def _aim(cluster: Cluster, operation: Operation, at: int) -> FactTrigger:
    """Right after a fact that is stated from this time on."""

    def act(stated: Stated) -> None:
        arguments = tuple(str(stated.node.id) if a == TELLER else a for a in operation.arguments)
        role = stated.node.role
        if TELLER in operation.arguments and role not in ("broker", "controller"):
            why = f"{operation.on} was stated by {stated.node}"
            cluster.world.happened(WORLD, FaultSkipped(operation=str(operation), why=why))
        else:
            perform(cluster, attrs.evolve(operation, arguments=arguments))

    return cluster.on(operation.on, act, nth=operation.nth, where=lambda stated: stated.time >= at)


def schedule_load(cluster: Cluster, start: int, number: int, load: Load, until: float) -> None:
    """Every arrival is an event; what it sends depends on the plan alone."""
    producer = cluster.producer(load.settings)
    for index in range(load.count):
        after = round(load.start * 1_000_000 + index * load.every_ms * 1_000)
        if after >= until * 1_000_000:
            break
        at = start + after
        cluster.world.at(at, lambda i=index: send(producer, number, load, i), "load")  # type: ignore[misc]


def send(producer: ProducerHandle, number: int, load: Load, index: int) -> None:
    key = f"k{index % load.keys}" if load.keys else None
    producer.send(load.topic, f"{number}:{index}", key=key)


def schedule_reader(cluster: Cluster, start: int, reader: Reader, plan: Plan) -> None:
    """Every poll is an event, which puts the next one on the clock."""
    topic = next(topic for topic in plan.topics if topic.name == reader.topic)
    partitions = [(topic.name, index) for index in range(len(topic.assignment) or topic.partitions)]
    group = {"group.id": reader.group} if reader.group else {}
    consumer = cluster.consumer({"auto.offset.reset": "earliest", **reader.settings, **group})
    first, until = start + round(reader.start * 1_000_000), start + round(plan.until * 1_000_000)

    def begin() -> None:
        if reader.group:
            consumer.begin_subscribe([topic.name])
        else:
            consumer.begin_assign(partitions)

    def poll(at: int) -> None:
        if at < until or reader.group:
            cluster.world.at(at, lambda: _poll(at), "reader")

    def _poll(at: int) -> None:
        if consumer.node.port is not None:
            consumer.begin_poll(timeout_ms=reader.every_ms)
            poll(at + round(reader.every_ms * 1_000))

    cluster.world.at(first, begin, "reader")

    poll(first)


def perform(cluster: Cluster, operation: Operation) -> None:
    """Do it, if it can be done now: a role may have nobody, a node may be down already."""
    try:
        why = _perform(cluster, operation.do, *operation.arguments)
    except UnknownNode as nobody:
        why = str(nobody)
    if why is not None:
        cluster.world.happened(WORLD, FaultSkipped(operation=str(operation), why=why))


def _perform(cluster: Cluster, do: str, who: str | float = "", *more: str | float) -> str | None:
    """Why not, when it was not done."""
    name = str(who)
    if do == "add_controller":
        cluster.add_controller()
        return None
    if do in OF_VOTERS:
        return _ask_voter(cluster, do, cluster.select(name).address.id)
    if do in REQUESTS:
        _ask(cluster.admin, do, name, *map(str, more))
        return None
    node = cluster.select(name)
    runs = node.port is not None
    if runs if do in NEEDS_DOWN else not runs and do in NEEDS_RUNNING:
        return f"{node.address} {'runs' if runs else 'is down'}"
    match do, *more:
        case "slow_disk", ms:
            cluster.slow_disk(name, append_ms=float(ms))
        case (("fail_disk" | "repair_disk"), disk):
            getattr(cluster, do)(name, int(disk))
        case "slow_link", other, ms:
            cluster.slow_link(name, str(other), extra_ms=float(ms))
        case _, other:
            getattr(cluster, do)(name, str(other))
        case _:
            getattr(cluster, do)(name)
    return None


def _ask_voter(cluster: Cluster, do: str, id_: int) -> str | None:
    """What an operator would do, who looks up what there is to know of a voter."""
    if do == "remove_voter":
        core = cluster.controller_core
        voter = None if core is None else core.raft.log.voters.by_id.get(id_)
        if voter is None:
            return f"{id_} is no voter, as far as is known"
        cluster.admin.begin_remove_voter(id_, voter.key.directory)
        return None
    new = cluster.controller_of(id_) if id_ in cluster.controllers else None
    if new is None:
        return f"{id_} is no controller that runs"
    cluster.admin.begin_add_voter(id_, new.raft.me.directory, new.given.address)
    return None


def _ask(admin: AdminHandle, do: str, about: str, *more: str) -> None:
    """What comes of it the run will tell; nobody waits for the answer."""
    match do, *more:
        case "reassign", replicas:
            admin.begin_reassignment(about, None if replicas == "cancel" else map(int, replicas.split(",")))
        case "set_config", name, value:
            admin.begin_configuration("topic", about, name, value)
        case "set_broker_config", name, value:
            admin.begin_configuration("broker", "" if about == DEFAULT_BROKER else about, name, value)
        case _:
            admin.begin_election(about)
