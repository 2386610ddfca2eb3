"""What may be done to a cluster in a plan: the kinds of operations, and what each of them takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import attrs

from kafsim.cluster.aimed import fact_names
from kafsim.cluster.processes import FIRST_CONTROLLER
from kafsim.protocol.config import TOPIC, ConfigError
from kafsim.protocol.dynamic_config import CHECKED, CLUSTER_WIDE, PER_BROKER
from kafsim.scenarios.plan_check import PlanError, suggest

Value = str | int | float
ROLES = ("broker", "consumer", "controller", "coordinator", "follower", "leader", "standby")
TELLER = "teller"
"""The node that stated the fact which an operation is aimed at."""
DEFAULT_BROKER = "default"


@attrs.frozen
class Operation:
    """Something done to a node at a time; with ``on`` right after the ``nth`` fact of that name which comes later.

    The node that stated the fact is called ``teller``.
    """

    at: float
    do: str
    arguments: tuple[Value, ...] = ()
    on: str = ""
    nth: int = 1

    def __str__(self) -> str:
        after = f" after {self.on}" + (f" number {self.nth}" if self.nth > 1 else "") if self.on else ""
        return " ".join(map(str, (self.do, *self.arguments))) + after


# ----------------------------------------------------------------- arguments: each is checked and gives what is kept


Check = Callable[[str, object, tuple[Value, ...]], Value]
"""Of the operation's name, a value, and the arguments before it."""


def node(_: str, given: object, __: tuple[Value, ...]) -> Value:
    check_node(str(given), aimed=True)
    return given if isinstance(given, (int, float)) else str(given)


def _number(do: str, given: object, what: str) -> Value:
    if not isinstance(given, (int, float)) or isinstance(given, bool) or not 0 <= given < 1e9:
        raise PlanError(f"{do} takes {what}, not {given!r}")
    return given


def milliseconds(do: str, given: object, _: tuple[Value, ...]) -> Value:
    return _number(do, given, "milliseconds")


def disk(do: str, given: object, _: tuple[Value, ...]) -> Value:
    return _number(do, given, "the number of a disk")


def partition(_: str, given: object, __: tuple[Value, ...]) -> Value:
    if not str(given).rpartition("-")[2].isdigit():
        raise PlanError(f"{str(given)!r} names no partition; try orders-0")
    return str(given)


def replicas(_: str, given: object, __: tuple[Value, ...]) -> Value:
    if given != "cancel" and not all(part.isdigit() for part in str(given).split(",")):
        raise PlanError(f"{str(given)!r} names no replicas; try 3,1,2 or cancel")
    return str(given)


def topic(_: str, given: object, __: tuple[Value, ...]) -> Value:
    return str(given)


def broker_or_default(_: str, given: object, __: tuple[Value, ...]) -> Value:
    if given != DEFAULT_BROKER and not str(given).isdigit():
        raise PlanError(f"{str(given)!r} names no broker; try 1, or {DEFAULT_BROKER} for all of them")
    return str(given)


def topic_setting(_: str, given: object, __: tuple[Value, ...]) -> Value:
    return _setting(str(given), frozenset(TOPIC.by_name))


def broker_setting(_: str, given: object, __: tuple[Value, ...]) -> Value:
    return _setting(str(given), CLUSTER_WIDE | PER_BROKER)


def _setting(name: str, known: frozenset[str]) -> str:
    if name not in known:
        raise suggest("there is no setting", name, sorted(known))
    return name


def setting_value(do: str, given: object, before: tuple[Value, ...]) -> Value:
    setting = (TOPIC.by_name if do == "set_config" else CHECKED).get(str(before[-1]))
    try:
        if setting is not None:
            setting.parse(str(given))
    except ConfigError as error:
        raise PlanError(str(error)) from None
    return str(given)


# -------------------------------------------------------------------------------------------------- kinds


FAULTS: dict[str, tuple[Check, ...]] = {
    "kill": (node,),
    "stop": (node,),
    "restart": (node,),
    "pause": (node,),
    "resume": (node,),
    "power_failure": (node,),
    "wipe": (node,),
    "isolate": (node,),
    "rejoin": (node,),
    "slow_disk": (node, milliseconds),
    "fail_disk": (node, disk),
    "repair_disk": (node, disk),
    "slow_link": (node, node, milliseconds),
    "cut": (node, node),
    "heal": (node, node),
    "add_controller": (),
}
"""What each takes. ``slow_disk``: so much longer for each append; ``slow_link``: for what goes from the first node to
the second, 0 to end it; ``fail_disk``: which of the node's ``log.dirs``, from 0."""
OF_VOTERS: dict[str, tuple[Check, ...]] = {"add_voter": (node,), "remove_voter": (node,)}
REQUESTS: dict[str, tuple[Check, ...]] = {
    "reassign": (partition, replicas),
    "elect": (partition,),
    "set_config": (topic, topic_setting, setting_value),
    "set_broker_config": (broker_or_default, broker_setting, setting_value),
    **OF_VOTERS,
}
"""What an admin client asks for: other replicas of a partition, or an end to that; the election of its preferred
leader; a setting of a topic, of a broker or of all of them; a controller that becomes a voter, or is one no more."""
KINDS = {**FAULTS, **REQUESTS}


