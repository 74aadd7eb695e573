import pytest

from sdk.shop import made_shop


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    with made_shop(tmp_path_factory.mktemp("shop")) as made:
        yield made
