"""ApiVersions (18), version 4: what a client asks first on every connection.

Behaviour: a connection is of no use to a client before this answer, so a broker that does not answer it gets nothing
else; that is why a paused broker takes only what was sent to it before the pause.
"""

from __future__ import annotations

from collections.abc import Iterable

from kafsim.protocol.effects import Outbox
from kafsim.protocol.messages.api_versions import ApiVersion, ApiVersionsRequest, ApiVersionsResponse
from kafsim.protocol.schema import about
from kafsim.protocol.types import ConnectionId, Header, Micros


class ApiVersionsApi:
    """``requests``: the request classes that the broker serves."""

    def __init__(self, outbox: Outbox, requests: Iterable[type]) -> None:
        self._outbox = outbox
        known = sorted((about[cls].key, *about[cls].versions) for cls in (*requests, ApiVersionsRequest))
        self._answer = ApiVersionsResponse(
            api_keys=tuple(ApiVersion(api_key=key, min_version=low, max_version=high) for key, low, high in known)
        )

    def handle(self, now: Micros, connection: ConnectionId, header: Header, request: ApiVersionsRequest) -> None:
        self._outbox.reply(connection, header, self._answer)
