"""What the coordinator refuses a request for."""

from __future__ import annotations

from kafsim.protocol import errors


class Refused(Exception):
    """An error code of Kafka, and its words where it has some (Kafka: ``ApiException``)."""

    def __init__(self, code: int, message: str | None = None) -> None:
        super().__init__(message or errors.name(code))
        self.code = code
        self.message = message
