"""What every client core is: connections, metadata, and inputs that end in one step of its loop."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any

from kafsim.clients.metadata import TIMER as METADATA_TIMER
from kafsim.clients.metadata import ClientMetadata
from kafsim.clients.network import TIMER as NETWORK_TIMER
from kafsim.clients.network import ClientNetwork
from kafsim.protocol.surroundings import Surroundings
from kafsim.protocol.types import ConnectionId, FlushKey, Header, Micros, TimerKey


class Client(abc.ABC):
    """``settings``: parsed settings of the kind of client; ``run`` is a step of its loop, taken after each input."""

    def __init__(
        self,
        given: Surroundings,
        settings: dict[str, Any],
        bootstrap: list[int],
        on_metadata: Callable[[Micros], None] = lambda _: None,
        *,
        auto_create: bool,
        idle: Micros | None = None,
    ) -> None:
        self.given = given
        self.outbox = given.outbox
        self.settings = settings
        client_id = settings["client.id"] or str(given.address)
        self.network = ClientNetwork(given.outbox, given.entropy, given.address.cluster, client_id, settings, bootstrap)
        self.metadata = ClientMetadata(
            given.outbox,
            self.network,
            given.entropy,
            len(bootstrap),
            settings,
            on_metadata,
            auto_create=auto_create,
            idle=idle,
        )

    @abc.abstractmethod
    def run(self, now: Micros) -> None: ...

    def on_start(self, now: Micros) -> None: ...  # noqa: B027  # clients wait to be called

    def on_message(self, now: Micros, connection: ConnectionId, header: Header, body: Any) -> None:
        self.network.on_message(now, connection, header, body)
        self.run(now)

    def on_disconnect(self, now: Micros, connection: ConnectionId) -> None:
        self.network.on_disconnect(now, connection)
        self.run(now)

    def on_timer(self, now: Micros, key: TimerKey) -> None:
        if key == NETWORK_TIMER:
            self.network.on_timer(now)
        elif key == METADATA_TIMER:
            self.metadata.on_timer(now)
        self.run(now)

    def on_flushed(self, now: Micros, key: FlushKey) -> None: ...  # noqa: B027  # they write no files
