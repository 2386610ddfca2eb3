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


_on: list[Guard] = []
"""The guards of the runs that go on."""


@contextlib.contextmanager
def watched() -> Iterator[None]:
    """Whoever takes one of the targets meanwhile, even by ``from time import time``, holds one that is watched."""
    originals = [(owner, name, owner.__dict__[name]) for owner, name in TARGETS]
    try:
        for owner, name, _ in originals:
            setattr(owner, name, _wrap(owner, name))
        yield
    finally:
        for owner, name, original in originals:
            setattr(owner, name, original)


def _wrap(owner: Any, name: str) -> Any:
    original = getattr(owner, name)
    where = f"{getattr(owner, '__name__', owner)}.{name}"
    return _wrap_class(original, where) if isinstance(original, type) else _wrap_function(original, where)


def _wrap_function(original: Callable[..., Any], where: str) -> Callable[..., Any]:
    def guarded(*args: Any, **kwargs: Any) -> Any:
        _check(where)
        return original(*args, **kwargs)

    return guarded


def _wrap_class(original: type, where: str) -> type:
    class Guarded(original):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            _check(where)
            super().__init__(*args, **kwargs)

    return Guarded


def _check(where: str) -> None:
    if any(guard.forbids() for guard in _on):
        raise Nondeterminism(f"{where} was used inside the simulation")


class Guard:
    """Switched on for one run; ``outside()`` opens it between events."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()
        self._inside = True

    @contextlib.contextmanager
    def outside(self) -> Iterator[None]:
        was, self._inside = self._inside, False
        try:
            yield
        finally:
            self._inside = was

    def forbids(self) -> bool:
        return self._inside and threading.get_ident() == self._thread

    @contextlib.contextmanager
    def on(self) -> Iterator[Guard]:
        _on.append(self)
        try:
            with watched():
                yield self
        finally:
            _on.remove(self)
