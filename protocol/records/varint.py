"""Variable-length integers as in Kafka's ``ByteUtils``: seven bits to a byte, zigzag for signed ones."""

from __future__ import annotations

from kafsim.protocol.records.errors import RecordError


def _encode(unsigned: int) -> bytes:
    out = bytearray()
    while unsigned >= 0x80:
        out.append(unsigned & 0x7F | 0x80)
        unsigned >>= 7
    out.append(unsigned)
    return bytes(out)


_SMALL = tuple(_encode(zigzag) for zigzag in range(0, 16_384, 2))
"""The encodings of 0 to 8191, which is nearly everything that lengths and deltas need."""


def encode_signed(number: int) -> bytes:
    """Zigzag, for numbers of up to 64 bits."""
    if 0 <= number < 8_192:
        return _SMALL[number]
    return _encode((number << 1 ^ number >> 63) & 0xFFFF_FFFF_FFFF_FFFF)


def encode_unsigned(number: int) -> bytes:
    """For numbers of 32 bits; negative ones take five bytes, as in Kafka."""
    return _encode(number & 0xFFFF_FFFF)


def decode_signed(data: bytes, position: int) -> tuple[int, int]:
    """The number, and the position after it. IndexError past the end, RecordError when it does not end."""
    number, position = decode_raw(data, position)
    return number >> 1 ^ -(number & 1), position


def decode_unsigned(data: bytes, position: int) -> tuple[int, int]:
    number, position = decode_raw(data, position, 28)
    return number & 0xFFFF_FFFF, position


def decode_raw(data: bytes, position: int, last_shift: int = 63) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, position
        shift += 7
        if shift > last_shift:
            raise RecordError(f"varint is too long: it goes on after {shift // 7} bytes")
