"""A node: what stays when its process dies (address, disk), and how processes come and go.

    off --start--> up --pause--> paused --resume--> up
    up or paused --kill, stopped, power failure--> off

A kill leaves the page cache and a kernel that resets connections; a power failure leaves neither.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from kafsim.cluster.disk import SimDisk
from kafsim.cluster.inputs import START, TIMER
from kafsim.cluster.port import Input, Port
from kafsim.protocol.effects import Core
from kafsim.protocol.facts import world as facts
from kafsim.protocol.files import DiskError
from kafsim.protocol.surroundings import Surroundings
from kafsim.protocol.types import Address, EventNumber, TimerKey

if TYPE_CHECKING:
    from kafsim.cluster.network import Connection
    from kafsim.cluster.world import World

MakeCore = Callable[[Surroundings], Core]


class Node:
    """``port`` is the running incarnation, None when the node is down."""

    def __init__(self, world: World, address: Address, make_core: MakeCore, skew_ms: int = 0, disks: int = 1) -> None:
        self.world = world
        self.address = address
        self.key = world.chance.key("node", str(address))
        self.disk = SimDisk(lambda: world.clock.now, self.key)
        self.disks = [self.disk]
        """One for each of ``log.dirs``."""
        for number in range(1, disks):
            key = world.chance.key("disk", str(address), number)
            self.disks.append(SimDisk(lambda: world.clock.now, key, self.disk))
        self.port: Port | None = None
        self.powered = True
        self.paused = False
        self.incarnation = 0
        self.skew_ms = skew_ms
        self.backlog: list[tuple[Port, Input, EventNumber]] = []
        """What reached the node while it was paused, in the order in which it came or was due."""
        self.dark: list[Connection] = []
        """Connections that lost something while the power was off."""
        self._make_core = make_core
        self._timer_keys: dict[TimerKey, int] = {}
        self._connections: dict[tuple[Address, str], int] = {}

    # ------------------------------------------------------------ keys of chance

    def timer_key(self, key: TimerKey) -> int:
        known = self._timer_keys.get(key)
        if known is None:
            known = self._timer_keys[key] = self.world.chance.key("timer", str(self.address), repr(key))
        return known

    def connection_key(self, peer: Address, purpose: str) -> int:
        """Of the n-th connection to this peer for this purpose."""
        nth = self._connections.get((peer, purpose), 0)
        self._connections[peer, purpose] = nth + 1
        return self.world.chance.key("connection", str(self.address), str(peer), purpose, nth)

    # ------------------------------------------------------------------ processes

    def start(self) -> None:
        """A new process; its ``on_start`` is an event of the heap."""
        assert self.port is None, f"{self.address} is running"
        self.incarnation += 1
        self.powered = True
        for connection in self.dark:
            connection.power_is_back()
        self.dark.clear()
        world = self.world
        world.ports += 1
        port = self.port = Port(self, self.incarnation, world.ports)
        world.happened(self.address, facts.NodeStarted(incarnation=self.incarnation))
        given = Surroundings(
            address=self.address,
            incarnation=self.incarnation,
            outbox=port.outbox,
            files=self.disk,
            more_files=tuple(self.disks[1:]),
            entropy=world.chance.stream("entropy", str(self.address), self.incarnation),
            safeguards=world.safeguards,
            skew_ms=self.skew_ms,
        )
        try:
            port.core = self._make_core(given)
        except DiskError:
            self.halted(port)
            return
        if world.nursery is not None:
            port.open_mailbox(world.nursery)
        world.clock.push(world.clock.now, self.key, lambda _: port.take(START))

    def kill(self) -> None:
        """SIGKILL: the files keep what was written, the peers see their connections break."""
        if self._end(resets=True):
            self.world.happened(self.address, facts.NodeKilled(incarnation=self.incarnation))

    def halted(self, port: Port) -> bool:
        """A process could not go on without its disk."""
        if self.port is port and self._end(resets=True):
            self.world.happened(self.address, facts.NodeHalted(incarnation=self.incarnation))
        return self.world.nursery is not None

    def stopped(self) -> bool:
        """The process has ended itself."""
        if self._end(resets=True):
            self.world.happened(self.address, facts.NodeStopped(incarnation=self.incarnation))
        return self.world.nursery is not None

    def power_failure(self) -> None:
        """The machine is off: the peers hear nothing, and of the page cache only a prefix has reached the disk."""
        self._end(resets=False)
        self.powered = False
        lost = sum(disk.lose_power() for disk in self.disks)
        self.world.happened(self.address, facts.PowerFailed(incarnation=self.incarnation, lost_bytes=lost))

    def _end(self, *, resets: bool) -> bool:
        port = self.port
        if port is None:
            return False
        self.port = None
        self.paused = False
        self.backlog.clear()
        port.close(resets=resets)
        self.world.fail_calls(port)
        return True

    def pause(self) -> None:
        """SIGSTOP: nothing is handled, everything waits."""
        if self.port is not None and not self.paused:
            self.paused = True
            self.world.happened(self.address, facts.NodePaused(incarnation=self.incarnation))

    def resume(self) -> None:
        """SIGCONT: what has gathered is handled in the order in which it came or was due, before anything later."""
        if not self.paused:
            return
        self.paused = False
        clock = self.world.clock
        self.world.happened(self.address, facts.NodeResumed(waiting=len(self.backlog)))
        backlog, self.backlog = self.backlog, []
        for waiting in backlog:
            clock.push(clock.now, self.key, self._catch_up, waiting)

    def _catch_up(self, waiting: tuple[Port, Input, EventNumber]) -> bool:
        port, (kind, a, b), self.world.clock.cause = waiting
        if self.paused:
            self.backlog.append(waiting)
            return False
        return port.fire_late(a, b) if kind == TIMER else port.take(kind, a, b)

    def wipe(self) -> None:
        """A new empty disk in place of the old one; the node must be down."""
        assert self.port is None, f"{self.address} is running"
        self.world.happened(self.address, facts.DiskWiped(files=sum(disk.wipe() for disk in self.disks)))

    def fail_disk(self, number: int) -> None:
        """From now on one disk can neither be read nor written; what is on it stays."""
        disk = self.disks[number]
        if not disk.failed:
            disk.failed = True
            self.world.happened(self.address, facts.DiskFailed(disk=number))

    def repair_disk(self, number: int) -> None:
        disk = self.disks[number]
        if disk.failed:
            disk.failed = False
            self.world.happened(self.address, facts.DiskRepaired(disk=number))

    def slow_disk(self, append_us: int, flush_us: int) -> None:
        """From now on each append and flush costs so much on its log."""
        for disk in self.disks:
            disk.append_us, disk.flush_us = append_us, flush_us
        self.world.happened(self.address, facts.DiskSlowed(append_us=append_us, flush_us=flush_us))
