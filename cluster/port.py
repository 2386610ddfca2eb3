"""A port: all that one incarnation of a node has of the world, and the way inputs reach its core.

After a kill the gate is closed: whatever the old incarnation still tries to do is swallowed, and what is under way to
it is dropped where it arrives.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import trio

from kafsim.cluster.errors import CoreFailed, RunError
from kafsim.cluster.inputs import CALL, CANCEL, DISCONNECT, FLUSHED, MESSAGE, START, TIMER
from kafsim.cluster.network import Connection, Pipe
from kafsim.protocol import effects as ef
from kafsim.protocol.effects import Core, Effect, Outbox
from kafsim.protocol.facts.fact import CHATTER
from kafsim.protocol.facts.world import MessageSent, TimerFired
from kafsim.protocol.files import DiskError
from kafsim.protocol.types import Address, ConnectionId, Header, Micros, TimerKey

if TYPE_CHECKING:
    from kafsim.cluster.disk import SimFile
    from kafsim.cluster.node import Node

Input = tuple[int, Any, Any]


class Port:
    """One incarnation: gate, timers, connections, and in ``dispatch="channel"`` the mailbox of its task."""

    def __init__(self, node: Node, incarnation: int, serial: int) -> None:
        self.node = node
        self.world = node.world
        self.incarnation = incarnation
        self.alive = True
        self.outbox = Outbox(first_connection=serial << 24 | 1)
        self.connections: dict[ConnectionId, Pipe] = {}
        """What is sent on a connection goes into its pipe."""
        self.core: Core | None = None
        self._timers: dict[TimerKey, int] = {}
        self._due: dict[TimerKey, int] = {}
        """When each timer was wished for last."""
        self._clock = node.world.clock
        self._mailbox: trio.MemorySendChannel[Input] | None = None
        self._scope = trio.CancelScope()

    # ---------------------------------------------------------------- inputs

    def take(self, kind: int, a: Any = None, b: Any = None) -> bool:
        """Hand an input to the core: now (direct), or through the mailbox, which wakes the node's task."""
        if not self.alive or (kind == MESSAGE and a.connection.is_closed_behind(a)):
            return False
        if self.node.paused:
            self.node.backlog.append((self, (kind, a, b), self._clock.cause))
            return False
        if self._mailbox is None:
            self._process(kind, a, b)
            return False
        self._mailbox.send_nowait((kind, a, b))
        return True

    def open_mailbox(self, nursery: trio.Nursery) -> None:
        """From now on inputs go through a memory channel to a task of their own."""
        self._mailbox, receive = trio.open_memory_channel[Input](float("inf"))
        nursery.start_soon(self._run, receive, name=str(self.node.address))

    async def _run(self, mailbox: trio.MemoryReceiveChannel[Input]) -> None:
        assert self._mailbox is not None
        with self._mailbox, mailbox, self._scope:
            while True:
                kind, a, b = await mailbox.receive()
                try:
                    self._process(kind, a, b)
                except BaseException as error:  # noqa: BLE001  # the clock raises it in the story's task
                    self._clock.fail(error)
                    return

    def _process(self, kind: int, a: Any, b: Any) -> None:
        if not self.alive or (kind == MESSAGE and a.connection.is_closed_behind(a)):
            return
        if kind == DISCONNECT and self.connections.pop(a, None) is None:
            return  # closed here while the news waited
        world, outbox = self.world, self.outbox
        outbox.event, outbox.heard = self._clock.event, world.heard
        if world.recorder is not None:
            world.recorder.on_event(self._clock, self.node.address, self._describe(kind, a, b))
        try:
            self._hand_over(kind, a, b)
        except RunError:
            raise
        except DiskError:
            self._halt()
            return
        except Exception as error:
            raise CoreFailed(world.explain_failure(self.node.address, error)) from error
        if outbox.effects:
            self._carry_out(a.connection if kind == MESSAGE else None)
        if world.watchers:
            world.look()

    def _hand_over(self, kind: int, a: Any, b: Any) -> None:
        now, core = self._clock.now, self.core
        assert core is not None
        if kind == MESSAGE:
            header, body = self.world.wire.unpack(b)
            core.on_message(now, a.receiver_id, header, body)
        elif kind == TIMER:
            core.on_timer(now, a)
        elif kind == CALL:
            core.on_call(now, a, b)
        elif kind == FLUSHED:
            core.on_flushed(now, a)
        elif kind == DISCONNECT:
            core.on_disconnect(now, a)
        elif kind == CANCEL:
            core.on_cancel(now, a)
        else:
            core.on_start(now)

    def _halt(self) -> None:
        """The process cannot go on without its disk: nothing of this input gets out any more."""
        self.alive = False
        self.outbox.effects.clear()
        self._clock.push(self._clock.now, self.node.key, self.node.halted, self)

    def _describe(self, kind: int, a: Any, b: Any) -> str:
        """What an event is, for a reader of the trace."""
        if kind == MESSAGE:
            return f"{self.world.wire.name_of(b)} from {a.source.address} ({a.connection.purpose})"
        if kind == CALL:
            return f"call {type(b).__name__}"
        if kind in (TIMER, FLUSHED):
            key = a if isinstance(a, str) else ":".join(map(str, a))
            return f"{'timer' if kind == TIMER else 'flushed'} {key}"
        return {START: "start", DISCONNECT: "disconnect", CANCEL: "cancel"}[kind]

    # --------------------------------------------------------------- effects

    def _carry_out(self, connection: Connection | None) -> None:
        disk = self.node.disk
        departs = self._clock.now
        if disk.ready_at or (connection is not None and connection.ready_at):
            departs = max(departs, disk.ready_at, connection.ready_at if connection is not None else Micros(0))
            disk.ready_at = Micros(0)
            if connection is not None:
                connection.ready_at = departs
        pending, self.outbox.effects = self.outbox.effects, []
        for effect in pending:
            kind = effect[0]
            if kind <= ef.REPLY:
                self._send(effect[1], effect[2], effect[3], departs)
            elif kind == ef.HAPPENED:
                self.world.happened(self.node.address, effect[1], effect[2])
            elif kind == ef.SET_TIMER:
                self._set_timer(effect[1], effect[2])
            else:
                self._carry_out_rare(effect, departs)

    def _carry_out_rare(self, effect: Effect, departs: Micros) -> None:
        match effect:
            case (ef.CANCEL_TIMER, key):
                self._timers.pop(key, None)
            case (ef.CONNECT, id_, peer, purpose):
                self._connect(id_, peer, purpose)
            case (ef.CLOSE, id_):
                pipe = self.connections.pop(id_, None)
                if pipe is not None:
                    pipe.connection.close(pipe)
            case (ef.FLUSH, file, key):
                self._flush(file, key)
            case (ef.ANSWER_CALL, call, answer):
                self.world.answer(call, answer, departs)
            case (ef.EXIT,):
                self._clock.push(departs, self.node.key, self._exit)
            case _:
                raise AssertionError(f"no effect {effect!r}")

    def _send(self, id_: ConnectionId, header: Header, body: object, departs: Micros) -> None:
        pipe = self.connections.get(id_)
        if pipe is None or pipe.connection.closed:
            return
        world = self.world
        world.messages += 1
        packet = (world.messages, header, world.wire.pack(header, body))
        if world.heard >= CHATTER:
            fact = MessageSent(
                message=world.messages,
                peer=str(pipe.target.address),
                purpose=pipe.connection.purpose,
                what=type(body).__name__,
            )
            world.happened(self.node.address, fact)
        pipe.send(packet, departs)

    def _connect(self, id_: ConnectionId, peer: Address, purpose: str) -> None:
        node = self.world.nodes[peer]
        key = self.node.connection_key(peer, purpose)
        self.connections[id_] = Connection(self.world, id_, self, node, purpose, key).forward

    def _set_timer(self, key: TimerKey, at: Micros) -> None:
        """One that is set again for the same time stays as it is: cores wish so after every input."""
        if self._due.get(key) == at and key in self._timers:
            return
        self._due[key] = at
        self._timers[key] = self._clock.push(max(at, self._clock.now), self.node.timer_key(key), self._fire, key)

    def _fire(self, key: TimerKey) -> bool:
        if not self.alive or self._timers.get(key) != self._clock.entry:
            return False
        if self.node.paused:
            return self.take(TIMER, key, self._clock.entry)
        del self._timers[key]
        if self.world.heard >= CHATTER:
            self.world.happened(self.node.address, TimerFired(key=str(key)))
        return self.take(TIMER, key)

    def fire_late(self, key: TimerKey, entry: int) -> bool:
        """A timer that came due while the node was paused; something before it may have cancelled it."""
        if self._timers.get(key) != entry:
            return False
        del self._timers[key]
        return self.take(TIMER, key)

    def _flush(self, file: SimFile, key: object) -> None:
        if file.disk.failed:
            return
        done, settle = file.disk.flush(file)
        self._clock.push(done, self.node.key, self._flushed, (settle, key))

    def _flushed(self, flush: tuple[Callable[[], None], object]) -> bool:
        settle, key = flush
        if not self.node.powered or not self.alive:
            return False
        settle()
        return key is not None and self.take(FLUSHED, key)

    def _exit(self, _: None) -> bool:
        return self.alive and self.node.stopped()

    # ------------------------------------------------------------------- end

    def close(self, *, resets: bool) -> None:
        """The process is gone. ``resets``: its kernel lives and tells the peers."""
        self.alive = False
        self.core = None
        for pipe in list(self.connections.values()):
            if resets:
                pipe.connection.close(pipe)
        self._scope.cancel()
