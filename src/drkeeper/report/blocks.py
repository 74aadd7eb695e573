"""The building blocks of a long report, without any markup: each form (HTML, Markdown, PDF) sets the same ones.

A report is worked out once, as parts made of blocks; so no form can say more, or less, than another.
"""

from dataclasses import dataclass, field
from typing import Literal

Tone = Literal["", "good", "bad", "warn", "soft"]
"""How a word stands: a sign and a word go with it, for paper without colours."""

NOTHING = "\N{EN DASH}"
"""Stands in a table where there is nothing to say."""
SIGNS: dict[Tone, str] = {"good": "✓", "bad": "✕", "warn": "!", "soft": NOTHING, "": ""}


@dataclass(frozen=True)
class Cell:
    """A piece of text.

    Attributes:
        text: What stands between backticks is code.
        tone: With a sign before it.
        note: Smaller, below it.
    """

    text: str
    tone: Tone = ""
    note: str = ""
    code: bool = False

    @property
    def sign(self) -> str:
        """What stands before the text."""
        return SIGNS[self.tone]


@dataclass(frozen=True)
class Prose:
    """A paragraph."""

    text: str
    tone: Tone = ""
    kind: str = "prose"


@dataclass(frozen=True)
class Facts:
    """Names with their values."""

    pairs: tuple[tuple[str, Cell], ...]
    title: str = ""
    kind: str = "facts"


@dataclass(frozen=True)
class Head:
    """A column's head.

    Attributes:
        number: Set to the right.
        whole: What stands below it is not broken over lines (dates, durations, ids).
        wide: Its share of the width, where columns differ much; on paper.
    """

    text: str
    number: bool = False
    whole: bool = False
    wide: float = 1.0


@dataclass(frozen=True)
class Table:
    """Rows under heads; the first cell of a row names it."""

    heads: tuple[Head, ...]
    rows: tuple[tuple[Cell, ...], ...]
    title: str = ""
    kind: str = "table"


@dataclass(frozen=True)
class Plot:
    """A drawing, with its figures in words for those who cannot see it.

    Attributes:
        name: Of the file in a PDF.
        wide, narrow: SVG for a page, and for a phone.
        caption: Below it.
        words: Instead of it.
    """

    name: str
    wide: str
    narrow: str
    words: str
    title: str = ""
    caption: str = ""
    kind: str = "plot"


@dataclass(frozen=True)
class Figure:
    """A figure that is to be seen from afar."""

    label: str
    value: str
    verdict: Cell
    against: str
    note: str = ""


@dataclass(frozen=True)
class Figures:
    """A row of them."""

    figures: tuple[Figure, ...]
    kind: str = "figures"


@dataclass(frozen=True)
class Points:
    """A list."""

    items: tuple[Cell, ...]
    kind: str = "points"


@dataclass(frozen=True)
class Signing:
    """Lines to sign on."""

    roles: tuple[tuple[str, str], ...]
    kind: str = "signing"


@dataclass(frozen=True)
class Command:
    """A line for a shell."""

    text: str
    kind: str = "command"


Block = Prose | Facts | Table | Plot | Figures | Points | Signing | Command


@dataclass(frozen=True)
class Part:
    """One numbered part."""

    number: int
    title: str
    blocks: tuple[Block, ...]
    lead: str = ""


@dataclass(frozen=True)
class Document:
    """A whole report."""

    kind: str
    title: str
    subtitle: str
    tone: Tone
    verdict: str
    summary: str
    figures: Figures
    parts: tuple[Part, ...]
    plots: tuple[Plot, ...] = field(default=())
