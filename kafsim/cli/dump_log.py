"""``kafsim dump-log``: what is in the files of a log directory."""

from __future__ import annotations

from pathlib import Path

from kafsim.cli.errors import UsageError


def dump_log(path: Path, /, *more: Path) -> None:
    """Print segments, indexes and snapshots as Kafka's kafka-dump-log does, with all records.

    Parameters
    ----------
    path
        A file, the directory of a partition, or a whole log directory.
    more
        Further ones.
    """
    from kafsim.storage.dump import GROUPS, METADATA, PLAIN, dump  # noqa: PLC0415

    for file in _files([path, *more]):
        decoder = PLAIN
        if file.suffix == ".checkpoint" or file.parent.name.startswith("__cluster_metadata"):
            decoder = METADATA
        elif file.parent.name.startswith("__consumer_offsets"):
            decoder = GROUPS
        for line in dump(str(file), file.read_bytes(), decoder=decoder):
            print(line)


def _files(paths: list[Path]) -> list[Path]:
    from kafsim.storage.dump import SUFFIXES  # noqa: PLC0415

    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(file for file in path.rglob("*") if file.suffix in SUFFIXES)
            if not inside:
                raise UsageError(f"{path} holds no segments, indexes or snapshots")
            found += inside
        elif path.is_file() and path.suffix in SUFFIXES:
            found.append(path)
        else:
            reason = f"is none of {', '.join(SUFFIXES)}" if path.exists() else "does not exist"
            raise UsageError(f"{path} {reason}")
    return found
