"""A quorum without a world: nodes joined by hand, each with a clock of its own, and plays in text that drive them.

play NAME
voters 1,2,3            observers 7           off SAFEGUARD ...
dynamic 1,2,3           these voters, in a snapshot on their disks (kraft.version 1)
start 1,2               kill 1                power 1 (lose what is not flushed)
timeout 1               only this node's election or fetch timeout passes
wait 3000               all clocks go on by so many ms, timers fire
cut 1 2   heal 1 2      what is sent meanwhile is held
mute 1 2                only what 1 sends to 2
alone 1   rejoin 1
append 1 a,b            the leader appends records with these names
disk 1 holds | goes | step   flushes wait, are done, or what waits is done and the next ones wait
resign 1                stop 1
wipe 1   down 1         an empty disk; the process has ended
upgrade 1               the leader raises kraft.version to 1
add 1 4   remove 1 4    the leader is asked to make 4 a voter, or to have it no more
answer 1 CODE           its answer to what it was asked last; - for none yet
are 1 1,2,3             the voters as the log of a node has them
role 1 Leader 1         the role and epoch of a node
log 1 a,b               the names in its log
high 1 a,b              the names that it knows to be committed
broken NAME ... | -     the invariants that were violated so far
"""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Any

import attrs

from kafsim.cluster.chance import Chance
from kafsim.cluster.disk import SimDisk
from kafsim.cluster.invariants import Monitor
from kafsim.cluster.world import Stated
from kafsim.controller.raft import messages, snapshots
from kafsim.controller.raft.quorum_state import name_of
from kafsim.controller.raft.raft_client import RaftClient
from kafsim.controller.raft.raft_log import DIRECTORY
from kafsim.controller.raft.voter_set import ReplicaKey, Voter, VoterSet
from kafsim.protocol import effects as ef
from kafsim.protocol import errors
from kafsim.protocol.config import broker_settings
from kafsim.protocol.effects import Outbox
from kafsim.protocol.facts import world as wf
from kafsim.protocol.messages.api_versions import ApiVersionsRequest, ApiVersionsResponse, SupportedFeatureKey
from kafsim.protocol.metadata.feature_level_record import FeatureLevelRecord
from kafsim.protocol.safeguards import ALL_ON, Safeguards
from kafsim.protocol.surroundings import Surroundings
from kafsim.protocol.types import Address, ConnectionId, EventNumber, Header, Micros


def address(id_: int) -> Address:
    return Address("", "controller", id_)


ASKED = ConnectionId(999)


class Quorum:
    """``now`` of each node is its own; what is under way is delivered in the order in which it was sent."""

    def __init__(
        self,
        voters: list[int],
        observers: list[int] = [],  # noqa: B006
        off: list[str] = [],  # noqa: B006
        *,
        dynamic: bool = False,
        **configs: object,
    ) -> None:
        self.dynamic = dynamic
        keys = [ReplicaKey(id_, bytes([id_] * 16)) if dynamic else ReplicaKey(id_) for id_ in voters]
        self.voters = VoterSet.of(*(Voter(key, address(key.id), max_version=int(dynamic)) for key in keys))
        self.safeguards: Safeguards = attrs.evolve(ALL_ON, **dict.fromkeys(off, False))
        self.settings = broker_settings({"controller.quorum.append.linger.ms": 0, **configs})
        self.nodes = {id_: Node(self, id_) for id_ in [*voters, *observers]}
        self.cuts: set[tuple[int, int]] = set()
        self.wire: deque[tuple[int, int, Any]] = deque()
        self.held: list[tuple[int, int, Any]] = []
        self.monitor = Monitor()
        self.chance = Chance(1)

    def state(self, node: int, fact: object) -> None:
        self.monitor.on_fact(Stated(EventNumber(1), Micros(1), address(node), fact, ()))

    @property
    def broken(self) -> list[str]:
        return sorted({violation.invariant for violation in self.monitor.violations})

    def settle(self) -> None:
        """Deliver until nothing is under way."""
        for _ in range(20_000):
            if not self.wire:
                return
            source, target, act = self.wire.popleft()
            if (source, target) in self.cuts:
                self.held.append((source, target, act))
            else:
                act(self.nodes[target])
        raise AssertionError("the nodes never come to rest")

    def heal(self, pairs: list[tuple[int, int]]) -> None:
        self.cuts.difference_update(pairs)
        held, self.held = self.held, []
        self.wire.extend(held)
        self.settle()

    def pairs_of(self, id_: int) -> list[tuple[int, int]]:
        return [pair for other in self.nodes if other != id_ for pair in ((id_, other), (other, id_))]

    def wait(self, ms: int) -> None:
        until = {id_: node.now + ms * 1_000 for id_, node in self.nodes.items()}
        while True:
            due = [
                (at - until[node.id], node.id, key)
                for node in self.nodes.values()
                for key, at in node.timers.items()
                if at <= until[node.id]
            ]
            if not due:
                break
            before_end, id_, key = min(due, key=lambda one: (one[0], one[1], str(one[2])))
            for node in self.nodes.values():
                node.now = max(node.now, until[node.id] + before_end)
            self.nodes[id_].fire(key)
        for id_, at in until.items():
            self.nodes[id_].now = at


