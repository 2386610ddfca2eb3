"""``kafsim run``: run a scenario, a plan or a story, and tell it."""

from __future__ import annotations

import contextlib
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from kafsim.cli.errors import EXPECTED, VIOLATION, UsageError

if TYPE_CHECKING:
    from kafsim.cli.runnable import Runnable
    from kafsim.scenarios.simulation import Run

SHOWN = 5
"""How many violations and differences the summary shows."""


def _whole(_: Any, tokens: Sequence[Any]) -> int:
    """A whole number; cyclopts alone would round."""
    try:
        return int(tokens[0].value)
    except ValueError:
        raise ValueError(f"{tokens[0].value!r} is no whole number") from None


def run(
    name: str,
    /,
    *,
    source: Annotated[str | None, Parameter("--input", allow_leading_hyphen=True)] = None,
    key_separator: str | None = None,
    seed: Annotated[int | None, Parameter(converter=_whole)] = None,
    brokers: Annotated[int | None, Parameter(converter=_whole)] = None,
    controllers: Annotated[int | None, Parameter(converter=_whole)] = None,
    combined: Annotated[bool, Parameter(negative="")] = False,
    settings: Annotated[list[str] | None, Parameter("--set", negative="")] = None,
    kill: Annotated[list[str] | None, Parameter("--kill", negative="")] = None,
    cut: Annotated[list[str] | None, Parameter("--cut", negative="")] = None,
    dispatch: Literal["channel", "direct"] = "channel",
    wire: Literal["codec", "share"] = "codec",
    trace: Path | None = None,
    as_json: Annotated[bool, Parameter("--json", negative="")] = False,
    quiet: Annotated[bool, Parameter(("--quiet", "-q"), negative="")] = False,
) -> int:
    """Run a scenario and tell what happens, with the reason for each decision.

    Exit code 0 when it ends as expected, 1 on a violation or another verdict, 2 on wrong use.

    Parameters
    ----------
    name
        A name from `kafsim scenarios`, a plan in TOML, or a Python file with `async def story(cluster)`.
    source
        A text file, or - for standard input: each line is a record.
    key_separator
        What divides key and value in a line; without it records have no key.
    seed
        The same seed gives the same run, bit for bit. Default 0, or the seed of the plan.
    brokers
        How many brokers; default 3.
    controllers
        How many controllers, 1, 3 or 5; default 1.
    combined
        The first brokers are the controllers too.
    settings
        A setting in Kafka's name, as in acks=1; may be given again. A prefix says whose: producer., consumer., topic.
        or broker.; without it the first of these that has it.
    kill
        Kill a node at a time in seconds, as in leader:orders-0@1.5; may be given again. Nodes are 1, controller (the
        active one), standby, leader:TOPIC-PARTITION, follower:TOPIC-PARTITION, consumer:1 or coordinator:GROUP; times
        count from when all serve.
        Or right after a fact, as in teller@BecameLeader:2: whoever states the second one of that name.
    cut
        Cut two nodes off from each other for a time, as in 1,2@2..4; may be given again.
    dispatch
        How inputs reach the nodes; the run is the same.
    wire
        How messages travel: as bytes, or as shared instances; the run is the same.
    trace
        Write the run to this file, for `kafsim why`, `describe`, `log` and `check`.
    as_json
        Print one object instead of a narration.
    quiet
        Print only the summary.
    """
    from kafsim.cli import runnable  # noqa: PLC0415
    from kafsim.scenarios.scenario import is_expected  # noqa: PLC0415

    if brokers is not None and not 1 <= brokers <= 100:
        raise UsageError(f"--brokers must be from 1 to 100, not {brokers}")
    asked = runnable.Asked(
        source=source,
        key_separator=key_separator,
        seed=seed,
        brokers=brokers,
        controllers=controllers,
        combined=combined,
        settings=tuple(settings or ()),
        kills=tuple(kill or ()),
        cuts=tuple(cut or ()),
    )
    if trace is not None and source is not None and trace.exists() and trace.resolve() == Path(source).resolve():
        raise UsageError(f"--trace would overwrite the input {source}")
    found = runnable.find(name, asked)
    done = _run(found, dispatch, wire, trace, narrate=not quiet and not as_json)
    about = summary(found, done)
    if as_json:
        print(json.dumps(about))
    else:
        _print(about, done, shlex.join(["kafsim", "run", *_repeat(name, found.seed, asked)]))
    return EXPECTED if is_expected(about["verdict"], found.expected) else VIOLATION


def _run(found: Runnable, dispatch: Any, wire: Any, trace: Path | None, *, narrate: bool) -> Run:
    from kafsim.cluster.trace import TraceWriter  # noqa: PLC0415
    from kafsim.scenarios.narrator import Narrator  # noqa: PLC0415

    listeners: list[Any] = [Narrator(sys.stdout)] if narrate else []
    with contextlib.ExitStack() as stack:
        writer = None
        if trace is not None:
            try:
                file = stack.enter_context(trace.open("wb"))
            except OSError as error:
                raise UsageError(f"cannot write {trace}: {error.strerror}") from None
            writer = TraceWriter(file, {"scenario": found.name, "seed": found.seed})
            listeners.append(writer)
        done = found.run(dispatch=dispatch, wire=wire, listeners=tuple(listeners), recorder=writer)
        if writer is not None:
            writer.finish()
        return done


