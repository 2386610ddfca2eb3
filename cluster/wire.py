"""How a message travels: as its bytes, or as the instance itself. Both give the same run."""

from __future__ import annotations

from typing import Any, Protocol

import msgpack

from kafsim.protocol import codec
from kafsim.protocol.types import Header

Packet = tuple[int, Header, Any]
"""Message number, header (for the network only), and what :meth:`Wire.pack` made."""


class Wire(Protocol):
    def pack(self, header: Header, body: object) -> Any: ...
    def unpack(self, packet: Packet) -> tuple[Header, Any]: ...
    def name_of(self, packet: Packet) -> str:
        """The class of the body."""
        ...


class Codec:
    """Header and body as msgpack bytes, so that no two actors share an object."""

    def __init__(self) -> None:
        self._pack = msgpack.Packer(autoreset=True).pack

    def pack(self, header: Header, body: object) -> Any:
        known = codec.by_class[type(body)]
        return self._pack((known.tag, header, known.to_tuple(body)))

    def unpack(self, packet: Packet) -> tuple[Header, Any]:
        tag, header, fields = msgpack.unpackb(packet[2], use_list=False)
        return Header._make(header), codec.by_tag[tag].from_tuple(fields)

    def name_of(self, packet: Packet) -> str:
        return codec.by_tag[msgpack.unpackb(packet[2], use_list=False)[0]].cls.__name__


class Share:
    """The frozen instance itself; for sweeps."""

    def pack(self, header: Header, body: object) -> Any:
        return body

    def unpack(self, packet: Packet) -> tuple[Header, Any]:
        return packet[1], packet[2]

    def name_of(self, packet: Packet) -> str:
        return type(packet[2]).__name__
