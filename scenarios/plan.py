"""A plan: the shape of a cluster, what is produced, and what goes wrong when; plain data that repeats a run.

Times are absolute, in seconds of virtual time after the cluster is ready, so that leaving an operation out does not
move the others. Nodes are numbers or roles (``leader:orders-0``), resolved when the operation happens.
"""

from __future__ import annotations

from typing import Any

import attrs

from kafsim.controller.controller import FEATURES
from kafsim.protocol.features import KRAFT_VERSION
from kafsim.protocol.safeguards import ALL_ON, Safeguards
from kafsim.scenarios.operation import Operation, aimed, check_topics, operation
from kafsim.scenarios.plan_check import PlanError, made, suggest


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
    """A consumer of all partitions of a topic, which polls every ``every_ms``, for so long, until the faults end.

    With ``group`` it is a member of that group, reads what the group gives it, and polls on to the end of the run.
    """

    topic: str
    group: str = ""
    start: float = 0.0
    every_ms: float = 100.0
    settings: dict[str, object] = attrs.field(factory=dict)


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


def check_quorum(brokers: int, controllers: int, *, combined: bool) -> None:
    """PlanError for a quorum that no cluster can have."""
    if controllers not in (1, 3, 5):
        raise PlanError(f"a plan: controllers must be 1, 3 or 5, not {controllers}")
    if combined and controllers > brokers:
        raise PlanError(f"a plan: {controllers} combined controllers need as many brokers, not {brokers}")


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
        if "group.id" in reader.settings:
            raise PlanError("a reader has its group in `group`, not in the setting group.id")
    known = {**FEATURES, KRAFT_VERSION: 1}
    for name, level in plan.features.items():
        if name not in known:
            raise suggest("there is no feature", name, known)
        if not 0 <= level <= known[name]:
            raise PlanError(f"feature {name} has the levels 0 to {known[name]}, not {level}")
    if not plan.features.get(KRAFT_VERSION) and any(o.do == "add_controller" for o in plan.operations):
        raise PlanError("add_controller needs dynamic voters: the feature kraft.version at level 1")
    for operation_ in plan.operations:
        check_topics(operation_, names)
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
