"""The rules that keep records safe, each by name, each read where it is applied.

Switching one off is how an invariant is shown to see, and how an older Kafka is imitated. A field says what goes wrong
without it.
"""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class Safeguards:
    """All on is today's Kafka."""

    check_producer_sequences: bool = True
    """Off: a retry of what was written already is written again, and a gap in the sequences passes."""
    recover_after_unclean_shutdown: bool = True
    """Off: a torn batch at the end of a log stays, and what follows it cannot be read."""


ALL_ON = Safeguards()


def names() -> tuple[str, ...]:
    return tuple(field.name for field in attrs.fields(Safeguards))
