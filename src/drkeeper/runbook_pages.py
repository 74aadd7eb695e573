"""Pages for people, one for each scenario, with the names of a policy: what to do at three in the morning.

The commands in their `sh` and `bash` blocks are run by tests. `python -m drkeeper.runbook_pages FOLDER` writes those of
an example platform (`runbooks/`), which a test holds current.
"""

import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

from drkeeper.errors import KeyMissing, UsageInvalid
from drkeeper.scenarios import BUILT_IN, Loss, built_in, loss_of

if TYPE_CHECKING:
    from jinja2 import Environment

BUCKET_PAGE = "bucket-region-lost"
"""Of no scenario of its own; the pages of several refer to it."""
WIDTH = 120
ITEM = re.compile(r"\n(?=- |\d\. )")
MARK = re.compile(r"- |\d\. ")
COMMENT = "  # "
WITH_MOMENT = ' --before "$BEFORE"'


@dataclass(frozen=True)
class Exit:
    """What an exit code means, and what to do about it."""

    means: str
    do: str


EXITS: Mapping[int, Exit] = {
    0: Exit("all is done", "go on"),
    1: Exit("a step failed; the message says what is live", "mend it, then `drkeeper restore --resume`"),
    2: Exit("the command, the policy or the id is wrong", "read the message: it names file and line"),
    3: Exit("some of it failed; the rest is done", "mend what is named, and run it again"),
    4: Exit("refused, and nothing was changed", "every reason is named, with its remedy"),
    5: Exit("all is there, and a statement does not hold", "it is named; else an older point: `drkeeper points`"),
    6: Exit("it works, and took or lost more than is promised", "go on; tell those who were promised"),
    10: Exit("no region of the vault answers from here", "network, address, keys: `drkeeper check`"),
    11: Exit("somebody else is at it, or was", "wait: a dead machine's lease ends by itself, the message says when"),
    12: Exit("the age identity is not there, or the wrong one", "page `key-lost`"),
    130: Exit("interrupted; everything was left consistent", "`drkeeper restore --resume`"),
}
"""Of all commands; a test compares them with the errors that carry them."""
OF_A_RESTORE = (1, 4, 5, 10, 11, 12)


@dataclass(frozen=True)
class Platform:
    """The names that a page needs of a policy.

    Attributes:
        systems: Name -> kind, as they are frozen.
        replicated: Buckets with a replica.
        trackings: Applications of kind mlflow,
        features: and of kind feast.
        rto: What is promised, in words; "" where nothing is.
    """

    policy: str
    systems: Mapping[str, str]
    replicated: tuple[str, ...] = ()
    trackings: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    rto: str = ""
    rpo: str = ""
    encrypted: bool = True

    @property
    def asked(self) -> tuple[str, ...]:
        """Applications that say whether they work."""
        return (*self.trackings, *self.features)


EXAMPLE = Platform(
    policy="ml-platform",
    systems={
        "mlflow-db": "postgres",
        "feast-registry": "feast_registry",
        "feature-store": "redis",
        "artifacts": "objects",
        "cluster": "kubernetes",
    },
    replicated=("artifacts",),
    trackings=("tracking",),
    features=("features",),
    regions=("east", "west"),
    rto="4 hours",
    rpo="24 hours",
)


@dataclass(frozen=True)
class Page:
    """What one page is about.

    Attributes:
        name: Of the scenario, as commands take it.
    """

    name: str
    platform: Platform
    loss: Loss

    @property
    def words(self) -> dict[str, object]:
        """For the template."""
        gone, systems = self.loss.systems, self.platform.systems
        moved = [name for name in gone if name in self.platform.replicated]
        clusters = [name for name in gone if systems[name] == "kubernetes"]
        return {
            "scenario": self.name,
            "title": self.loss.scenario.title,
            "platform": self.platform,
            "gone": gone,
            "left": self.loss.left,
            "regions": self.loss.regions,
            "moved": moved,
            "clusters": clusters,
            "restored": [name for name in gone if name not in moved and name not in clusters],
            "options": WITH_MOMENT if self.loss.scenario.data_wrong else "",
            "codes": [code for code in OF_A_RESTORE if code != KeyMissing.exit_code or self.platform.encrypted],
        }


def render_page(page: Page) -> str:
    """The page as Markdown."""
    return _set(_environment().get_template(f"{page.loss.scenario.name}.md.j2").render(page.words))


def render_detail(platform: Platform, name: str = BUCKET_PAGE) -> str:
    """A page that those of scenarios refer to, as Markdown.

    Raises:
        UsageInvalid: The platform has nothing that it is about.
    """
    if not platform.replicated:
        raise UsageInvalid(f"{name} does not fit the policy: it has no bucket with a replica")
    words = {"bucket": platform.replicated[0], "tracking": next(iter(platform.trackings), "tracking")}
    return _environment().get_template(f"{name}.md.j2").render(words)


def examples() -> dict[str, str]:
    """Every page, of the example platform: file name -> text."""
    pages = {f"{BUCKET_PAGE}.md": render_detail(EXAMPLE)}
    for name in BUILT_IN:
        lost = loss_of(built_in(name), dict(EXAMPLE.systems), EXAMPLE.regions)
        pages[f"{name}.md"] = render_page(Page(name, EXAMPLE, lost))
    return pages


def _set(text: str) -> str:
    """Blank lines single, comments in columns, prose in lines of one width."""
    parts = re.split(r"(^```.*?^```$)", re.sub(r"\n{3,}", "\n\n", text.strip()), flags=re.MULTILINE | re.DOTALL)
    return "".join(_aligned(part) if part.startswith("```") else _wrapped(part) for part in parts) + "\n"


def _wrapped(prose: str) -> str:
    return "\n\n".join(
        "\n".join(_filled(each) for each in ITEM.split(paragraph))
        if max(map(len, paragraph.splitlines()), default=0) > WIDTH and not paragraph.lstrip().startswith(("|", "#"))
        else paragraph
        for paragraph in prose.split("\n\n")
    )


def _filled(paragraph: str) -> str:
    """One paragraph, or one item of a list; newlines around it stay."""
    head = paragraph[: len(paragraph) - len(paragraph.lstrip("\n"))]
    tail = paragraph[len(paragraph.rstrip("\n")) :]
    mark = MARK.match(paragraph.strip())
    indent = " " * len(mark[0]) if mark else ""
    words = " ".join(paragraph.split())
    lines = fill(words, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    return f"{head}{lines}{tail}"


def _aligned(block: str) -> str:
    """Comments behind commands begin in one column."""
    lines = block.splitlines()
    widths = [len(line.partition(COMMENT)[0]) for line in lines if COMMENT in line]
    column = max(widths, default=0)
    return "\n".join(
        f"{command.ljust(column)}{COMMENT}{comment}" if (comment := line.partition(COMMENT)[2]) else line
        for line in lines
        for command in [line.partition(COMMENT)[0]]
    )


def _listed(names: Iterable[str]) -> str:
    quoted = [f"`{name}`" for name in names]
    return f"{', '.join(quoted[:-1])} and {quoted[-1]}" if len(quoted) > 1 else "".join(quoted)


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("drkeeper", "templates/runbooks"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - Markdown, of names that the policy restricts
    )
    environment.globals |= {"listed": _listed, "EXITS": EXITS}
    return environment


def main(folder: str) -> None:
    """Write the pages of the example platform into a folder."""
    for name, text in examples().items():
        (Path(folder) / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
