"""Opening a log at start (Kafka: ``LogLoader``).

After a clean stop nothing is checked; otherwise every segment is, from the recovery point on.
"""

from __future__ import annotations

from kafsim.protocol.effects import Outbox
from kafsim.protocol.facts import log as facts
from kafsim.protocol.facts.fact import STATE, because
from kafsim.protocol.files import Directory
from kafsim.protocol.records import batch as batches
from kafsim.protocol.safeguards import Safeguards
from kafsim.storage.log import Log
from kafsim.storage.log_config import LogConfig
from kafsim.storage.segment import CLEANED, LOG, SWAP, Segment


def load(
    directory: str,
    files: Directory,
    outbox: Outbox,
    config: LogConfig,
    safeguards: Safeguards,
    *,
    now_ms: int,
    clean: bool,
    recovery_point: int = 0,
    log_start_offset: int = 0,
    high_watermark: int = 0,
    is_quiet: bool = False,
) -> Log:
    """A log as its files have it; a new one where there are none.

    ``clean``: the last process stopped cleanly, so nothing is checked. The three offsets come from the checkpoints.
    """
    log = Log(directory, files, outbox, config, safeguards)
    log.is_quiet = is_quiet
    log.epochs.load()
    _finish_swaps(log)
    _open_segments(log, now_ms)
    if not clean and safeguards.recover_after_unclean_shutdown:
        _recover(log, recovery_point)
    _bound(log, log_start_offset, now_ms)
    log.recovery_point = log.log_end_offset if clean else min(max(recovery_point, 0), log.log_end_offset)
    log.epochs.truncate_from_end(log.log_end_offset)
    log.epochs.truncate_from_start(log.log_start_offset)
    log.rebuild_producers(log.log_end_offset, now_ms)
    log.set_high_watermark(high_watermark)
    log.flushed_ms = now_ms
    _state_what_was_found(log, clean=clean)
    return log


def _finish_swaps(log: Log) -> None:
    """What a compaction had under way: undone when its files were not complete, otherwise brought to its end."""
    files, prefix = log.files, f"{log.directory}/"
    cleaned = [name for name in files.names(prefix) if name.endswith(CLEANED)]
    least = min((_base(name) for name in cleaned), default=None)
    for name in cleaned:
        files.delete(name)
    swaps = [name for name in files.names(prefix) if name.endswith(SWAP)]
    for name in [name for name in swaps if least is not None and _base(name) >= least]:
        files.delete(name)
        swaps.remove(name)
    for name in swaps:
        if name.endswith(LOG + SWAP):
            _clear_for(log, name)
    for name in swaps:
        files.rename(name, name.removesuffix(SWAP))


def _clear_for(log: Log, swap: str) -> None:
    """The old files that a swapped segment replaces."""
    file = log.files.get(swap)
    data = b"" if file is None else file.read()
    ends = [batches.header(data, span.position).next_offset for span in batches.spans_in_file(data)]
    first, end = _base(swap), max(ends, default=0)
    for name in list(log.files.names(f"{log.directory}/")):
        stem = name.rpartition("/")[2].partition(".")[0]
        if stem.isdigit() and first <= int(stem) < end and not name.endswith(SWAP):
            log.files.delete(name)


def _base(name: str) -> int:
    return int(name.rpartition("/")[2].partition(".")[0])


def _open_segments(log: Log, now_ms: int) -> None:
    interval = log.config.index_interval_bytes
    for name in list(log.files.names(f"{log.directory}/")):
        if name.endswith(LOG):
            base = int(name.rpartition("/")[2].removesuffix(LOG))
            segment = Segment(log.files, log.directory, base, interval, now_ms)
            segment.load(check=False)
            log.segments.append(segment)


def _recover(log: Log, recovery_point: int) -> None:
    """Check every segment from the recovery point on; at the first broken batch the log ends."""
    for index, segment in enumerate(log.segments):
        is_last = index == len(log.segments) - 1
        if not is_last and log.segments[index + 1].base_offset <= recovery_point:
            continue
        cut = segment.load(check=True)
        _assign_epochs(log, segment)
        if cut:
            why = because(facts.TORN, cut_bytes=cut, segment=segment.base_offset)
            log.outbox.happened(facts.TornTailCut(log=log.directory, to=segment.next_offset, because=why))
            for later in log.segments[index + 1 :]:
                later.delete()
            del log.segments[index + 1 :]
            return


def _assign_epochs(log: Log, segment: Segment) -> None:
    for placed in segment.batches:
        if placed.leader_epoch > log.epochs.latest:
            log.epochs.assign(placed.leader_epoch, placed.base_offset)


def _bound(log: Log, log_start_offset: int, now_ms: int) -> None:
    """Log start and log end, from the segments and the checkpoint; a log below its checkpoint begins anew there."""
    end = log.segments[-1].next_offset if log.segments else 0
    if not log.segments or end < log_start_offset:
        for segment in log.segments:
            segment.delete()
        log.epochs.truncate_from_end(0)
        log.segments = [Segment(log.files, log.directory, log_start_offset, log.config.index_interval_bytes, now_ms)]
        end = log_start_offset
    log.log_end_offset = end
    log.log_start_offset = log.high_watermark = max(log_start_offset, log.segments[0].base_offset)


def _state_what_was_found(log: Log, *, clean: bool) -> None:
    if log.outbox.heard < STATE or log.is_quiet:
        return
    found = tuple(
        (placed.base_offset, placed.last_offset, placed.leader_epoch, placed.crc)
        for segment in log.segments
        for placed in segment.batches
    )
    log.outbox.happened(
        facts.LogLoaded(
            log=log.directory,
            log_start_offset=log.log_start_offset,
            log_end_offset=log.log_end_offset,
            high_watermark=log.high_watermark,
            clean=clean,
            batches=found,
        )
    )
