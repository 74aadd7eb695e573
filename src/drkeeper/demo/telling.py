"""How the demo looks: short headings, the command that you would type, one line for each result."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from drkeeper.clock import monotonic_seconds
from drkeeper.facts import Check

_MARKS = {"passed": "[green]✓[/]", "failed": "[bold red]✗[/]", "not checked": "[yellow]?[/]"}


@dataclass
class Telling:
    """Writes the story, and counts the time."""

    console: Console = field(default_factory=lambda: Console(highlight=False, soft_wrap=True))
    _began: float = field(default_factory=monotonic_seconds)
    _acts: int = 0

    @property
    def elapsed_seconds(self) -> float:
        """Since the story began."""
        return monotonic_seconds() - self._began

    def act(self, title: str) -> None:
        """A heading, with its number and the time so far."""
        self._acts += 1
        self.console.print(f"\n[bold cyan]{self._acts}  {title}[/]  [dim]at {self.elapsed_seconds:.0f} s[/]")

    def command(self, words: str) -> None:
        """What one would type for what happens now."""
        self.console.print(f"   [bold]$ {escape(words)}[/]")

    def say(self, text: str) -> None:
        """One line; may hold markup."""
        self.console.print(f"   {text}")

    def checks(self, checks: Sequence[Check]) -> None:
        """One line each."""
        for check in checks:
            self.say(f"{_MARKS[check.verdict]} {escape(check.subject)}: {escape(check.detail)}")

    def table(self, heading: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Columns under a heading."""
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
        for title in heading:
            table.add_column(title)
        for row in rows:
            table.add_row(*map(escape, row))
        self.console.print(_indented(table))

    @contextmanager
    def waiting(self, text: str) -> Iterator[None]:
        """Show on a terminal that something takes a while."""
        if not self.console.is_terminal:
            yield
            return
        with self.console.status(f"{escape(text)} …", spinner="dots"):
            yield


def _indented(table: Table) -> object:
    from rich.padding import Padding

    return Padding(table, (0, 0, 0, 3))