def operation(at: object, do: object, *arguments: object, is_aimed: bool = False) -> Operation:
    """Checked: PlanError for an operation that is not known or has other arguments."""
    if do not in KINDS:
        raise suggest("unknown operation", str(do), KINDS)
    if not isinstance(at, (int, float)) or isinstance(at, bool) or not 0 <= at < 1e9:
        raise PlanError(f"{do}: the time must be a number of seconds, not {at!r}")
    checks = KINDS[str(do)]
    if len(arguments) != len(checks):
        raise PlanError(f"{do} takes {len(checks)} arguments, not {len(arguments)}")
    kept: tuple[Value, ...] = ()
    for check, given in zip(checks, arguments, strict=True):
        kept = (*kept, check(str(do), given, kept))
    made = Operation(float(at), str(do), kept)
    nodes = list(nodes_of(made))
    if TELLER in nodes and not is_aimed:
        raise suggest("unknown role", TELLER, ROLES)
    if len(set(nodes)) < len(nodes):
        raise PlanError(f"{do} takes two nodes, not {nodes[0]} twice")
    return made


def aimed(given: Operation, on: object, nth: object = 1) -> Operation:
    """At a fact. PlanError for one that is not known."""
    if on not in fact_names():
        raise suggest("there is no fact", str(on), fact_names())
    if not isinstance(nth, int) or isinstance(nth, bool) or nth < 1:
        raise PlanError(f"{given}: nth must be a number from 1 on, not {nth!r}")
    return attrs.evolve(given, on=str(on), nth=nth)


def check_node(who: str, *, aimed: bool = False) -> str:
    """A number or a role; whether somebody has it is known only when the time comes. PlanError for what is neither."""
    role, _, name = who.partition(":")
    if who == TELLER and aimed:
        return who
    if who in ("controller", "standby") or who.isdigit():
        return who
    if who.startswith("standby/") and who.removeprefix("standby/").isdigit():
        return who
    if (role in ("broker", "consumer") and name.isdigit() and int(name)) or (role == "coordinator" and name):
        return who
    if role in ("broker", "consumer", "coordinator"):
        raise PlanError(f"{who!r} names nobody; try {role}:{'billing' if role == 'coordinator' else 1}")
    if role not in ("leader", "follower"):
        raise suggest("unknown role", role, ROLES)
    if not name.split("/")[0].rpartition("-")[2].isdigit():
        raise PlanError(f"{who!r} names no partition; try {role}:orders-0")
    return who


# -------------------------------------------------------------------------------------- what an operation is about


def nodes_of(given: Operation) -> Iterator[str]:
    """Numbers and roles."""
    for check, value in zip(KINDS[given.do], given.arguments, strict=True):
        if check is node or (check is broker_or_default and value != DEFAULT_BROKER):
            yield str(value)


def topics_of(given: Operation) -> Iterator[str]:
    """Those it names, also by way of the leader or a follower of a partition."""
    for check, value in zip(KINDS[given.do], given.arguments, strict=True):
        if check is topic:
            yield str(value)
        elif check is partition:
            yield str(value).rpartition("-")[0]
    for role, _, name in (who.partition(":") for who in nodes_of(given)):
        if role in ("leader", "follower"):
            yield name.split("/")[0].rpartition("-")[0]


def check_nodes(operations: Iterable[Operation], brokers: int, controllers: int = 0) -> None:
    """PlanError for an operation on a node that is not there; ``controllers``: how many are no brokers."""
    operations = tuple(operations)
    added = sum(operation.do == "add_controller" for operation in operations)
    apart = range(FIRST_CONTROLLER, FIRST_CONTROLLER + controllers + added)
    for given in operations:
        for who in nodes_of(given):
            id_ = who.removeprefix("broker:")
            if id_.isdigit() and not (int(id_) in apart and id_ == who) and not 1 <= int(id_) <= brokers:
                raise PlanError(f"{given}: there is no broker {id_}; there are {_listed(brokers)}")


def check_topics(given: Operation, names: set[str]) -> None:
    """PlanError for an operation on a topic that the plan does not have."""
    for name in topics_of(given):
        if name not in names:
            raise PlanError(f"{given}: the plan has no topic {name!r}; there are {', '.join(sorted(names))}")


def _listed(brokers: int) -> str:
    return ", ".join(map(str, range(1, brokers + 1))) if brokers <= 5 else f"1 to {brokers}"
