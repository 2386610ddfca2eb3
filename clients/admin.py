"""The core of an admin client (Kafka: ``KafkaAdminClient``): requests to some broker or to a leader, until an answer.

A request whose answer got lost is asked again until default.api.timeout.ms; so a topic may be answered
TOPIC_ALREADY_EXISTS by the second try, as in Kafka.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs

from kafsim.clients import calls
from kafsim.clients.client import Client
from kafsim.clients.errors import KafkaTimeoutError
from kafsim.clients.metadata import METADATA
from kafsim.clients.network import Lost
from kafsim.protocol import errors
from kafsim.protocol.messages.find_coordinator import FindCoordinatorRequest, FindCoordinatorResponse
from kafsim.protocol.messages.metadata import MetadataRequest, MetadataRequestTopic
from kafsim.protocol.surroundings import Surroundings
from kafsim.protocol.types import CallId, Micros, millis

RETRY_TIMER = "retry"
FIND_COORDINATOR = 10
NOT_HERE = frozenset({errors.NOT_COORDINATOR, errors.COORDINATOR_NOT_AVAILABLE})
ASK_AGAIN = NOT_HERE | {errors.COORDINATOR_LOAD_IN_PROGRESS, errors.REBALANCE_IN_PROGRESS}


@attrs.define
class Asked:
    call: CallId
    ask: calls.Ask
    deadline: Micros
    not_before: Micros = Micros(0)  # noqa: RUF009  # an int in disguise
    under_way: bool = False


class Admin(Client):
    """``settings``: parsed admin settings."""

    def __init__(self, given: Surroundings, settings: dict[str, Any], bootstrap: list[int]) -> None:
        super().__init__(given, settings, bootstrap, auto_create=False)
        self._asked: list[Asked] = []
        self._coordinators: dict[str, int] = {}
        self._looking_up: dict[str, None] = {}
        self._pause = millis(settings["retry.backoff.ms"])

    def on_cancel(self, now: Micros, call: CallId) -> None:
        self._asked = [asked for asked in self._asked if asked.call != call]

    def on_call(self, now: Micros, call: CallId, request: Any) -> None:
        if isinstance(request, calls.DescribeTopics):
            names = request.topics
            wanted = None if names is None else tuple(MetadataRequestTopic(name=name) for name in names)
            request = calls.Ask(METADATA, MetadataRequest(topics=wanted, allow_auto_topic_creation=False))
        deadline = Micros(now + millis(self.settings["default.api.timeout.ms"]))
        self._asked.append(Asked(call, request, deadline))
        if request.to_leader_of is not None:
            self.metadata.want(now, request.to_leader_of.topic)
        if request.to_coordinator_of is not None:
            self._coordinators.pop(request.to_coordinator_of, None)
        self.run(now)

    def run(self, now: Micros) -> None:
        """Ask what can be asked now; give up what has waited too long."""
        self.metadata.maybe_ask(now)
        wake: int | None = None
        for asked in list(self._asked):
            if asked.under_way:
                continue
            if asked.deadline <= now:
                self._asked.remove(asked)
                limit = self.settings["default.api.timeout.ms"]
                error = KafkaTimeoutError(f"Timed out waiting for a node assignment or an answer for {limit} ms.")
                self.outbox.answer_call(asked.call, error)
                continue
            node = self._node(now, asked)
            if node is not None and asked.not_before <= now:
                self._send(now, node, asked)
            else:
                again = max(asked.not_before, now + self._pause)
                wake = min(again if wake is None else wake, again, asked.deadline)
        if wake is not None:
            self.outbox.set_timer(RETRY_TIMER, Micros(wake))

    def _node(self, now: Micros, asked: Asked) -> int | None:
        node: int | None
        if asked.ask.to_broker is not None:
            node = asked.ask.to_broker if asked.ask.to_broker in self.metadata.nodes() else None
            if node is None:
                self.metadata.request_update(now)
        elif not self.metadata.brokers:
            self.metadata.request_update(now)
            return None
        elif asked.ask.to_coordinator_of is not None:
            node = self._coordinator(now, asked.ask.to_coordinator_of)
        elif asked.ask.to_leader_of is None:
            node = self.network.least_loaded(self.metadata.nodes(), now)
        else:
            leader = self.metadata.leader(asked.ask.to_leader_of)
            node = None if leader is None else leader.id
            if node is None:
                self.metadata.request_update(now)
        return node if node is not None and self.network.is_ready(now, node) else None

    def _coordinator(self, now: Micros, group: str) -> int | None:
        """The broker that coordinates the group: looked up for each call, and again when it cannot be reached."""
        found = self._coordinators.get(group)
        if found is not None and self.network.is_unavailable(now, found):
            del self._coordinators[group]
            found = None
        if found is None and group not in self._looking_up:
            node = self.network.least_loaded(self.metadata.nodes(), now)
            if node is not None and self.network.is_ready(now, node):
                self._looking_up[group] = None
                request = FindCoordinatorRequest(coordinator_keys=(group,))
                self.network.send(
                    now, node, FIND_COORDINATOR, request, lambda _, answer: self._found(group, answer), version=6
                )
        return found

    def _found(self, group: str, answer: FindCoordinatorResponse | Lost) -> None:
        self._looking_up.pop(group, None)
        if not isinstance(answer, Lost) and not answer.coordinators[0].error_code:
            self._coordinators[group] = answer.coordinators[0].node_id

    def _is_moved(self, group: str | None, response: Any) -> bool:
        """Should the coordinator be asked once more, or another one?"""
        if group is None:
            return False
        found = set(_error_codes(response))
        if isinstance(response, Lost) or found & NOT_HERE:
            self._coordinators.pop(group, None)
        return bool(found & ASK_AGAIN)

    def _send(self, now: Micros, node: int, asked: Asked) -> None:
        asked.under_way = True

        def answered(at: Micros, response: Any) -> None:
            asked.under_way = False
            if asked not in self._asked:
                return
            moved = self._is_moved(asked.ask.to_coordinator_of, response)
            if isinstance(response, Lost) or moved or (asked.ask.to_leader_of is not None and _may_pass(response)):
                asked.not_before = Micros(at + self._pause)
                self.metadata.request_update(at)
                return
            self._asked.remove(asked)
            self.outbox.answer_call(asked.call, response)

        ask = asked.ask
        self.network.send(now, node, ask.api, ask.request, answered, version=ask.version)


def _error_codes(response: Any) -> Iterator[int]:
    """All that are in a response."""
    if isinstance(response, tuple):
        for one in response:
            yield from _error_codes(one)
    elif attrs.has(type(response)):
        yield getattr(response, "error_code", errors.NONE)
        for field in attrs.fields(type(response)):
            yield from _error_codes(getattr(response, field.name))


def _may_pass(response: Any) -> bool:
    """Did the broker, asked as the leader of one partition, answer what another try may mend?"""
    error = response.topics[0].partitions[0].error_code
    return error in errors.INVALID_METADATA or error in errors.RETRIABLE
