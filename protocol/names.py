"""What may be a name, and the nearest of those that are known, for whoever mistyped one."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

_LEGAL = re.compile(r"[a-zA-Z0-9._-]+")


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """``did you mean 'acks'?``; None when nothing is near."""
    near = difflib.get_close_matches(name, sorted(known), n=1)
    return f"did you mean {near[0]!r}?" if near else None


def illegal(name: str) -> str | None:
    """Why a topic, or an instance id, cannot be called that (Kafka: ``Topic.validate``)."""
    if not name:
        return "the empty string is not allowed"
    if name in (".", ".."):
        return f"'{name}' is not allowed"
    if len(name) > 249:
        return f"the length of '{name}' is longer than the max allowed length 249"
    if not _LEGAL.fullmatch(name):
        return f"'{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
    return None
