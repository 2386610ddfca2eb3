"""The one stream that explains a run: on disk, as a fingerprint, and read back.

A trace is a msgpack stream. The first object is a map about the run; then come rows: ``[0, event, time, node, what,
cause]`` for each event that reached somebody and ``[1, event, time, node, name, fields, causes]`` for each fact, where
``cause`` is the event during which something was put under way. ``[2]`` ends the trace of a run that came to its end. A
fact's index counts facts only.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, BinaryIO

import attrs
import msgpack

from kafsim.cluster.clock import SimClock
from kafsim.cluster.world import Stated
from kafsim.protocol import codec
from kafsim.protocol.facts import load_all
from kafsim.protocol.facts.fact import CHATTER, STATE
from kafsim.protocol.types import Address, EventNumber, Micros

FORMAT = 1


def _fact_row(stated: Stated) -> bytes:
    known = codec.by_class[type(stated.fact)]
    row = (1, stated.event, stated.time, str(stated.node), known.tag, known.to_tuple(stated.fact), stated.causes)
    return _pack(row)


def _pack(row: object) -> bytes:
    data: bytes = _packer.pack(row)
    return data


_packer = msgpack.Packer(autoreset=True)


class Fingerprint:
    """A hash over all decisions and states of a run; equal for equal runs, whoever else listened."""

    level = STATE

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=12)

    def on_fact(self, stated: Stated) -> None:
        self._hash.update(_fact_row(stated))

    def hexdigest(self) -> str:
        return self._hash.hexdigest()


class TraceWriter:
    """Writes a trace while the run goes on, so that a run which is broken off leaves a readable one."""

    def __init__(self, file: BinaryIO, about: dict[str, Any], level: int = CHATTER) -> None:
        self.level = level
        self._file = file
        file.write(_pack({"kafsim_trace": FORMAT, **about}))

    def on_event(self, clock: SimClock, node: Address, what: str) -> None:
        self._file.write(_pack((0, clock.event, clock.now, str(node), what, clock.cause)))

    def on_fact(self, stated: Stated) -> None:
        self._file.write(_fact_row(stated))

    def finish(self) -> None:
        """The run has come to its end."""
        self._file.write(_pack((2,)))


@attrs.frozen
class Event:
    number: EventNumber
    time: Micros
    node: str
    what: str
    cause: EventNumber


@attrs.frozen
class Fact:
    """A fact as it was recorded."""

    index: int
    event: EventNumber
    time: Micros
    node: str
    fact: Any
    causes: tuple[EventNumber, ...]


class TraceError(Exception):
    """The file is no trace, or one that this version cannot read."""


class Trace:
    """A recorded run."""

    def __init__(self, about: dict[str, Any]) -> None:
        self.about = about
        self.events: dict[EventNumber, Event] = {}
        self.facts: list[Fact] = []
        self.is_whole = False
        """The run came to its end; otherwise it was broken off, or the file was."""

    def add(self, row: Any) -> None:
        if row[0] == 2:
            self.is_whole = True
        elif row[0] == 0:
            event = Event(*row[1:])
            self.events[event.number] = event
        else:
            _, event_number, time, node, name, fields, causes = row
            fact = codec.by_tag[name].from_tuple(fields)
            self.facts.append(Fact(len(self.facts), event_number, time, node, fact, causes))

    def stated_in(self, event: EventNumber) -> list[Fact]:
        return [fact for fact in self.facts if fact.event == event]


def load(path: Path) -> Trace:
    """Read a trace; one that was cut off in the middle of a row ends before that row."""
    load_all()
    with path.open("rb") as file:
        rows = msgpack.Unpacker(file, use_list=False)
        try:
            about = next(rows)
            if not isinstance(about, dict) or "kafsim_trace" not in about:
                raise TraceError(f"{path} is not a kafsim trace")
        except (StopIteration, ValueError, msgpack.UnpackException):
            raise TraceError(f"{path} is not a kafsim trace") from None
        if about["kafsim_trace"] != FORMAT:
            raise TraceError(f"{path} was written by another version of kafsim")
        trace = Trace(about)
        try:
            for row in rows:
                trace.add(row)
        except (KeyError, IndexError, TypeError, ValueError, msgpack.UnpackException) as error:
            raise TraceError(f"{path} is damaged after {len(trace.facts)} facts: {error!r}") from error
    return trace
