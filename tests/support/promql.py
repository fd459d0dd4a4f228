"""The names in a PromQL expression: metrics with the labels that they select, and grouping labels."""

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
    """Selected labels by metric, and labels in groupings and joins."""

    metrics: dict[str, set[str]]
    grouping: set[str]

    @classmethod
    def of(cls, expression: str) -> Self:
        """Parse an expression that Prometheus accepts; the result for any other is undefined."""
        plain = _RANGE.sub(" ", _TEXT.sub("", expression))
        grouping = {label.strip() for labels in _GROUPING.findall(plain) for label in labels.split(",")}
        metrics: dict[str, set[str]] = {}
        for name, matchers, opened in _SELECTOR.findall(_GROUPING.sub(" ", plain)):
            if not opened and name not in _WORDS:
                metrics.setdefault(name, set()).update(_MATCHER.findall(matchers))
        return cls(metrics, grouping)
