"""A cluster in a world: its brokers and its controller, the clients of a story, and what can be done to them.

Faults and inspections are plain calls; only waits are async. A node is named by its number, or by its role:
``leader:orders-0``, ``follower:orders-0``, ``follower:orders-0/1`` (the second one), ``controller`` (the active one),
``standby``, ``standby/1`` (controllers that are not active).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

import attrs

from kafsim.broker.broker import Broker
from kafsim.broker.partition import Partition
from kafsim.clients.admin import Admin
from kafsim.clients.assignors.assignor import Assignor
from kafsim.clients.consumer import Consumer
from kafsim.clients.extensions import ConsumerInterceptor, Partitioner, ProducerInterceptor
from kafsim.clients.producer import Producer
from kafsim.cluster.admin_handle import AdminHandle
from kafsim.cluster.aimed import FactTrigger, fact_names
from kafsim.cluster.handles import ConsumerHandle, ProducerHandle, partition_of
from kafsim.cluster.node import Node
from kafsim.cluster.processes import FIRST_CONTROLLER, Processes
from kafsim.cluster.waits import WITHIN
from kafsim.cluster.world import Stated, World
from kafsim.controller.controller import Controller
from kafsim.controller.metadata_state import PartitionState
from kafsim.protocol.client_config import ADMIN, consumer_settings, producer_settings
from kafsim.protocol.config import ConfigError, broker_settings
from kafsim.protocol.effects import Terminate
from kafsim.protocol.features import KRAFT_VERSION
from kafsim.protocol.types import Address, Micros, TopicPartition
from kafsim.protocol.uuid import Uuid

T = TypeVar("T")


@attrs.frozen(kw_only=True)
class ClusterShape:
    """``brokers`` are numbered from 1, ``controllers`` from 101; ``configs`` are broker settings in Kafka's names.

    ``combined``: the first brokers are the controllers too. ``racks`` by broker.
    """

    brokers: int = 3
    controllers: int = 1
    combined: bool = False
    racks: tuple[str, ...] = ()
    configs: dict[str, object] = attrs.field(factory=dict)
    features: dict[str, int] = attrs.field(factory=dict)


def _check_shape(shape: ClusterShape) -> None:
    if shape.brokers < 1:
        raise ConfigError(f"a cluster needs a broker, not {shape.brokers}")
    if shape.controllers not in (1, 3, 5):
        raise ConfigError(f"a quorum has 1, 3 or 5 controllers, not {shape.controllers}")
    if shape.combined and shape.controllers > shape.brokers:
        raise ConfigError(f"{shape.controllers} combined controllers need as many brokers, not {shape.brokers}")
    dirs = broker_settings(shape.configs)["log.dirs"]
    if not dirs or len(set(dirs)) < len(dirs):
        raise ConfigError(
            f"log.dirs must name one directory or several different ones, not {', '.join(dirs) or 'none'}"
        )
    if shape.racks and len(shape.racks) != shape.brokers:
        raise ConfigError(f"{shape.brokers} brokers need as many racks, not {len(shape.racks)}")


class UnknownNode(ValueError):
    """No node has that number or role."""


class ReplicaView(NamedTuple):
    """One replica as its broker has it."""

    broker: int
    role: str
    leader_epoch: int
    log_start_offset: int
    high_watermark: int
    log_end_offset: int


class Cluster:
    """Made in a world that runs; :meth:`start` starts all nodes."""

    def __init__(self, world: World, shape: ClusterShape | None = None, name: str = "") -> None:
        self.world = world
        self.shape = shape or ClusterShape()
        _check_shape(self.shape)
        self.name = name
        few = {"offsets.topic.replication.factor": self.shape.brokers} if self.shape.brokers < 3 else {}
        configs = {**few, **self.shape.configs}  # as the properties of a single broker that come with Kafka say it
        settings = broker_settings(configs)
        static = frozenset(configs)
        processes = Processes(name, self.shape, settings, static, self._first_directory)
        self._processes = processes
        self.controllers: dict[int, Node] = {}
        self.brokers: dict[int, Node] = {}
        if not self.shape.combined:
            for id_, address in processes.controllers.items():
                self.controllers[id_] = world.add(address, processes.controller)
        disks = len(settings["log.dirs"])
        for id_ in range(1, self.shape.brokers + 1):
            make = processes.combined if self.shape.combined and id_ in processes.controllers else processes.broker
            self.brokers[id_] = world.add(Address(name, "broker", id_), make, disks=disks)
        if self.shape.combined:
            self.controllers = {id_: self.brokers[id_] for id_ in processes.controllers}
        self.bootstrap = list(self.brokers)
        """What clients made from now on have as bootstrap.servers."""
        self._clients: dict[str, int] = {}
        self.clients: dict[str, Node] = {}
        """Every client that was made, by its name: ``consumer-1``."""
        self._admin: AdminHandle | None = None

    def _first_directory(self, address: Address) -> Uuid:
        directory: Uuid = self.world.chance.stream("directory", str(address)).uuid()
        return directory

    # ------------------------------------------------------------------------------ voters

    def add_controller(self) -> int:
        """Start another controller, which votes when :meth:`add_voter` has added it; its number.

        ConfigError without ``features={"kraft.version": 1}``: the voters of version 0 are in the settings of all nodes.
        """
        if not self.shape.features.get(KRAFT_VERSION):
            raise ConfigError("another controller needs dynamic voters: features={'kraft.version': 1}")
        id_ = max(FIRST_CONTROLLER - 1, *self.controllers) + 1
        address = Address(self.name, "controller", id_)
        self._processes.controllers[id_] = address
        self.controllers[id_] = self.world.add(address, self._processes.controller)
        self.controllers[id_].start()
        return id_

    async def add_voter(self, controller: int) -> None:
        """Make a running controller a voter, as ``kafka-metadata-quorum add-controller`` does (KIP-853)."""
        core = self.controller_of(controller)
        if core is None:
            raise UnknownNode(f"controller {controller} does not run")
        await self.admin.add_voter(controller, core.raft.me.directory, core.given.address)

    async def remove_voter(self, controller: int, directory: Uuid | None = None) -> None:
        """Take a voter out; ``directory``: of which of its disks, by default the one that the voters have."""
        if directory is None:
            voters = (await self.admin.describe_quorum()).current_voters
            found = [voter.replica_directory_id for voter in voters if voter.replica_id == controller]
            if not found:
                raise UnknownNode(f"{controller} is not a voter")
            directory = found[0]
        await self.admin.remove_voter(controller, directory)

    # ------------------------------------------------------------------------------- waits

    async def start(self) -> None:
        """Start every node and wait until all brokers serve."""
        for node in self.nodes:
            node.start()
        await self.until(self.is_ready, what="all brokers to serve")

    def is_ready(self) -> bool:
        return all(self.is_serving(broker) for broker in self.brokers)

    def is_serving(self, broker: int) -> bool:
        core = self.core(broker)
        return core is not None and core._is_serving

    async def advance(self, seconds: float) -> None:
        """Let virtual time go by."""
        await self.world.advance(Micros(round(seconds * 1_000_000)))

    async def until(
        self, predicate: Callable[[], T], within: float | None = None, what: str = "what the story waits for"
    ) -> T:
        """Wait until this is true after some event; Stuck when that takes longer than ``within`` seconds."""
        limit = WITHIN if within is None else Micros(round(within * 1_000_000))
        return await self.world.until(predicate, what, limit)

    # ----------------------------------------------------------------------------- clients

    def producer(
        self,
        settings: Mapping[str, object] | None = None,
        *,
        interceptors: Iterable[ProducerInterceptor] = (),
        partitioner: Partitioner | None = None,
        **more: object,
    ) -> ProducerHandle:
        """``producer({"linger.ms": 0}, acks="all")``; in keywords a dot is an underscore.

        ``partitioner`` stands for partitioner.class, ``interceptors`` for interceptor.classes.
        """
        parsed = producer_settings(_merged(settings, more))
        plugged = (tuple(interceptors), partitioner)
        return ProducerHandle(self.world, self._client("producer", Producer, parsed, *plugged))

    def consumer(
        self,
        settings: Mapping[str, object] | None = None,
        *,
        interceptors: Iterable[ConsumerInterceptor] = (),
        assignors: Iterable[Assignor] = (),
        **more: object,
    ) -> ConsumerHandle:
        """``assignors``: your own, instead of those that partition.assignment.strategy names."""
        parsed = consumer_settings(_merged(settings, more))
        plugged = (tuple(interceptors), tuple(assignors))
        return ConsumerHandle(self.world, self._client("consumer", Consumer, parsed, *plugged))

    @property
    def admin(self) -> AdminHandle:
        """One admin client for the story."""
        if self._admin is None:
            self._admin = self.new_admin()
        return self._admin

    def new_admin(self, settings: Mapping[str, object] | None = None, **more: object) -> AdminHandle:
        """Another admin client, with settings of its own."""
        return AdminHandle(self.world, self._client("admin", Admin, ADMIN.parse(_merged(settings, more))))

    def _client(self, role: str, make: Callable[..., Any], settings: dict[str, Any], *plugged: Any) -> Node:
        number = self._clients.get(role, 0) + 1
        self._clients[role] = number
        bootstrap = list(self.bootstrap)
        node = self.world.add(
            Address(self.name, role, number), lambda given: make(given, settings, bootstrap, *plugged)
        )
        self.clients[str(node.address)] = node
        node.start()
        return node

    # ------------------------------------------------------------------------- inspections

    @property
    def nodes(self) -> list[Node]:
        """Controllers and brokers, each once."""
        return list(dict.fromkeys([*self.controllers.values(), *self.brokers.values()]))

    def core(self, broker: int) -> Broker | None:
        """The core of a running broker, None for one that is down."""
        port = self.brokers[broker].port
        core: Any = None if port is None else port.core
        return core if core is None or isinstance(core, Broker) else core.broker

    def coordinator_of(self, group: str) -> int | None:
        """The broker that coordinates a group now; None while there is none."""
        for id_ in self.brokers:
            core = self.core(id_)
            if core is not None and core.groups.find(group)[0] is not None:
                return id_
        return None

    def controller_of(self, id_: int) -> Controller | None:
        """The controller of a running node."""
        port = self.controllers[id_].port
        core: Any = None if port is None else port.core
        return None if core is None else core.controller

    @property
    def active_controller(self) -> int | None:
        """The number of the active controller; of the newest one when an old one does not know yet."""
        active = {id_: core.epoch for id_ in self.controllers if (core := self.controller_of(id_)) and core.is_active}
        return max(active, key=lambda id_: active[id_] or 0) if active else None

    @property
    def controller_core(self) -> Controller | None:
        """The active controller, or the running one that has replayed most; None when none runs."""
        active = self.active_controller
        if active is not None:
            return self.controller_of(active)
        running = [core for id_ in self.controllers if (core := self.controller_of(id_))]
        return max(running, key=lambda core: core.raft.high_watermark, default=None)

    def partition(self, partition: TopicPartition | tuple[str, int] | str) -> PartitionState | None:
        """What the controller has committed of a partition."""
        tp, core = partition_of(partition), self.controller_core
        topic_id = None if core is None else core.state.topic_ids.committed(tp.topic)
        return None if core is None or topic_id is None else core.state.partitions.committed((topic_id, tp.partition))

    def leader(self, partition: TopicPartition | tuple[str, int] | str) -> int | None:
        """The leader in the controller's metadata, None without one."""
        state = self.partition(partition)
        return None if state is None or state.leader < 0 else state.leader

    def isr(self, partition: TopicPartition | tuple[str, int] | str) -> tuple[int, ...]:
        state = self.partition(partition)
        return () if state is None else state.isr

    def replica(self, partition: TopicPartition | tuple[str, int] | str, broker: int) -> Partition | None:
        """A replica on a running broker."""
        tp, core = partition_of(partition), self.core(broker)
        if core is None:
            return None
        return next((p for p in core.replicas.by_key.values() if p.tp == tp), None)

    def replicas(self, partition: TopicPartition | tuple[str, int] | str) -> list[ReplicaView]:
        found = []
        for broker in self.brokers:
            replica = self.replica(partition, broker)
            if replica is not None:
                role = "leader" if replica.leader is not None else "follower"
                log = replica.log
                found.append(
                    ReplicaView(
                        broker,
                        role,
                        replica.leader_epoch,
                        log.log_start_offset,
                        log.high_watermark,
                        log.log_end_offset,
                    )
                )
        return found

    def select(self, who: int | str) -> Node:
        """A node by number or role; UnknownNode when there is none now."""
        if isinstance(who, int) or who.isdigit():
            return self._numbered(int(who))
        role, _, rest = who.partition(":")
        if role == "controller" and not rest:
            return self._active()
        if role.partition("/")[0] == "standby":
            return self._standby(int(role.partition("/")[2] or 0))
        name, _, nth = rest.partition("/")
        if role == "broker" and name.isdigit():
            return self._numbered(int(name))
        if role == "consumer":
            if f"consumer-{name}" not in self.clients:
                raise UnknownNode(f"there is no consumer {name}")
            return self.clients[f"consumer-{name}"]
        if role == "coordinator":
            return self._coordinator(rest)
        if role not in ("leader", "follower") or not name:
            raise UnknownNode(f"{who!r} names no node; try 1, leader:orders-0, follower:orders-0 or controller")
        leader = self.leader(name)
        if role == "leader":
            if leader is None:
                raise UnknownNode(f"{name} has no leader")
            return self.brokers[leader]
        state = self.partition(name)
        others = [] if state is None else [r for r in state.replicas if r != leader]
        index = int(nth or 0)
        if index >= len(others):
            raise UnknownNode(f"{name} has {len(others)} followers")
        return self.brokers[others[index]]

    def _coordinator(self, group: str) -> Node:
        found = self.coordinator_of(group)
        if found is None:
            raise UnknownNode(f"group {group} has no coordinator")
        return self.brokers[found]

    def _active(self) -> Node:
        if len(self.controllers) == 1:
            return next(iter(self.controllers.values()))
        active = self.active_controller
        if active is None:
            raise UnknownNode("no controller is active")
        return self.controllers[active]

    def _standby(self, index: int) -> Node:
        active = self.active_controller
        others = [node for id_, node in self.controllers.items() if id_ != active and node.port is not None]
        if index >= len(others):
            raise UnknownNode(f"{len(others)} controllers stand by")
        return others[index]

    def _numbered(self, id_: int) -> Node:
        if id_ in self.controllers:
            return self.controllers[id_]
        if id_ not in self.brokers:
            raise UnknownNode(f"there is no broker {id_}; there are {', '.join(map(str, self.brokers))}")
        return self.brokers[id_]

    # ------------------------------------------------------------------------------ faults

    def on(
        self,
        fact: str,
        act: Callable[[Stated], object],
        *,
        nth: int = 1,
        where: Callable[[Stated], bool] = lambda _: True,
    ) -> FactTrigger:
        """Do something right after the nth fact of a name, ``BecameLeader`` for one, that ``where`` takes.

        ``act`` is told what was stated: its ``node``, ``time`` and ``fact``. ValueError for a name that is not known.
        """
        if fact not in fact_names():
            raise ValueError(f"there is no fact {fact!r}")
        trigger = FactTrigger(self.world, fact, act, nth, where)
        self.world.listen(trigger)
        return trigger

    def kill(self, who: int | str) -> None:
        """SIGKILL."""
        self.select(who).kill()

    def stop(self, who: int | str) -> None:
        """SIGTERM: a node leaves in good order; a broker's process ends when the controller agrees."""
        self.world.call(self.select(who), Terminate(), "stop")

    def restart(self, who: int | str) -> None:
        """Start a node that is down; one that runs is killed first."""
        node = self.select(who)
        node.kill()
        node.start()

    def pause(self, who: int | str) -> None:
        """SIGSTOP."""
        self.select(who).pause()

    def resume(self, who: int | str) -> None:
        """SIGCONT."""
        self.select(who).resume()

    def power_failure(self, who: int | str) -> None:
        """The machine is off; of what was not flushed only a part is left."""
        self.select(who).power_failure()

    def wipe(self, who: int | str) -> None:
        """A new empty disk for a node that is down."""
        self.select(who).wipe()

    def fail_disk(self, who: int | str, disk: int = 0) -> None:
        """One of ``log.dirs`` can neither be read nor written any more; without the first one a node halts."""
        self._disk(who, disk).fail_disk(disk)

    def repair_disk(self, who: int | str, disk: int = 0) -> None:
        """It works again, with what was on it; a broker that runs uses it after its next start."""
        self._disk(who, disk).repair_disk(disk)

    def _disk(self, who: int | str, disk: int) -> Node:
        node = self.select(who)
        if not 0 <= disk < len(node.disks):
            raise UnknownNode(f"{node.address} has no disk {disk}; it has {len(node.disks)}")
        return node

    def slow_disk(self, who: int | str, *, append_ms: float = 0, flush_ms: float = 1) -> None:
        self.select(who).slow_disk(round(append_ms * 1_000), round(flush_ms * 1_000))

    def slow_link(self, one: int | str, other: int | str, *, extra_ms: float) -> None:
        """Whatever goes from one node to the other takes so much longer, one way; 0 ends it."""
        self.world.slow_link(self.select(one).address, self.select(other).address, round(extra_ms * 1_000))

    def cut(self, one: int | str, other: int | str, *, one_way: bool = False) -> None:
        """Nothing gets from one node to the other, nor back unless ``one_way``."""
        a, b = self.select(one).address, self.select(other).address
        self.world.cut(a, b)
        if not one_way:
            self.world.cut(b, a)

    def heal(self, one: int | str, other: int | str, *, one_way: bool = False) -> None:
        a, b = self.select(one).address, self.select(other).address
        self.world.heal(a, b)
        if not one_way:
            self.world.heal(b, a)

    def isolate(self, who: int | str) -> None:
        """Cut a node from every other node of the cluster; clients still reach it."""
        for other in self._others(who):
            self.world.cut(self.select(who).address, other.address)
            self.world.cut(other.address, self.select(who).address)

    def rejoin(self, who: int | str) -> None:
        for other in self._others(who):
            self.world.heal(self.select(who).address, other.address)
            self.world.heal(other.address, self.select(who).address)

    def _others(self, who: int | str) -> list[Node]:
        mine = self.select(who)
        return [node for node in self.nodes if node is not mine]


def _merged(settings: Mapping[str, object] | None, more: Mapping[str, object]) -> dict[str, object]:
    return {**(settings or {}), **{name.replace("_", "."): value for name, value in more.items()}}
