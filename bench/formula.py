"""A logistic regression as a formula, as a user of a data frame or of SQL would write it, without this package."""

from __future__ import annotations

import msgspec


class Field(msgspec.Struct, frozen=True):
    """A field, and the numbers that mean "not measured"."""

    name: str
    missing: tuple[int, ...]


class Number(Field, frozen=True):
    """A field that adds slope * value + constant to the log-odds."""

    slope: float
    constant: float


class Codes(Field, frozen=True):
    """A field of which each code adds a number."""

    codes: dict[int, float]


class Formula(msgspec.Struct, frozen=True):
    """risk = 1 / (1 + exp(-(intercept + what the fields add))); a field that is null or `missing` adds nothing."""

    intercept: float
    numbers: tuple[Number, ...]
    codes: tuple[Codes, ...]

    def sql(self) -> str:
        """Return the risk, to six decimals, as an expression of SQL."""
        terms = [_double(self.intercept)]
        for number in self.numbers:
            absent = _absent(number.name, number.missing)
            terms.append(f"CASE WHEN {absent} THEN 0 ELSE {_sum(number)} END")
        for field in self.codes:
            cases = " ".join(f"WHEN {code} THEN {_double(added)}" for code, added in field.codes.items())
            terms.append(f"CASE {field.name} {cases} ELSE 0 END")
        total = " + ".join(f"({term})" for term in terms)
        return f"ROUND(1 / (1 + EXP(-({total}))), 6)"


def _absent(name: str, missing: tuple[int, ...]) -> str:
    listed = ", ".join(map(str, missing))
    return f"{name} IS NULL OR {name} IN ({listed})" if missing else f"{name} IS NULL"


def _sum(number: Number) -> str:
    return f"{_double(number.slope)} * {number.name} + {_double(number.constant)}"


def _double(number: float) -> str:
    """Return a literal with an exponent: without one, SQL has it as a DECIMAL."""
    return f"{number:.17e}"
