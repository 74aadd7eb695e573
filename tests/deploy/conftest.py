"""The chart, rendered by Helm's own code, and a control plane for what it makes."""

from pathlib import Path

import helm_python as helm
import pytest
import yaml
from tests.kubernetes_system.conftest import start_or_skip

from drkeeper.cli.root import run

ROOT = Path(__file__).parent.parent.parent
CHART = ROOT / "deploy/chart"


@pytest.fixture(scope="session")
def render():
    """`render(values, name="drkeeper")`: the objects of a release in the namespace drkeeper."""

    def call(values, *, name="drkeeper"):
        with helm.Chart.load(CHART) as chart:
            rendered = chart.render(values, name=name, namespace="drkeeper")
        texts = [text for path, text in sorted(rendered.items()) if path.endswith(".yaml")]
        return [each for text in texts for each in yaml.safe_load_all(text) if each]

    return call


@pytest.fixture
def deploy(capsys):
    """`deploy(policy_file, "values", …)`: what `drkeeper deploy` prints."""

    def call(policy_file, *arguments):
        capsys.readouterr()
        code = run(["--policy", str(policy_file), "deploy", *map(str, arguments)])
        printed = capsys.readouterr()
        assert code == 0, printed.err
        call.notes = printed.err
        return printed.out

    return call


@pytest.fixture(scope="module")
def plane(tmp_path_factory):
    """A control plane of the module's own."""
    started = start_or_skip(tmp_path_factory.mktemp("control-plane"), webhooks=False)
    yield started
    started.kill()
