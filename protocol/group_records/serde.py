"""Keys and values of the records in ``__consumer_offsets`` (Kafka: ``GroupCoordinatorRecordSerde``).

Each begins with a number of 16 bits: a key with the type of the record, a value with its version. A record without a
value takes away what its key names.
"""

from __future__ import annotations

import importlib
import pkgutil
import struct
from typing import Any

from kafsim.protocol import group_records
from kafsim.protocol.schema import about
from kafsim.protocol.wire import codec
from kafsim.protocol.wire.primitives import WireError

_SHORT = struct.Struct(">h")

by_type: dict[int, tuple[type, type]] = {}
"""The classes of key and value of each type."""
for _module in pkgutil.iter_modules(group_records.__path__):
    if _module.name != "serde":
        _classes = vars(importlib.import_module(f"{group_records.__name__}.{_module.name}"))
        _known = {cls.__name__: cls for cls in _classes.values() if isinstance(cls, type) and cls in about}
        _key, _value = (next(cls for name, cls in _known.items() if name.endswith(end)) for end in ("Key", "Value"))
        by_type[about[_key].key] = (_key, _value)


def encode_key(key: Any) -> bytes:
    return _SHORT.pack(about[type(key)].key) + codec.encode(key, 0)


def encode_value(value: Any, version: int | None = None) -> bytes | None:
    """In its newest version unless told otherwise; None for a tombstone."""
    if value is None:
        return None
    version = about[type(value)].versions[1] if version is None else version
    return _SHORT.pack(version) + codec.encode(value, version)


def decode(key: bytes, value: bytes | None) -> tuple[Any, Any, int]:
    """Key, value and the version of the value, -1 for a tombstone; WireError for a type or version not known."""
    type_ = _number(key)
    if type_ not in by_type:
        raise WireError(f"record type {type_} is not known")
    key_class, value_class = by_type[type_]
    found = codec.decode(key_class, key, 0, 2)[0]
    if value is None:
        return found, None, -1
    version = _number(value)
    first, last = about[value_class].versions
    if not first <= version <= last:
        raise WireError(f"{value_class.__name__} has no version {version}")
    return found, codec.decode(value_class, value, version, 2)[0], version


def _number(data: bytes) -> int:
    if len(data) < 2:
        raise WireError("a key or value of a group's record is cut off")
    return int(_SHORT.unpack_from(data)[0])