class Node:
    def __init__(self, quorum: Quorum, id_: int) -> None:
        self.quorum, self.id = quorum, id_
        self.now = 0
        self.disk = SimDisk(lambda: Micros(self.now), id_)
        self.raft: RaftClient | None = None
        self.incarnation = 0
        self.timers: dict[Any, int] = {}
        self.holds_flushes = False
        self.flushes: list[tuple[Any, Any]] = []
        self.owners: dict[ConnectionId, Any] = {}
        self.peers: dict[ConnectionId, tuple[int, ConnectionId]] = {}
        """Where what is sent or replied on a connection goes, and what it is called there."""
        self.committed: list[int] = []
        self.wipes = 0
        self.answers: list[Any] = []
        """To what the play asked."""

    def start(self) -> None:
        self.incarnation += 1
        self.outbox = Outbox(first_connection=self.id * 1_000_000 + self.incarnation * 10_000)
        self.outbox.heard = 3
        self.owners, self.peers, self.timers = {}, {}, {}
        given = Surroundings(
            address=address(self.id),
            incarnation=self.incarnation,
            outbox=self.outbox,
            files=self.disk,
            entropy=self.quorum.chance.stream(self.id, self.incarnation),
            safeguards=self.quorum.safeguards,
        )
        key, voters = ReplicaKey(self.id, bytes([self.id + 100 * self.wipes] * 16)), self.quorum.voters
        if self.quorum.dynamic and self.incarnation == 1 and self.id in voters.by_id:
            data = snapshots.encode([], snapshots.BOOTSTRAP, voters=voters, wall_ms=0, last_contained_ms=0)
            self.disk.replace(f"{DIRECTORY}/{snapshots.file_name(snapshots.BOOTSTRAP)}", data)
        static = VoterSet.of() if self.quorum.dynamic else voters
        everywhere = [address(id_) for id_ in self.quorum.nodes]
        self.raft = RaftClient(given, key, static, self.quorum.settings, "c", self.owners, bootstrap=everywhere)
        self.raft.requests.reconnect_first = 0  # the clocks of plays stand still
        self.quorum.state(self.id, wf.NodeStarted(incarnation=self.incarnation))
        self.raft.start(Micros(self.now))
        self.carry_out()
        self.quorum.settle()

    def end(self, *, power: bool = False) -> None:
        self.raft = None
        fact = wf.PowerFailed(incarnation=self.incarnation, lost_bytes=self.disk.lose_power() if power else 0)
        self.quorum.state(self.id, fact if power else wf.NodeKilled(incarnation=self.incarnation))
        self.flushes.clear()
        for peer, connection in self.peers.values():
            self.quorum.wire.append((self.id, peer, lambda node, c=connection: node.lose(c)))
        self.quorum.settle()

    def fire(self, key: Any) -> None:
        self.now = max(self.now, self.timers.pop(key))
        if self.raft is not None:
            self.raft.on_timer(Micros(self.now), key)
            self.carry_out()
            self.quorum.settle()

    def timeout(self) -> None:
        assert self.raft is not None
        self.now = max(self.now, self.raft.quorum.role.deadline)
        self.raft.on_timer(Micros(self.now), "raft-poll")
        self.carry_out()
        self.quorum.settle()

    def lose(self, connection: ConnectionId) -> None:
        self.peers.pop(connection, None)
        if self.raft is not None:
            if connection in self.owners:
                self.raft.on_disconnect(Micros(self.now), connection)
            self.carry_out()

    def flush(self) -> None:
        flushes, self.flushes = self.flushes, []
        for settle, key in flushes:
            settle()
            if key is not None and self.raft is not None:
                self.raft.on_flushed(Micros(self.now), key)
                self.carry_out()

    def carry_out(self) -> None:
        pending, self.outbox.effects = self.outbox.effects, []
        for kind, *rest in pending:
            if kind == ef.CONNECT:
                self.peers[rest[0]] = (rest[1].id, rest[0])
            elif kind in (ef.SEND, ef.REPLY):
                self._send(*rest, is_reply=kind == ef.REPLY)
            elif kind == ef.CLOSE:
                self.peers.pop(rest[0], None)
            elif kind == ef.SET_TIMER:
                self.timers[rest[0]] = rest[1]
            elif kind == ef.CANCEL_TIMER:
                self.timers.pop(rest[0], None)
            elif kind == ef.FLUSH:
                self.flushes.append((self.disk.flush(rest[0])[1], rest[1]))
            elif kind == ef.EXIT:
                self.end()
                return
            elif kind == ef.HAPPENED:
                self.quorum.state(self.id, rest[0])
        if self.flushes and not self.holds_flushes:
            self.flush()

    def _send(self, connection: ConnectionId, header: Any, body: Any, *, is_reply: bool) -> None:
        if connection == ASKED:
            self.answers.append(body)
        if connection not in self.peers:
            return
        peer, there = self.peers[connection]
        incarnation = self.incarnation

        def arrive(node: Node) -> None:
            if node.raft is None:
                back = (peer, self.id, lambda me: me.lose(connection) if me.incarnation == incarnation else None)
                self.quorum.wire.append(back)
                return
            if is_reply:
                if there in node.owners:
                    node.raft.on_response(Micros(node.now), there, header, body)
            else:
                node.peers[there] = (self.id, connection)
                node.take(there, header, body)
            node.carry_out()

        self.quorum.wire.append((self.id, peer, arrive))

    def take(self, connection: ConnectionId, header: Any, body: Any) -> None:
        assert self.raft is not None
        if isinstance(body, ApiVersionsRequest):
            spoken = SupportedFeatureKey(name="kraft.version", min_version=0, max_version=1)
            self.outbox.reply(connection, header, ApiVersionsResponse(supported_features=(spoken,)))
        else:
            self.raft.handle(Micros(self.now), connection, header, body)

    # ------------------------------------------------------------------------- looks

    def names(self, end: int | None = None) -> list[str]:
        assert self.raft is not None
        log = self.raft.log.log
        found = []
        for segment in log.segments:
            for _, record, is_control in snapshots.decode(segment.read(0, len(segment.batches))):
                if not is_control and (end is None or _ < end):
                    found.append(record.name)
        return found