def summary(found: Runnable, done: Run) -> dict[str, Any]:
    """What ``--json`` prints."""
    seen = done.history
    return {
        "scenario": found.name,
        "seed": done.seed,
        "fingerprint": done.fingerprint,
        "virtual_seconds": done.virtual_seconds,
        "messages": done.messages,
        "expected": found.expected,
        "verdict": done.verdict,
        "sent": seen.sent,
        "acked": seen.acked,
        "unacknowledged": seen.unacknowledged,
        "missing": seen.missing,
        "failed": seen.failed,
        "unanswered": seen.unanswered,
        "errors": seen.errors,
        "read": seen.read,
        "lost": seen.lost,
        "duplicated": seen.duplicated,
        "reordered": seen.reordered,
        "unavailable_seconds": done.unavailable,
        "unread_seconds": done.unread,
        "abandoned": {group: list(names) for group, names in done.abandoned.items()},
        "skipped_faults": done.skipped_faults,
        "hollow": list(done.hollow),
        "latency_p50_ms": seen.latency_p50_ms,
        "latency_p99_ms": seen.latency_p99_ms,
        "examples": list(seen.examples),
        "violations": [str(violation) for violation in done.violations],
    }


def _print(about: dict[str, Any], done: Run, repeat: str) -> None:
    from kafsim.scenarios.scenario import is_expected  # noqa: PLC0415

    fits = is_expected(about["verdict"], about["expected"])
    as_expected = "as expected" if fits else f"expected: {about['expected']}"
    print(f"\nverdict      {about['verdict']} ({as_expected})")
    print(
        f"records      sent {about['sent']}, acked {about['acked']}, failed {about['failed']}, "
        f"read at the end {about['read']}"
    )
    if about["unacknowledged"]:
        print(f"             sent with acks=0 {about['unacknowledged']}, of which {about['missing']} are missing")
    if about["unanswered"]:
        print(f"             without an answer at the end {about['unanswered']}")
    for error, count in about["errors"].items():
        print(f"             failed with {error}: {count}")
    print(f"             lost {about['lost']}, duplicated {about['duplicated']}, reordered {about['reordered']}")
    for example in about["examples"]:
        print(f"             {example}")
    for violation in about["violations"][:SHOWN]:
        print(f"violation    {violation}")
    if len(about["violations"]) > SHOWN:
        print(f"             and {len(about['violations']) - SHOWN} more; `kafsim check` on a trace shows all")
    for difference in done.differences[:SHOWN]:
        print(f"difference   {difference}")
    if done.stuck:
        print(f"stuck        {done.stuck}")
    _print_gaps(done)
    if done.hollow:
        print(f"hollow       {', '.join(done.hollow)}: led by a replica that its leader had forgotten; see docs/isr.md")
    if done.skipped_faults:
        print(f"faults       {done.skipped_faults} found nobody, or a node that was down or up already")
    print(f"latency      p50 {about['latency_p50_ms']:.2f} ms, p99 {about['latency_p99_ms']:.2f} ms")
    print(f"virtual time {about['virtual_seconds']:g} s, {about['messages']} messages, seed {about['seed']}")
    print(f"fingerprint  {about['fingerprint']}")
    print(f"repeat with: {repeat}")


def _print_gaps(done: Run) -> None:
    """How long partitions had no leader, and no reader in a group."""
    for partition, seconds in done.unavailable.items():
        print(f"unavailable  {partition}: {seconds:.3f} s")
    for group, partitions in done.unread.items():
        stood = [seconds for seconds in partitions.values() if seconds]
        if stood:
            print(
                f"unread       {group}: {len(stood)} of {len(partitions)} partitions, {sum(stood):.3f} s in all, "
                f"{max(stood):.3f} s at most"
            )
        left = done.abandoned.get(group, ())
        if left:
            print(f"abandoned    {group}: {len(left)} of {len(partitions)} partitions are read by nobody at the end")


def _repeat(name: str, seed: int, asked: Any) -> list[str]:
    words = [name, "--seed", str(seed)]
    if asked.source is not None:
        words += ["--input", asked.source]
    if asked.key_separator is not None:
        words += ["--key-separator", asked.key_separator]
    if asked.brokers is not None:
        words += ["--brokers", str(asked.brokers)]
    if asked.controllers is not None:
        words += ["--controllers", str(asked.controllers)]
    words += ["--combined"] * asked.combined
    for option, values in (("--set", asked.settings), ("--kill", asked.kills), ("--cut", asked.cuts)):
        for value in values:
            words += [option, value]
    return words
