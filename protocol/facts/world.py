"""Facts that the world itself states: nodes, links, disks, messages."""

from __future__ import annotations

from kafsim.protocol.facts.fact import CHATTER, STATE, fact


@fact(STATE)
class RunStarted:
    seed: int
    scenario: str


@fact(STATE)
class NodeStarted:
    incarnation: int


@fact(STATE)
class NodeKilled:
    """The process is gone, the page cache stays."""

    incarnation: int


@fact(STATE)
class NodeHalted:
    """The process ended itself at once, since a disk that it cannot do without has failed."""

    incarnation: int


@fact(STATE)
class NodeStopped:
    """The node ended itself."""

    incarnation: int


@fact(STATE)
class PowerFailed:
    """The machine is off; ``lost_bytes`` were in the page cache only."""

    incarnation: int
    lost_bytes: int


@fact(STATE)
class NodePaused:
    incarnation: int


@fact(STATE)
class NodeResumed:
    waiting: int
    """How many messages and due timers had gathered."""


@fact(STATE)
class LinkCut:
    source: str
    target: str


@fact(STATE)
class LinkHealed:
    source: str
    target: str
    held: int
    """How many messages the cut had held back."""


@fact(STATE)
class LinkSlowed:
    source: str
    target: str
    extra_us: int


@fact(STATE)
class FaultSkipped:
    """An operation of a plan that found nobody to act on when its time came."""

    operation: str
    why: str


@fact(STATE)
class DiskSlowed:
    append_us: int
    flush_us: int


@fact(STATE)
class DiskFailed:
    """``disk``: its place in log.dirs, from 0."""

    disk: int


@fact(STATE)
class DiskRepaired:
    """It can be read and written again, with all that was on it; a broker sees that when it starts."""

    disk: int


@fact(STATE)
class DiskWiped:
    files: int


@fact(CHATTER)
class MessageSent:
    message: int
    peer: str
    purpose: str
    what: str


@fact(CHATTER)
class MessageDelivered:
    message: int
    peer: str
    purpose: str
    what: str


@fact(CHATTER)
class MessageHeld:
    """A cut link keeps it."""

    message: int
    peer: str


@fact(CHATTER)
class MessageDropped:
    message: int
    peer: str
    why: str


@fact(CHATTER)
class TimerFired:
    key: str
