"""Runbooks by scenario: what lies in `runbooks/` is what is generated, and each command in them can be given."""

import re
import shlex
import subprocess
from itertools import pairwise
from pathlib import Path

import click
import pytest
from tests.test_docs import code_blocks

from drkeeper import errors, runbook_pages
from drkeeper.cli.root import root
from drkeeper.cli.settings import Settings
from drkeeper.runbook_pages import EXAMPLE, EXITS, Page, examples, render_page
from drkeeper.scenarios import BUILT_IN, built_in, fitting, loss_of

FOLDER = Path(__file__).parents[1] / "runbooks"
PAGES = examples()
MOMENT = {"BEFORE": "2026-11-23T02:15Z", "POINT": "3f2a", "UNDO": "4b1c"}


def test_every_scenario_has_a_page_and_all_of_them_are_current():
    assert set(PAGES) == {f"{name}.md" for name in (*BUILT_IN, "bucket-region-lost")}
    written = {file.name: file.read_text() for file in FOLDER.glob("*.md")}
    assert written == PAGES, "write them with `python -m drkeeper.runbook_pages runbooks`"


def test_the_example_is_a_platform_that_every_scenario_fits():
    assert set(fitting(EXAMPLE.systems, encrypted=EXAMPLE.encrypted)) == set(BUILT_IN)


def test_every_exit_code_that_an_error_carries_is_explained():
    carried = {
        each.exit_code
        for each in vars(errors).values()
        if isinstance(each, type) and issubclass(each, errors.DrkeeperError)
    }
    assert set(EXITS) == {0, *carried}
    assert set(runbook_pages.OF_A_RESTORE) <= carried


def commands(text):
    """Each `drkeeper …` of a page, in its blocks and in its sentences, as words; what stands for something filled in."""
    blocks = re.findall(r"^```(?:sh|bash|text)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    spoken = [" ".join(each.split()) for each in re.findall(r"`([^`]+)`", prose)]
    for line in [*"\n".join(blocks).splitlines(), *spoken]:
        for part in re.split(r"\s*(?:\|\||&&)\s*", line):
            words = shlex.split(part, comments=True)
            if words[:1] == ["drkeeper"] and len(words) > 1:
                yield tuple(MOMENT.get(word.removeprefix("$"), word) for word in words[1:])


@pytest.mark.parametrize("name", PAGES)
def test_every_command_is_one_that_can_be_given(name):
    found = list(commands(PAGES[name]))
    assert found
    for words in found:
        parsed(root(), words)


def parsed(command, words):
    """By click itself, down to the last option; nothing is run. What is spoken of in a sentence may lack arguments."""
    context = command.make_context("drkeeper", list(words), obj=Settings(), resilient_parsing=False)
    while isinstance(context.command, click.Group):
        rest = [*context._protected_args, *context.args]
        if not rest:  # a group that is spoken of
            return
        name, below, rest = context.command.resolve_command(context, rest)
        context = below.make_context(name, rest, parent=context)


@pytest.mark.parametrize("name", PAGES)
def test_systems_and_applications_in_commands_are_those_of_the_platform(name):
    for words in commands(PAGES[name]):
        for option, value in pairwise(words):
            if option == "--system" and value != "NAME":
                assert value in EXAMPLE.systems


def test_a_platform_of_one_database_gets_a_page_without_what_it_has_not():
    small = runbook_pages.Platform(policy="small", systems={"db": "postgres"}, regions=("here",), encrypted=False)
    page = render_page(Page("everything-lost", small, loss_of(built_in("everything-lost"), small.systems, ("here",))))
    assert "drkeeper restore latest --system db --no-proof --yes" in page
    for word in ("failover", "failback", "MLflow and Feast first", "age identity", "relocate", "Promised", "[]"):
        assert word not in page


def test_the_blocks_of_a_page_are_shell():
    script = "\n".join(
        "\n".join(code_blocks(FOLDER / name, "sh") + code_blocks(FOLDER / name, "bash")) for name in PAGES
    )
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
