"""ApiVersions (18), version 4: what a client asks first on every connection.

Behaviour: a connection is of no use to a client before this answer, so a broker that does not answer it gets nothing
else; that is why a paused broker takes only what was sent to it before the pause.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from kafsim.controller.metadata_state import MetadataState
from kafsim.protocol.effects import Outbox
from kafsim.protocol.features import KRAFT_VERSION, SUPPORTED
from kafsim.protocol.messages.api_versions import (
    ApiVersion,
    ApiVersionsRequest,
    ApiVersionsResponse,
    FinalizedFeatureKey,
    SupportedFeatureKey,
)
from kafsim.protocol.schema import about, changed
from kafsim.protocol.types import ConnectionId, Header, Micros

ZERO_SINCE = 4
"""Before this version a feature that begins at level 0 could not be told."""


class ApiVersionsApi:
    """``requests``: the request classes that the broker serves; ``applied``: how far it knows the metadata."""

    def __init__(
        self,
        outbox: Outbox,
        requests: Iterable[type],
        metadata: MetadataState,
        applied: Callable[[], int],
        kraft_version: Callable[[], int],
    ) -> None:
        self._outbox = outbox
        self._metadata = metadata
        self._applied = applied
        self._kraft_version = kraft_version
        known = sorted((about[cls].key, *about[cls].versions) for cls in (*requests, ApiVersionsRequest))
        self._answer = ApiVersionsResponse(
            api_keys=tuple(ApiVersion(api_key=key, min_version=low, max_version=high) for key, low, high in known)
        )

    def handle(self, now: Micros, connection: ConnectionId, header: Header, request: ApiVersionsRequest) -> None:
        levels = dict(self._metadata.features.items())
        if self._kraft_version():
            levels[KRAFT_VERSION] = self._kraft_version()
        oldest = 1 if header.version < ZERO_SINCE else 0
        answer = changed(
            self._answer,
            supported_features=tuple(
                SupportedFeatureKey(name=name, min_version=range_.low, max_version=range_.high)
                for name, range_ in SUPPORTED.items()
                if range_.low >= oldest
            ),
            finalized_features_epoch=self._applied(),
            finalized_features=tuple(
                FinalizedFeatureKey(name=name, max_version_level=level, min_version_level=level)
                for name, level in levels.items()
            ),
        )
        self._outbox.reply(connection, header, answer)
