"""What a run can end with, beside the verdict of its checkers."""

from __future__ import annotations


class RunError(Exception):
    """A run that cannot go on; the message is for the person who started it."""


class Stuck(RunError):
    """A wait that nothing ended: names the task, what it waited for, and the last facts about it."""


class Livelock(RunError):
    """Events without time moving."""


class Nondeterminism(RunError):
    """Something asked the real world for time, chance or a socket while the run's own code was executing."""


class CoreFailed(RunError):
    """An assertion of a core, or another mistake of ours: names the node and its last facts."""


class ClientKilled(Exception):
    """The client whose answer was awaited is dead."""