# -------------------------------------------------------------------------------- plays


@attrs.define
class Play:
    name: str
    lines: list[tuple[int, list[str]]] = attrs.field(factory=list)


def read(path: Path) -> list[Play]:
    plays: list[Play] = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        words = line.split("#")[0].split()
        if words[:1] == ["play"]:
            plays.append(Play(" ".join(words[1:])))
        elif words:
            plays[-1].lines.append((number, words))
    return plays


def _ids(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def _names(text: str) -> list[str]:
    return [] if text == "-" else text.split(",")


LOOKS = ("role", "log", "high", "broken", "down", "are", "answer")


def perform(play: Play, *, off: bool = True) -> Quorum:
    """``off=False``: with all safeguards, and without the looks."""
    given = {
        words[0]: words[1:]
        for _, words in play.lines
        if words[0] in ("voters", "dynamic", "observers", "off", "config")
    }
    observers = _ids(given["observers"][0]) if "observers" in given else []
    configs = dict(pair.split("=") for pair in given.get("config", []))
    voters = _ids(given.get("voters", given.get("dynamic", []))[0])
    disabled = given.get("off", []) if off else []
    quorum = Quorum(voters, observers, disabled, dynamic="dynamic" in given, **configs)
    for number, (word, *rest) in play.lines:
        if word not in given and (off or word not in LOOKS):
            _step(quorum, f"{play.name}, line {number}", word, rest)
    return quorum


def _step(quorum: Quorum, where: str, word: str, rest: list[str]) -> None:
    nodes = [quorum.nodes[id_] for id_ in _ids(rest[0])] if word != "wait" and rest[0][0].isdigit() else []
    match word, *rest:
        case "start", _:
            for node in nodes:
                node.start()
        case (("kill" | "power"), _):
            nodes[0].end(power=word == "power")
        case "wipe", _:
            nodes[0].wipes += 1
            quorum.state(nodes[0].id, wf.DiskWiped(files=nodes[0].disk.wipe()))
        case "down", _:
            assert nodes[0].raft is None, f"{where}: {nodes[0].id} runs"
        case "timeout", _:
            nodes[0].timeout()
        case "wait", ms:
            quorum.wait(int(ms))
        case "cut", one, other:
            quorum.cuts.update({(int(one), int(other)), (int(other), int(one))})
        case "mute", one, other:
            quorum.cuts.add((int(one), int(other)))
        case "heal", one, other:
            quorum.heal([(int(one), int(other)), (int(other), int(one))])
        case "alone", one:
            quorum.cuts.update(quorum.pairs_of(int(one)))
        case "rejoin", one:
            quorum.heal(quorum.pairs_of(int(one)))
        case "append", _, names:
            _act(nodes[0], lambda raft, now: raft.append(now, [FeatureLevelRecord(name=n) for n in _names(names)]))
            nodes[0].timers and nodes[0].fire("raft-poll")
        case "disk", _, how:
            nodes[0].holds_flushes = how != "goes"
            if how != "holds":
                nodes[0].flush()
                quorum.settle()
        case "resign", _:
            _act(nodes[0], lambda raft, now: raft.resign(raft.epoch))
            nodes[0].timers["raft-poll"] = nodes[0].now
            nodes[0].fire("raft-poll")
        case "stop", _:
            _act(nodes[0], lambda raft, now: raft.shut_down(now, lambda _: None))
        case "upgrade", _:
            _act(nodes[0], lambda raft, now: nodes[0].answers.append(raft.voter_changes.upgrade(now, 1, False)))
            nodes[0].fire("raft-poll")
        case (("add" | "remove"), _, other):
            raft = quorum.nodes[int(other)].raft
            key = raft.me if raft is not None else ReplicaKey(int(other), bytes([int(other)] * 16))
            _ask(nodes[0], word, key)
        case "answer", _, text:
            last = nodes[0].answers[-1] if nodes[0].answers else None
            found = "-" if last is None else errors.name(last.error_code)
            assert found == text, f"{where}: {last}"
        case "are", _, ids:
            for node in nodes:
                assert node.raft is not None, where
                assert node.raft.log.voters.ids == _ids(ids), f"{where}: {node.id} has {node.raft.log.voters.ids}"
        case "role", _, role, epoch:
            for node in nodes:
                assert node.raft is not None, where
                found = (name_of(node.raft.quorum.role), node.raft.epoch)
                assert found == (role, int(epoch)), f"{where}: {node.id} is {found[0]} in epoch {found[1]}"
        case "log", _, names:
            for node in nodes:
                assert node.names() == _names(names), f"{where}: {node.id} has {node.names()}"
        case "high", _, names:
            for node in nodes:
                assert node.raft is not None, where
                assert node.names(node.raft.high_watermark) == _names(names), where
        case "broken", *names:
            assert quorum.broken == ([] if names == ["-"] else sorted(names)), f"{where}: {quorum.broken}"
        case _:
            raise AssertionError(f"{where}: {word} {rest}")


def _ask(node: Node, word: str, key: ReplicaKey) -> None:
    request: Any = messages.remove_voter_request(None, key)
    if word == "add":
        request = messages.add_voter_request(None, key, address(key.id), 1_000, ack_when_committed=True)
    node.answers.clear()
    _act(node, lambda raft, now: raft.handle(now, ASKED, Header(80, 0, 1), request))


def _act(node: Node, act: Any) -> None:
    assert node.raft is not None
    act(node.raft, Micros(node.now))
    node.carry_out()
    node.quorum.settle()
