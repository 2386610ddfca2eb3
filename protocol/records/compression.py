"""The codecs of a record batch. gzip is built in; snappy, lz4 and zstd need the extra ``kafsim[compression]``."""

from __future__ import annotations

import gzip
import importlib.util
import io
import zlib
from types import ModuleType

from kafsim.protocol.records.errors import Decompression

NONE, GZIP, SNAPPY, LZ4, ZSTD = range(5)
NAMES = ("none", "gzip", "snappy", "lz4", "zstd")
"""By the id in the lowest three bits of a batch's attributes."""

MASK = 0x07
"""Of a batch's attributes."""
_XERIAL = b"\x82SNAPPY\x00"
_XERIAL_BLOCK = 32_768


def codec_id(name: str) -> int:
    """ValueError for a name that Kafka does not know."""
    return NAMES.index(name)


def compress(codec: int, data: bytes) -> bytes:
    """As Kafka's clients write it: gzip of level 6, snappy in xerial blocks, lz4 frames, zstd."""
    if codec == GZIP:
        return gzip.compress(data, 6, mtime=0)
    library = _library(codec)
    if codec == SNAPPY:
        return _xerial_compress(library, data)
    return bytes(library.lz4.compress(data) if codec == LZ4 else library.zstd.compress(data))


def decompress(codec: int, data: bytes) -> bytes:
    """Decompression for a broken stream or a codec that is not installed."""
    try:
        if codec == GZIP:
            return gzip.GzipFile(fileobj=io.BytesIO(data)).read()
        library = _library(codec)
        if codec == SNAPPY:
            return _snappy_decompress(library, data)
        return bytes(library.lz4.decompress(data) if codec == LZ4 else library.zstd.decompress(data))
    except Decompression:
        raise
    except (OSError, EOFError, zlib.error, ValueError, RuntimeError, IndexError) as error:
        raise Decompression(f"a {NAMES[codec]} stream is broken: {error}") from error
    except Exception as error:
        if type(error).__module__.startswith("cramjam"):
            raise Decompression(f"a {NAMES[codec]} stream is broken: {error}") from error
        raise


def what_it_needs(name: str) -> str | None:
    """What is not installed and would have to be, for a codec by its name."""
    if codec_id(name) in (NONE, GZIP) or importlib.util.find_spec("cramjam") is not None:
        return None
    return "the extra kafsim[compression]"


def _library(codec: int) -> ModuleType:
    try:
        import cramjam  # noqa: PLC0415  # an extra
    except ImportError:
        raise Decompression(f"{NAMES[codec]} needs the extra kafsim[compression]") from None
    library: ModuleType = cramjam
    return library


def _xerial_compress(library: ModuleType, data: bytes) -> bytes:
    out = bytearray(_XERIAL + b"\x00\x00\x00\x01\x00\x00\x00\x01")
    for start in range(0, len(data), _XERIAL_BLOCK):
        block = bytes(library.snappy.compress_raw(data[start : start + _XERIAL_BLOCK]))
        out += len(block).to_bytes(4, "big") + block
    return bytes(out)


def _snappy_decompress(library: ModuleType, data: bytes) -> bytes:
    if data[:8] != _XERIAL:
        return bytes(library.snappy.decompress_raw(data))
    out, position = bytearray(), 16
    while position < len(data):
        size = int.from_bytes(data[position : position + 4], "big")
        position += 4
        if position + size > len(data):
            raise Decompression("a snappy block is cut off")
        out += bytes(library.snappy.decompress_raw(data[position : position + size]))
        position += size
    return bytes(out)
