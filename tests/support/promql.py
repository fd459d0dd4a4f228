"""What an expression of PromQL names: metrics with the labels that are selected, and labels that are grouped by."""

from __future__ import annotations

import re
from typing import Self

import msgspec

_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"')
_RANGE = re.compile(r"\[[^\]]*\]|\boffset\s+\w+")
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_SELECTOR = re.compile(r"([a-zA-Z_:][\w:]*)\s*(\{[^}]*\})?(\s*\()?")
_MATCHER = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
_WORDS = {"and", "or", "unless", "bool"}


class Named(msgspec.Struct, frozen=True):
    """Labels that are selected, by metric; and labels that are grouped or joined by."""

    metrics: dict[str, set[str]]
    grouping: set[str]

    @classmethod
    def of(cls, expression: str) -> Self:
        """Read an expression that Prometheus accepts; of others nothing is promised."""
        plain = _RANGE.sub(" ", _TEXT.sub("", expression))
        grouping = {label.strip() for labels in _GROUPING.findall(plain) for label in labels.split(",")}
        metrics: dict[str, set[str]] = {}
        for name, matchers, opened in _SELECTOR.findall(_GROUPING.sub(" ", plain)):
            if not opened and name not in _WORDS:
                metrics.setdefault(name, set()).update(_MATCHER.findall(matchers))
        return cls(metrics, grouping)
