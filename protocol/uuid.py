"""Kafka's Uuid: 16 bytes, written as 22 characters of URL-safe base64 without padding.

Nothing is drawn here; whoever makes one brings the chance with it.
"""

from __future__ import annotations

import base64

Uuid = bytes
"""Exactly 16 bytes."""

ZERO_UUID: Uuid = bytes(16)
ONE_UUID: Uuid = bytes(15) + b"\x01"
METADATA_TOPIC_ID: Uuid = ONE_UUID
"""The topic id of ``__cluster_metadata`` (Kafka: ``Uuid.METADATA_TOPIC_ID``)."""


def to_text(uuid: Uuid) -> str:
    return base64.urlsafe_b64encode(uuid).decode().rstrip("=")


def from_text(text: str) -> Uuid:
    """The 16 bytes; ValueError for anything that is not 22 or 24 characters of URL-safe base64."""
    if len(text) > 24:
        raise ValueError(f"input string with prefix {text[:24]!r} is too long to be a base64 UUID")
    uuid = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if len(uuid) != 16:
        raise ValueError(f"input string {text!r} decodes to {len(uuid)} bytes, a UUID has 16")
    return uuid


def from_chance(high: int, low: int) -> Uuid:
    """A version 4 UUID of two numbers of 64 bits, never one that is reserved or begins with a dash in text.

    Kafka's ``Uuid.randomUuid`` refuses the same ones, so that a tool's option never swallows an id.
    """
    number = (high & 0xFFFF_FFFF_FFFF_0FFF) << 64 | (low & 0x3FFF_FFFF_FFFF_FFFF)
    uuid = (number | 0x4000 << 64 | 0x8000 << 48).to_bytes(16, "big")
    if to_text(uuid).startswith("-"):
        return from_chance(high ^ 1 << 63, low)
    return uuid
