"""The entropy guard: while the run's own code executes, the real clock, chance and sockets raise instead of leaking in.

It acts only in the run's thread, and not while the world is between events (progress bars, writing a trace).
``datetime.now`` cannot be replaced; the linter forbids it.
"""

from __future__ import annotations

import contextlib
import os
import random
import secrets
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import trio

from kafsim.cluster.errors import Nondeterminism

_RANDOM = [
    "random",
    "randint",
    "randrange",
    "choice",
    "choices",
    "shuffle",
    "sample",
    "uniform",
    "getrandbits",
    "gauss",
]
TARGETS: list[tuple[Any, str]] = [
    *((time, name) for name in ("time", "time_ns", "monotonic", "monotonic_ns", "sleep")),
    *((random, name) for name in _RANDOM),
    *((uuid, name) for name in ("uuid1", "uuid4")),
    *((secrets, name) for name in ("token_bytes", "token_hex", "randbelow")),
    (os, "urandom"),
    (socket, "socket"),
    (threading.Thread, "start"),
    (trio.to_thread, "run_sync"),
    (trio, "run_process"),
    (trio, "open_tcp_stream"),
    (trio, "open_tcp_listeners"),
]


_watching: list[Guard] = []
"""The guards of the runs that go on."""


@contextlib.contextmanager
def for_story() -> Iterator[None]:
    """While a story's file is executed: what it takes by ``from time import time`` stays watched for good."""
    story = Guard(of_story=True)
    with story.on():
        yield


class Guard:
    """Switched on for one run; ``outside()`` opens it between events."""

    def __init__(self, *, of_story: bool = False) -> None:
        self._of_story = of_story
        self._thread = threading.get_ident()
        self._inside = True

    @contextlib.contextmanager
    def outside(self) -> Iterator[None]:
        was, self._inside = self._inside, False
        try:
            yield
        finally:
            self._inside = was

    def _forbids(self) -> bool:
        if self._of_story:
            return any(guard._forbids() for guard in _watching)
        return self._inside and threading.get_ident() == self._thread

    def _wrap(self, owner: Any, name: str) -> Any:
        original = getattr(owner, name)
        where = f"{getattr(owner, '__name__', owner)}.{name}"
        if isinstance(original, type):
            return self._wrap_class(original, where)
        return self._wrap_function(original, where)

    def _wrap_function(self, original: Callable[..., Any], where: str) -> Callable[..., Any]:
        def guarded(*args: Any, **kwargs: Any) -> Any:
            if self._forbids():
                raise Nondeterminism(f"{where} was used inside the simulation")
            return original(*args, **kwargs)

        return guarded

    def _wrap_class(self, original: type, where: str) -> type:
        guard = self

        class Guarded(original):  # type: ignore[misc]
            def __init__(self, *args: Any, **kwargs: Any) -> None:
                if guard._forbids():
                    raise Nondeterminism(f"{where} was used inside the simulation")
                super().__init__(*args, **kwargs)

        return Guarded

    @contextlib.contextmanager
    def on(self) -> Iterator[Guard]:
        originals = [(owner, name, owner.__dict__[name]) for owner, name in TARGETS]
        try:
            for owner, name, _ in originals:
                setattr(owner, name, self._wrap(owner, name))
            if not self._of_story:
                _watching.append(self)
            yield self
        finally:
            if self in _watching:
                _watching.remove(self)
            for owner, name, original in originals:
                setattr(owner, name, original)
