"""A plan: the shape of a cluster, what is produced, and what goes wrong when; plain data that repeats a run.

Times are absolute, in seconds of virtual time after the cluster is ready, so that leaving an operation out does not
move the others. Nodes are numbers or roles (``leader:orders-0``), resolved when the operation happens.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

import attrs

from kafsim.cluster.aimed import fact_names
from kafsim.cluster.processes import FIRST_CONTROLLER
from kafsim.controller.controller import FEATURES
from kafsim.protocol.config import TOPIC, ConfigError
from kafsim.protocol.dynamic_config import CHECKED, CLUSTER_WIDE, PER_BROKER
from kafsim.protocol.features import KRAFT_VERSION
from kafsim.protocol.safeguards import ALL_ON, Safeguards
from kafsim.scenarios.plan_check import PlanError, made, suggest

T = TypeVar("T")
OPERATIONS = {
    "kill": 1,
    "stop": 1,
    "restart": 1,
    "pause": 1,
    "resume": 1,
    "power_failure": 1,
    "wipe": 1,
    "isolate": 1,
    "rejoin": 1,
    "slow_disk": 2,
    "fail_disk": 2,
    "repair_disk": 2,
    "slow_link": 3,
    "cut": 2,
    "heal": 2,
    "add_controller": 0,
}
"""How many arguments each takes; ``slow_disk`` takes a node and milliseconds for each append, ``slow_link`` two nodes
and milliseconds for what goes from the first to the second, 0 to end it; ``fail_disk`` a node and which of its
``log.dirs``, from 0."""
OF_DISKS = ("fail_disk", "repair_disk")
PAIRS = ("cut", "heal", "slow_link")
REQUESTS = {
    "reassign": 2,
    "elect": 1,
    "set_config": 3,
    "set_broker_config": 3,
    "add_voter": 1,
    "remove_voter": 1,
}
"""What an admin client asks for: to ``reassign`` a partition to replicas (``3,1,2``, or ``cancel``), to ``elect`` its
preferred leader, to ``set_config`` of a topic: name and value, or of a broker or ``default`` for all of them, to make a
controller a voter or to have it no more."""
OF_VOTERS = ("add_voter", "remove_voter")
DEFAULT_BROKER = "default"


ROLES = ("broker", "controller", "follower", "leader", "standby")
TELLER = "teller"
"""The node that stated the fact which an operation is aimed at."""


@attrs.frozen(kw_only=True)
class Topic:
    """``assignment``: the replicas of each partition; otherwise the controller places them."""

    name: str
    partitions: int = 1
    replication_factor: int = 3
    assignment: tuple[tuple[int, ...], ...] = ()
    configs: dict[str, object] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class Load:
    """An open loop: ``count`` records to a topic, one every ``every_ms``, whether or not earlier ones are answered."""

    topic: str
    count: int = 20
    start: float = 0.0
    every_ms: float = 100.0
    keys: int = 0
    """0: without keys; otherwise the number of keys used in turn."""
    settings: dict[str, object] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class Reader:
    """A consumer of all partitions of a topic, which polls every ``every_ms``, for so long, until the faults end."""

    topic: str
    start: float = 0.0
    every_ms: float = 100.0
    settings: dict[str, object] = attrs.field(factory=dict)


@attrs.frozen
class Operation:
    """Something done to a node at a time; with ``on`` right after the ``nth`` fact of that name which comes later.

    The node that stated the fact is called ``teller``.
    """

    at: float
    do: str
    arguments: tuple[str | int | float, ...] = ()
    on: str = ""
    nth: int = 1

    def __str__(self) -> str:
        after = f" after {self.on}" + (f" number {self.nth}" if self.nth > 1 else "") if self.on else ""
        return " ".join(map(str, (self.do, *self.arguments))) + after


@attrs.frozen(kw_only=True)
class Plan:
    """``until``: when the faults end; then everything is healed and restarted, and the cluster must recover."""

    seed: int = 0
    brokers: int = 3
    controllers: int = 1
    combined: bool = False
    """The first brokers are the controllers too."""
    racks: tuple[str, ...] = ()
    configs: dict[str, object] = attrs.field(factory=dict)
    features: dict[str, int] = attrs.field(factory=dict)
    topics: tuple[Topic, ...] = (Topic(name="orders"),)
    loads: tuple[Load, ...] = (Load(topic="orders"),)
    readers: tuple[Reader, ...] = ()
    operations: tuple[Operation, ...] = ()
    until: float = 10.0
    safeguards: Safeguards = ALL_ON


def check_node(who: str, *, aimed: bool = False) -> str:
    """A number or a role; whether somebody has it is known only when the time comes. PlanError for what is neither."""
    role, _, name = who.partition(":")
    if who == TELLER and aimed:
        return who
    if who in ("controller", "standby") or who.isdigit():
        return who
    if who.startswith("standby/") and who.removeprefix("standby/").isdigit():
        return who
    if role == "broker" and name.isdigit():
        return who
    if role not in ("leader", "follower"):
        raise suggest("unknown role", role, ROLES)
    if not name.split("/")[0].rpartition("-")[2].isdigit():
        raise PlanError(f"{who!r} names no partition; try {role}:orders-0")
    return who


def aimed(given: Operation, on: object, nth: object = 1) -> Operation:
    """At a fact. PlanError for one that is not known."""
    if on not in fact_names():
        raise suggest("there is no fact", str(on), fact_names())
    if not isinstance(nth, int) or isinstance(nth, bool) or nth < 1:
        raise PlanError(f"{given}: nth must be a number from 1 on, not {nth!r}")
    return attrs.evolve(given, on=str(on), nth=nth)


def operation(at: object, do: object, *arguments: object, is_aimed: bool = False) -> Operation:
    """Checked: PlanError for an operation that is not known or has other arguments."""
    if do not in OPERATIONS and do not in REQUESTS:
        raise suggest("unknown operation", str(do), [*OPERATIONS, *REQUESTS])
    if not isinstance(at, (int, float)) or isinstance(at, bool) or not 0 <= at < 1e9:
        raise PlanError(f"{do}: the time must be a number of seconds, not {at!r}")
    if do in REQUESTS:
        return _request(float(at), str(do), arguments)
    if len(arguments) != OPERATIONS[str(do)]:
        raise PlanError(f"{do} takes {OPERATIONS[str(do)]} arguments, not {len(arguments)}")
    nodes = [check_node(str(node), aimed=is_aimed) for node in _nodes(str(do), arguments)]
    for number in arguments[len(nodes) :]:
        if not isinstance(number, (int, float)) or isinstance(number, bool) or not 0 <= number < 1e9:
            raise PlanError(
                f"{do} takes {'the number of a disk' if do in OF_DISKS else 'milliseconds'}, not {number!r}"
            )
    if len(set(nodes)) < len(nodes):
        raise PlanError(f"{do} takes two nodes, not {nodes[0]} twice")
    return Operation(float(at), str(do), tuple(a if isinstance(a, (int, float)) else str(a) for a in arguments))


_SETTINGS = {"set_config": frozenset(TOPIC.by_name), "set_broker_config": CLUSTER_WIDE | PER_BROKER}


def _check_setting(do: str, name: str, value: str) -> None:
    if name not in _SETTINGS[do]:
        raise suggest("there is no setting", name, sorted(_SETTINGS[do]))
    setting = (TOPIC.by_name if do == "set_config" else CHECKED).get(name)
    try:
        if setting is not None:
            setting.parse(value)
    except ConfigError as error:
        raise PlanError(str(error)) from None


def _request(at: float, do: str, arguments: tuple[object, ...]) -> Operation:
    if len(arguments) != REQUESTS[do]:
        raise PlanError(f"{do} takes {REQUESTS[do]} arguments, not {len(arguments)}")
    texts = tuple(map(str, arguments))
    if do in OF_VOTERS:
        return Operation(at, do, (check_node(texts[0]),))
    if do in _SETTINGS:
        _check_setting(do, texts[1], texts[2])
    if do == "set_broker_config":
        if texts[0] != DEFAULT_BROKER and not texts[0].isdigit():
            raise PlanError(f"{texts[0]!r} names no broker; try 1, or {DEFAULT_BROKER} for all of them")
        return Operation(at, do, texts)
    if do != "set_config" and not texts[0].rpartition("-")[2].isdigit():
        raise PlanError(f"{texts[0]!r} names no partition; try orders-0")
    if do == "reassign" and texts[1] != "cancel" and not all(part.isdigit() for part in texts[1].split(",")):
        raise PlanError(f"{texts[1]!r} names no replicas; try 3,1,2 or cancel")
    return Operation(at, do, texts)


def _nodes(do: str, arguments: tuple[T, ...]) -> tuple[T, ...]:
    if do in OF_VOTERS:
        return arguments
    if do == "set_broker_config":
        return () if arguments[0] == DEFAULT_BROKER else arguments[:1]
    return () if do in REQUESTS else arguments[: 2 if do in PAIRS else 1]


def check_nodes(operations: Iterable[Operation], brokers: int, controllers: int = 0) -> None:
    """PlanError for an operation on a node that is not there; ``controllers``: how many are no brokers."""
    operations = tuple(operations)
    added = sum(operation.do == "add_controller" for operation in operations)
    apart = range(FIRST_CONTROLLER, FIRST_CONTROLLER + controllers + added)
    for operation in operations:
        for node in map(str, _nodes(operation.do, operation.arguments)):
            id_ = node.removeprefix("broker:")
            if id_.isdigit() and not (int(id_) in apart and id_ == node) and not 1 <= int(id_) <= brokers:
                raise PlanError(f"{operation}: there is no broker {id_}; there are {_listed(brokers)}")


def check_quorum(brokers: int, controllers: int, *, combined: bool) -> None:
    """PlanError for a quorum that no cluster can have."""
    if controllers not in (1, 3, 5):
        raise PlanError(f"a plan: controllers must be 1, 3 or 5, not {controllers}")
    if combined and controllers > brokers:
        raise PlanError(f"a plan: {controllers} combined controllers need as many brokers, not {brokers}")


def _listed(brokers: int) -> str:
    return ", ".join(map(str, range(1, brokers + 1))) if brokers <= 5 else f"1 to {brokers}"


def from_mapping(given: dict[str, Any]) -> Plan:
    """A plan read from TOML; PlanError names the first thing that is wrong."""
    plan: Plan = made(Plan, given, "a plan", _parts)
    check_quorum(plan.brokers, plan.controllers, combined=plan.combined)
    names = {topic.name for topic in plan.topics}
    among = f"which is not among the topics {', '.join(sorted(names))}"
    for load in plan.loads:
        if load.topic not in names:
            raise PlanError(f"a load goes to {load.topic!r}, {among}")
    for reader in plan.readers:
        if reader.topic not in names:
            raise PlanError(f"a reader reads {reader.topic!r}, {among}")
    known = {**FEATURES, KRAFT_VERSION: 1}
    for name, level in plan.features.items():
        if name not in known:
            raise suggest("there is no feature", name, known)
        if not 0 <= level <= known[name]:
            raise PlanError(f"feature {name} has the levels 0 to {known[name]}, not {level}")
    if not plan.features.get(KRAFT_VERSION) and any(o.do == "add_controller" for o in plan.operations):
        raise PlanError("add_controller needs dynamic voters: the feature kraft.version at level 1")
    for operation_ in plan.operations:
        _check_topics(operation_, names)
    return plan


def _parts(given: dict[str, Any]) -> dict[str, Any]:
    values = dict(given)
    for key, make in (("topics", _topic), ("loads", _load), ("readers", _reader), ("operations", _operation)):
        if key in values:
            values[key] = tuple(map(make, _list(values[key], key)))
    if "loads" not in values:
        values["loads"] = ()
    if "safeguards" in values:
        values["safeguards"] = made(Safeguards, values["safeguards"], "safeguards")
    if "racks" in values:
        values["racks"] = tuple(_list(values["racks"], "racks"))
    return values


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise PlanError(f"{where} must be a list, not {value!r}")
    return value


def _topic(given: Any) -> Topic:
    def adapt(given: dict[str, Any]) -> dict[str, Any]:
        if "assignment" not in given:
            return given
        if "partitions" in given:
            raise PlanError("a topic has either partitions or an assignment")
        return {**given, "assignment": tuple(tuple(_list(r, "assignment")) for r in _list(given["assignment"], "it"))}

    topic: Topic = made(Topic, given, "a topic", adapt)
    return topic


def _load(given: Any) -> Load:
    load: Load = made(Load, given, "a load")
    return load


def _reader(given: Any) -> Reader:
    reader: Reader = made(Reader, given, "a reader")
    return reader


def _operation(given: Any) -> Operation:
    if not isinstance(given, dict):
        raise PlanError(f"an operation must be a table, not {given!r}")
    for key in given:
        if key not in ("at", "do", "arguments", "on", "nth"):
            raise suggest("an operation has no", key, ("at", "do", "arguments", "on", "nth"))
    is_aimed = "on" in given
    at, arguments = given.get("at", 0 if is_aimed else None), _list(given.get("arguments", []), "arguments")
    made_ = operation(at, given.get("do"), *arguments, is_aimed=is_aimed)
    return aimed(made_, given["on"], given.get("nth", 1)) if is_aimed else made_


def _check_topics(given: Operation, names: set[str]) -> None:
    if given.do in REQUESTS and given.do not in (*OF_VOTERS, "set_broker_config"):
        asked = str(given.arguments[0])
        topic = asked if given.do == "set_config" else asked.rpartition("-")[0]
        if topic not in names:
            raise PlanError(f"{given}: the plan has no topic {topic!r}; there are {', '.join(sorted(names))}")
    for node in map(str, _nodes(given.do, given.arguments)):
        role, _, name = node.partition(":")
        topic = name.split("/")[0].rpartition("-")[0]
        if role in ("leader", "follower") and topic not in names:
            raise PlanError(f"{given}: the plan has no topic {topic!r}; there are {', '.join(sorted(names))}")
