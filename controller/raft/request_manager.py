"""One request at a time to each node, its timeout and the pause after a failure (Kafka: ``RequestManager``).

READY --sent--> AWAITING --answered--> READY
AWAITING --refused, disconnected--> BACKING_OFF --retry.backoff.ms--> READY
AWAITING --request.timeout.ms--> READY, by a new connection
"""

from __future__ import annotations

from typing import Any

import attrs

from kafsim.protocol.effects import Outbox
from kafsim.protocol.entropy import Entropy
from kafsim.protocol.schema import about
from kafsim.protocol.types import Address, ConnectionId, Header, Micros

PURPOSE = "raft"
BEGIN = Micros(0)
LISTENER = "CONTROLLER"
RECONNECT_FIRST, RECONNECT_MOST = 50_000, 500_000


@attrs.define
class Peer:
    """One node that requests go to. ``in_flight``: correlation id of the request that waits for its answer."""

    address: Address
    connection: ConnectionId | None = None
    in_flight: int | None = None
    sent_at: Micros = BEGIN
    ready_at: Micros = BEGIN
    """Until then this node backs off."""
    losses: int = 0
    """How many connections to it broke in a row."""
    reconnect_at: Micros = BEGIN


class RequestManager:
    """``owners`` is told whose a connection is, for the node's dispatch."""

    def __init__(
        self,
        outbox: Outbox,
        entropy: Entropy,
        owners: dict[ConnectionId, Any],
        owner: object,
        *,
        request_timeout: Micros,
        retry_backoff: Micros,
    ) -> None:
        self._outbox = outbox
        self._entropy = entropy
        self._owners = owners
        self._owner = owner
        self._request_timeout = request_timeout
        self._retry_backoff = retry_backoff
        self._peers: dict[Address, Peer] = {}
        self._by_connection: dict[ConnectionId, Peer] = {}
        self._correlation = 0
        self.reconnect_first = RECONNECT_FIRST

    def send(self, now: Micros, address: Address, body: Any) -> bool:
        """Send when the node is ready for it; false when it is not."""
        if not self.is_ready(now, address):
            return False
        peer = self._peers.setdefault(address, Peer(address))
        if peer.connection is None:
            peer.connection = self._outbox.connect(address, PURPOSE)
            self._owners[peer.connection] = self._owner
            self._by_connection[peer.connection] = peer
        self._correlation += 1
        peer.in_flight, peer.sent_at = self._correlation, now
        known = about[type(body)]
        header = Header(known.key, known.versions[1], self._correlation, listener=LISTENER)
        self._outbox.send(peer.connection, header, body)
        return True

    def take_answer(self, connection: ConnectionId, header: Header) -> Address | None:
        """Whose answer this is; None for one that nobody waits for any more."""
        peer = self._by_connection.get(connection)
        if peer is None or peer.in_flight != header.correlation_id:
            return None
        peer.in_flight = None
        peer.losses = 0
        return peer.address

    def back_off(self, now: Micros, address: Address) -> None:
        """The answer was of no use."""
        self._peers.setdefault(address, Peer(address)).ready_at = Micros(now + self._retry_backoff)

    def on_disconnect(self, now: Micros, connection: ConnectionId) -> Address | None:
        """The node broke the connection; its address when a request was under way."""
        peer = self._by_connection.pop(connection, None)
        self._owners.pop(connection, None)
        if peer is None:
            return None
        peer.connection = None
        peer.reconnect_at = Micros(now + self._reconnect_backoff(peer.losses))
        peer.losses += 1
        if peer.in_flight is None:
            return None
        peer.in_flight = None
        self.back_off(now, peer.address)
        return peer.address

    def _reconnect_backoff(self, losses: int) -> int:
        """Exponential, and by lot up to a fifth more or less (Kafka: ``KafkaRaftManager.buildNetworkClient``)."""
        wait = min(self.reconnect_first << min(losses, 10), RECONNECT_MOST)
        return min(wait * (800 + self._entropy.below(401)) // 1_000, RECONNECT_MOST)

    # ------------------------------------------------------------------------ state

    def is_ready(self, now: Micros, address: Address) -> bool:
        peer = self._peers.get(address)
        if peer is None:
            return True
        self.drop_timed_out(now, peer)
        connected = peer.connection is not None or peer.reconnect_at <= now
        return peer.in_flight is None and peer.ready_at <= now and connected

    def is_backing_off(self, now: Micros, address: Address) -> bool:
        peer = self._peers.get(address)
        return peer is not None and peer.ready_at > now

    def has_timed_out(self, now: Micros, address: Address) -> bool:
        peer = self._peers.get(address)
        return peer is not None and self._is_timed_out(now, peer)

    def has_any_in_flight(self, now: Micros) -> bool:
        return any(peer.in_flight is not None and not self._is_timed_out(now, peer) for peer in self._peers.values())

    def _is_timed_out(self, now: Micros, peer: Peer) -> bool:
        return peer.in_flight is not None and now >= peer.sent_at + self._request_timeout

    def drop_timed_out(self, now: Micros, peer: Peer) -> None:
        """A request that took too long takes its connection with it."""
        if self._is_timed_out(now, peer):
            self._close(peer)

    def reset(self, address: Address) -> None:
        peer = self._peers.get(address)
        if peer is not None:
            self._forget(peer)

    def reset_all(self) -> None:
        """Whatever is under way belongs to a role that is over."""
        for peer in self._peers.values():
            self._forget(peer)

    def _forget(self, peer: Peer) -> None:
        peer.ready_at = Micros(0)
        if peer.in_flight is not None:
            self._close(peer)

    def _close(self, peer: Peer) -> None:
        peer.in_flight = None
        if peer.connection is not None:
            self._outbox.close(peer.connection)
            self._by_connection.pop(peer.connection, None)
            self._owners.pop(peer.connection, None)
            peer.connection = None

    def ready_bootstrap(self, now: Micros, addresses: list[Address]) -> Address | None:
        """Any node that is ready, by lot; none while a request is under way."""
        if not addresses or self.has_any_in_flight(now):
            return None
        first = self._entropy.below(len(addresses))
        return next((a for a in addresses[first:] + addresses[:first] if self.is_ready(now, a)), None)

    def next_deadline(self, now: Micros) -> Micros | None:
        """When a request will have taken too long, or a pause will be over."""
        times = [
            Micros(peer.sent_at + self._request_timeout)
            if peer.in_flight is not None
            else max(peer.ready_at, peer.reconnect_at if peer.connection is None else BEGIN)
            for peer in self._peers.values()
        ]
        return min((time for time in times if time > now), default=None)
