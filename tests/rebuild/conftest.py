"""A Feast project that was materialised twice, and what it held in between: made once for a file of tests."""

from dataclasses import dataclass

import pytest
from tests.rebuild.project import Project

from drkeeper import actions
from drkeeper.errors import ToolMissing


@dataclass
class Story:
    """Attributes:
    then: The store at T1, by DUMP; a recovery point was taken then.
    now: Everything that the store held at T2.
    """

    project: Project
    then: dict
    now: dict


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    """T1 is hour 5 of the sources, T2 hour 10; since T2 nothing has come."""
    try:
        project = Project(tmp_path_factory.mktemp("project"), entities=3000)
    except ToolMissing as error:
        pytest.skip(f"no Valkey: {error}")
    project.write_sources(0, 5)
    project.apply()
    project.materialise(0, 5)
    then, point = project.dump(), actions.back_up(project.policy()).point
    assert [system.status for system in point.systems] == ["complete", "complete"]
    project.write_sources(6, 10)
    project.materialise(5, 10)
    yield Story(project, then, project.contents())
    project.server.kill()
