"""Figures, targets and the printed table.

A `Figure` is one line: what was measured on each side, and the `Target` it is held against. Every
target is a ratio within the run, except memory and latencies, which are absolute. Nothing here
measures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, asdict, dataclass, field
from enum import Enum
from statistics import median


class Against(Enum):
    """The figure that ours is compared with."""

    PUBLIC = "public"
    LIMIT = "limit"
    NOTHING = ""


@dataclass(frozen=True)
class Target:
    """`bound` is a least ratio to `against`, or a greatest value when against nothing."""

    bound: float
    against: Against = Against.NOTHING

    def text(self, unit: str) -> str:
        """The target as the table prints it."""
        if self.against is Against.NOTHING:
            return f"<= {self.bound:g} {unit}"
        return f">= {self.bound:g}x {self.against.value}"


@dataclass(frozen=True)
class Sample:
    """One side's values over the rounds; `error` says why it has none, or stopped early."""

    values: tuple[float, ...] = ()
    error: str = ""

    @property
    def figure(self) -> float | None:
        """The median over the rounds."""
        return median(self.values) if self.values and not self.error else None


NOT_MEASURED = Sample()
SIDES = ("public", "copyparty", "datasette", "limit", "ours")


@dataclass(frozen=True)
class Figure:
    """One line of the table. `unit` holds for all samples.

    `details` are our medians of the single requests when the line is the slowest of several.
    """

    number: str
    work: str
    unit: str
    ours: Sample
    target: Target | None = None
    _: KW_ONLY
    public: Sample = NOT_MEASURED
    limit: Sample = NOT_MEASURED
    copyparty: Sample = NOT_MEASURED
    datasette: Sample = NOT_MEASURED
    note: str = ""
    details: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def ratio(self) -> float | None:
        """Ours divided by what the target compares with, None when either is missing."""
        if self.target is None:
            return None
        other = {Against.PUBLIC: self.public, Against.LIMIT: self.limit}.get(self.target.against)
        if other is None or self.ours.figure is None or not other.figure:
            return None
        return self.ours.figure / other.figure

    @property
    def of_datasette(self) -> float | None:
        """Ours divided by the least route of Datasette's own; 0.8 is the second target then."""
        if self.ours.figure is None or not self.datasette.figure:
            return None
        return self.ours.figure / self.datasette.figure

    @property
    def verdict(self) -> str:
        """`met`, `missed`, `not measured`, or empty for a line without a target."""
        if self.target is None:
            return ""
        if self.target.against is Against.NOTHING:
            if self.ours.figure is None:
                return "not measured"
            return "met" if self.ours.figure <= self.target.bound else "missed"
        if self.ratio is None:
            return "not measured"
        return "met" if self.ratio >= self.target.bound else "missed"

    def as_json(self) -> dict[str, object]:
        """Everything known about the line, the values of every round included."""
        return {
            "number": self.number,
            "work": self.work,
            "unit": self.unit,
            **{side: asdict(getattr(self, side)) for side in SIDES},
            "figures": {side: getattr(self, side).figure for side in SIDES},
            "target": self.target.text(self.unit) if self.target else None,
            "ratio": self.ratio,
            "of datasette": self.of_datasette,
            "verdict": self.verdict,
            "note": self.note,
            "details": dict(self.details),
        }


def number(value: float | None) -> str:
    """A figure with three significant digits, `-` for none."""
    if value is None:
        return "-"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


HEADINGS = ("#", "work", "unit", *SIDES, "ratio", "target", "verdict", "of datasette")


def _cells(figure: Figure) -> tuple[str, ...]:
    ratio, share = figure.ratio, figure.of_datasette
    return (
        figure.number,
        figure.work,
        figure.unit,
        *(number(getattr(figure, side).figure) for side in SIDES),
        "-" if ratio is None else f"{ratio:.2f}x",
        figure.target.text(figure.unit) if figure.target else "-",
        figure.verdict or "-",
        "-" if share is None else f"{share:.2f}x",
    )


def table(figures: Sequence[Figure]) -> str:
    """The figures as a Markdown table, with notes and reasons below it."""
    rows = [HEADINGS, *(_cells(figure) for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    remarks = _remarks(figures)
    return "\n".join([*lines, *([""] if remarks else []), *remarks])


def _remarks(figures: Sequence[Figure]) -> list[str]:
    lines: list[str] = []
    for figure in figures:
        samples = {side: getattr(figure, side) for side in SIDES}
        remarks = [f"{side}: {sample.error}" for side, sample in samples.items() if sample.error]
        if figure.note:
            remarks.insert(0, figure.note)
        lines += [f"- {figure.number} {figure.work}: {remark}" for remark in remarks]
    return lines
