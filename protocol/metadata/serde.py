"""Metadata records as values of the records of the metadata log (Kafka: ``MetadataRecordSerde``).

A frame of three varints goes before the body: frame version 1, record type, record version.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

from kafsim.protocol import metadata
from kafsim.protocol.records.varint import decode_unsigned, encode_unsigned
from kafsim.protocol.schema import about
from kafsim.protocol.wire import codec
from kafsim.protocol.wire.primitives import WireError

FRAME_VERSION = 1

by_type: dict[int, type] = {}
for _module in pkgutil.iter_modules(metadata.__path__):
    if _module.name.endswith("_record"):
        for _cls in vars(importlib.import_module(f"{metadata.__name__}.{_module.name}")).values():
            if isinstance(_cls, type) and _cls in about:
                by_type[about[_cls].key] = _cls


def encode(record: Any, version: int | None = None) -> bytes:
    """The value of one record; in its newest version unless told otherwise."""
    known = about[type(record)]
    version = known.versions[1] if version is None else version
    frame = encode_unsigned(FRAME_VERSION) + encode_unsigned(known.key) + encode_unsigned(version)
    return frame + codec.encode(record, version)


def decode(value: bytes) -> tuple[Any, int]:
    """The record and its version; WireError for a frame or a type that is not known."""
    frame, at = decode_unsigned(value, 0)
    if frame != FRAME_VERSION:
        raise WireError(f"frame version {frame} is not known")
    type_, at = decode_unsigned(value, at)
    version, at = decode_unsigned(value, at)
    if type_ not in by_type:
        raise WireError(f"metadata record type {type_} is not known")
    return codec.decode(by_type[type_], value, version, at)[0], version
