"""What the options of ``kafsim run`` mean: records, settings, faults."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from kafsim.cli.errors import UsageError, unknown
from kafsim.protocol.client_config import CONSUMER, PRODUCER, producer_settings
from kafsim.protocol.config import BROKER, TOPIC, ConfigError, Settings
from kafsim.scenarios.operation import Operation, aimed, check_node
from kafsim.scenarios.plan_check import PlanError
from kafsim.scenarios.scenario import Given, Record

KINDS: dict[str, Settings] = {"producer": PRODUCER, "consumer": CONSUMER, "topic": TOPIC, "broker": BROKER}


def records(source: str | None, separator: str | None) -> tuple[Record, ...]:
    """One record for each line of a file, or of standard input for ``-``."""
    if source is None:
        return ()
    if separator == "":
        raise UsageError("--key-separator must not be empty")
    try:
        data = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {source}: {error.strerror}") from None
    try:
        lines = data.decode().splitlines()
    except UnicodeDecodeError as error:
        raise UsageError(f"{source} is not UTF-8 text: {error.reason} at byte {error.start}") from None
    if not lines:
        raise UsageError(f"{source} has no lines")
    return tuple(_record(line, number, separator) for number, line in enumerate(lines, 1))


def _record(line: str, number: int, separator: str | None) -> Record:
    if separator is None:
        return None, line
    key, found, value = line.partition(separator)
    if not found:
        raise UsageError(f"no key found on line number {number}: {line}")
    return key, value


def check_clients(given: Given) -> None:
    """Settings that contradict each other; what a story sets itself is not known here."""
    try:
        producer_settings(given.producer)
    except ConfigError as error:
        raise UsageError(str(error)) from None


def settings(given: Iterable[str]) -> dict[str, dict[str, object]]:
    """``name=value`` by kind: that of its prefix (``topic.``), else the first that has it."""
    found: dict[str, dict[str, object]] = {kind: {} for kind in KINDS}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals:
            raise UsageError(f"--set takes name=value, not {one!r}")
        kind, bare = _kind(name)
        try:
            KINDS[kind].parse({bare: value})
        except ConfigError as error:
            raise UsageError(str(error)) from None
        found[kind][bare] = value
    return found


def _kind(name: str) -> tuple[str, str]:
    prefix, _, rest = name.partition(".")
    if prefix in KINDS and rest in KINDS[prefix]:
        return prefix, rest
    for kind, known_here in KINDS.items():
        if name in known_here:
            return kind, name
    owners = [kind for kind, known_here in KINDS.items() if rest in known_here]
    if prefix in KINDS and owners:
        raise UsageError(f"a {prefix} has no setting {rest!r}; a {owners[0]} has it")
    known = [setting for kind in KINDS.values() for setting in kind.names()]
    raise unknown("setting", name, known)


def faults(kills: Iterable[str], cuts: Iterable[str]) -> tuple[Operation, ...]:
    """``--kill WHO@T`` or ``--kill WHO@FACT``, and ``--cut A,B@T1..T2``, in the order of their times."""
    found: list[Operation] = []
    for kill in kills:
        who, at = _at(kill, "--kill", "leader:orders-0@1.5")
        found.append(_kill(who, at))
    for cut in cuts:
        pair, span = _at(cut, "--cut", "1,2@2..4")
        one, comma, other = pair.partition(",")
        begin, dots, end = span.partition("..")
        if not comma or not dots:
            raise UsageError(f"--cut takes A,B@T1..T2, as in 1,2@2..4, not {cut!r}")
        nodes = (_node(one), _node(other))
        found.append(Operation(_seconds(begin, "--cut"), "cut", nodes))
        found.append(Operation(_seconds(end, "--cut"), "heal", nodes))
        if found[-1].at < found[-2].at:
            raise UsageError(f"--cut {cut}: it ends before it begins")
    return tuple(sorted(found, key=lambda operation: operation.at))


def _kill(who: str, at: str) -> Operation:
    """At a time; or right after a fact, ``teller@BecameLeader`` or ``1@IsrChanged:2``."""
    fact, _, nth = at.partition(":")
    if not fact.isidentifier():
        return Operation(_seconds(at, "--kill"), "kill", (_node(who),))
    try:
        killed = Operation(0.0, "kill", (check_node(who, aimed=True),))
        return aimed(killed, fact, int(nth) if nth.isdigit() else 1)
    except PlanError as error:
        raise UsageError(f"--kill: {error}") from None


def _at(given: str, option: str, example: str) -> tuple[str, str]:
    who, at, time = given.rpartition("@")
    if not at or not who:
        raise UsageError(f"{option} takes a node and a time, as in {example}, not {given!r}")
    return who, time


def _seconds(text: str, option: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        raise UsageError(f"{option}: {text!r} is no number of seconds") from None
    if not 0 <= seconds < 1e9:
        raise UsageError(f"{option}: {text} s is out of range")
    return seconds


def _node(who: str) -> str:
    try:
        return check_node(who)
    except PlanError as error:
        raise UsageError(str(error)) from None
