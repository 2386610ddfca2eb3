"""Connections as TCP keeps them: two pipes, each strictly in order.

A pipe's arrival time is never before the last one's. A cut link holds what arrives and lets it through in order when it
heals, unless one side has closed meanwhile; so a zombie's late requests arrive. A process that dies breaks its
connections after one latency; a machine that loses power, a pause and a cut break nothing by themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kafsim.cluster.chance import mix
from kafsim.cluster.inputs import DISCONNECT, MESSAGE
from kafsim.cluster.wire import Packet
from kafsim.protocol.facts.fact import CHATTER
from kafsim.protocol.facts.world import MessageDelivered, MessageDropped, MessageHeld
from kafsim.protocol.types import Address, ConnectionId, Micros

if TYPE_CHECKING:
    from kafsim.cluster.node import Node
    from kafsim.cluster.port import Port
    from kafsim.cluster.world import World

RESET = None
"""What travels in a pipe when the other side has closed or died."""


class Latency:
    """One way, in microseconds: ``base`` and up to ``spread`` more."""

    __slots__ = ("base", "spread")

    def __init__(self, base: int = 250, spread: int = 500) -> None:
        self.base = base
        self.spread = spread


class Pipe:
    """One direction of a connection."""

    __slots__ = (
        "_held",
        "_key",
        "_last",
        "_ordinals",
        "_released",
        "connection",
        "link",
        "receiver_id",
        "source",
        "source_closed",
        "target",
    )

    def __init__(
        self, connection: Connection, source: Node, target: Node, key: int, link: Link, receiver_id: ConnectionId
    ) -> None:
        self.connection = connection
        self.receiver_id = receiver_id
        """What the receiving side calls the connection."""
        self.source_closed = False
        """The side that sends here has given the connection up."""
        self.source = source
        self.target = target
        self.link = link
        self._key = key
        self._last = 0
        self._ordinals: dict[int, int] = {}
        self._held: list[Packet | None] = []
        self._released = False

    def send(self, packet: Packet | None, departs: int) -> None:
        """Put something on the way; ``departs`` is now, or later when a slow disk holds the answer back."""
        api = -1 if packet is None else packet[1].api
        ordinal = self._ordinals.get(api, 0)
        self._ordinals[api] = ordinal + 1
        latency = self.link.latency
        delay = latency.base + self.link.extra_us
        if latency.spread:
            delay += mix(self._key + api, ordinal) % latency.spread
        arrival = departs + delay
        self._last = arrival = max(arrival, self._last)
        self.connection.world.clock.push(arrival, self._key, self.arrive, packet)

    def arrive(self, packet: Packet | None) -> bool:
        if self._held or self.link.cut:
            return self._hold(packet)
        return self.connection.deliver(self, packet)

    def _hold(self, packet: Packet | None) -> bool:
        self._held.append(packet)
        self.link.holding[self] = None
        world = self.connection.world
        if packet is not None and world.heard >= CHATTER:
            world.happened(self.source.address, MessageHeld(message=packet[0], peer=str(self.target.address)))
        return False

    def release(self) -> int:
        """The link is whole again: let the first one through, the others behind it."""
        if self._held and not self._released:
            self._released = True
            self._push_first_held()
        return len(self._held)

    def _push_first_held(self) -> None:
        clock = self.connection.world.clock
        latency = self.link.latency
        self._last = max(clock.now + latency.base, self._last if self._last > clock.now else 0)
        clock.push(self._last, self._key, self._arrive_held)

    def _arrive_held(self, _: None) -> bool:
        if self.link.cut or not self._held:
            self._released = False
            return False
        packet = self._held.pop(0)
        if self._held:
            clock = self.connection.world.clock
            clock.push(clock.now, self._key, self._arrive_held)
        else:
            self._released = False
            self.link.holding.pop(self, None)
        return self.connection.deliver(self, packet)

    def forget(self) -> None:
        self._held.clear()
        self.link.holding.pop(self, None)


class Link:
    """What all connections between two nodes share, one way."""

    __slots__ = ("cut", "extra_us", "holding", "latency", "slow")

    def __init__(self, latency: Latency) -> None:
        self.latency = latency
        self.cut = 0
        """How many cuts lie over it."""
        self.extra_us = 0
        self.holding: dict[Pipe, None] = {}


class Connection:
    """A connection that a client opened of a server for one purpose.

    It belongs to the client's incarnation from the start and to the server's from the first byte that arrives there.
    A port knows it by the pipe that it sends into. A node may connect to itself; its two sides then have two ids.
    """

    __slots__ = (
        "backward",
        "client",
        "closed",
        "dark",
        "forward",
        "id",
        "purpose",
        "ready_at",
        "server",
        "server_node",
        "world",
    )

    def __init__(self, world: World, id_: ConnectionId, client: Port, server: Node, purpose: str, key: int) -> None:
        self.world = world
        self.id = id_
        self.client = client
        self.server: Port | None = None
        self.server_node = server
        self.purpose = purpose
        self.closed = False
        """By one side at least; nothing more is sent."""
        self.dark = False
        """Something got lost in a machine without power; its kernel answers with a reset when it is back."""
        self.ready_at = Micros(0)
        """Until when a slow disk holds back what is answered here."""
        there = world.network.link(client.node.address, server.address)
        back = world.network.link(server.address, client.node.address)
        served = ConnectionId(-id_) if server is client.node else id_
        self.forward = Pipe(self, client.node, server, key, there, served)
        self.backward = Pipe(self, server, client.node, key ^ 0x5555_5555_5555_5555, back, id_)

    def deliver(self, pipe: Pipe, packet: Packet | None) -> bool:
        """Something reaches the end of a pipe; true when that woke a task."""
        port = self._receiver(pipe)
        if port is None:
            return self._nobody_there(pipe, packet)
        if self.is_closed_behind(pipe):
            return self._drop(pipe, packet, "the receiver has closed the connection")
        if packet is RESET:
            return port.take(DISCONNECT, pipe.receiver_id)
        if self.world.heard >= CHATTER:
            what, peer = self.world.wire.name_of(packet), str(pipe.source.address)
            fact = MessageDelivered(message=packet[0], peer=peer, purpose=self.purpose, what=what)
            self.world.happened(pipe.target.address, fact)
        return port.take(MESSAGE, pipe, packet)

    def _receiver(self, pipe: Pipe) -> Port | None:
        if pipe is self.backward:
            return self.client if self.client.alive else None
        if self.server is None:
            self.server = self.server_node.port
            if self.server is not None:
                self.server.connections[pipe.receiver_id] = self.backward
        return self.server if self.server is not None and self.server.alive else None

    def _nobody_there(self, pipe: Pipe, packet: Packet | None) -> bool:
        self._drop(pipe, packet, "the node is down")
        if packet is RESET or self.closed:
            return False
        if pipe.target.powered:
            self._opposite(pipe).send(RESET, self.world.clock.now)
            self.closed = True
        elif not self.dark:
            self.dark = True
            pipe.target.dark.append(self)
        return False

    def _drop(self, pipe: Pipe, packet: Packet | None, why: str) -> bool:
        if packet is not None and self.world.heard >= CHATTER:
            fact = MessageDropped(message=packet[0], peer=str(pipe.target.address), why=why)
            self.world.happened(pipe.source.address, fact)
        return False

    def _opposite(self, pipe: Pipe) -> Pipe:
        return self.backward if pipe is self.forward else self.forward

    def is_closed_behind(self, pipe: Pipe) -> bool:
        """The receiver has given up: whatever still reaches it is dropped."""
        return self._opposite(pipe).source_closed

    def close(self, pipe: Pipe) -> None:
        """The side that sends into a pipe gives up: the other learns it after one latency; what is held is lost."""
        pipe.source_closed = True
        if self.closed:
            return
        self.closed = True
        self.forward.forget()
        self.backward.forget()
        if pipe is self.backward or self.server is not None:
            pipe.send(RESET, self.world.clock.now)

    def power_is_back(self) -> None:
        """The kernel of a machine that was off resets what it does not know."""
        if not self.closed:
            self.closed = True
            pipe = self.backward if self.client.alive else self.forward
            pipe.send(RESET, self.world.clock.now)


class Network:
    """The links, made when first used."""

    def __init__(self, latency: Latency) -> None:
        self.latency = latency
        self._links: dict[tuple[Address, Address], Link] = {}

    def link(self, source: Address, target: Address) -> Link:
        link = self._links.get((source, target))
        if link is None:
            link = self._links[source, target] = Link(self.latency)
        return link

    def links(self) -> list[tuple[Address, Address]]:
        """All pairs of nodes that ever had something to do with each other."""
        return list(self._links)

    def cut(self, source: Address, target: Address) -> None:
        self.link(source, target).cut += 1

    def heal(self, source: Address, target: Address) -> int:
        """Take one cut away; returns how many messages were held when it was the last."""
        link = self.link(source, target)
        link.cut = max(0, link.cut - 1)
        return 0 if link.cut else sum([pipe.release() for pipe in list(link.holding)])
