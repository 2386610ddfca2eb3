"""Pipelined requests: one at a time, in order, whatever the order in which they could be answered."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from kafsim.protocol.effects import REPLY, Outbox
from kafsim.protocol.muting import MutedConnections
from kafsim.protocol.types import ConnectionId, Header, Micros

NOW = Micros(0)


class Server:
    """Answers at once what is called ``now``, never what is called ``never``, and the rest when it is told to."""

    def __init__(self) -> None:
        self.outbox = Outbox()
        self.requests = MutedConnections(self.outbox, self._handle)
        self.held: list[tuple[ConnectionId, Header]] = []
        self.handled: list[tuple[int, int]] = []
        self.answered: list[tuple[int, int]] = []

    def _handle(self, now: Micros, connection: ConnectionId, header: Header, body: Any) -> bool:
        self.handled.append((connection, header.correlation_id))
        if body == "now":
            self.outbox.reply(connection, header, None)
        elif body == "later":
            self.held.append((connection, header))
        return body != "never"

    def receive(self, connection: int, correlation: int, body: str) -> None:
        self.requests.receive(NOW, ConnectionId(connection), Header(0, 0, correlation), body)
        self.end_of_input()

    def answer(self, index: int) -> None:
        connection, header = self.held.pop(index % len(self.held))
        self.outbox.reply(connection, header, None)
        self.end_of_input()

    def end_of_input(self) -> None:
        self.requests.unmute(NOW)
        self.answered += [(e[1], e[2].correlation_id) for e in self.outbox.effects if e[0] == REPLY]
        self.outbox.effects.clear()


steps = st.tuples(st.integers(0, 2), st.sampled_from(("now", "later", "later", "never", "answer")), st.integers(0, 9))


@given(st.lists(steps, max_size=40))
def test_answers_come_in_the_order_of_the_requests(script: list[tuple[int, str, int]]) -> None:
    server, sent, due = Server(), {0: [], 1: [], 2: []}, {0: [], 1: [], 2: []}
    for number, (connection, do, index) in enumerate(script):
        if do == "answer":
            if server.held:
                server.answer(index)
            continue
        sent[connection].append(number)
        due[connection] += [number] if do != "never" else []
        server.receive(connection, number, do)
        assert len({held for held, _ in server.held}) == len(server.held), "two requests of one connection at a time"
    while server.held:
        server.answer(0)
    for connection, numbers in sent.items():
        assert [n for c, n in server.handled if c == connection] == numbers
        assert [n for c, n in server.answered if c == connection] == due[connection]


def test_a_connection_that_is_closed_takes_what_waits_with_it() -> None:
    server = Server()
    server.receive(1, 1, "later")
    server.receive(1, 2, "now")
    server.outbox.close(ConnectionId(1))
    server.end_of_input()
    assert ConnectionId(1) not in server.requests
    assert server.handled == [(1, 1)]
    server.receive(2, 3, "later")
    server.receive(2, 4, "now")
    server.requests.forget(ConnectionId(2))
    assert server.handled == [(1, 1), (2, 3)]
