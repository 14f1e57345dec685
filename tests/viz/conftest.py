"""The page of the slides' two windows, for the tests of the page and of `replay`."""

import pytest

from models.picture import fresh, pair, save


@pytest.fixture(scope="session")
def window(tmp_path_factory):
    """J, and the path of the page."""
    J, data = pair(fresh())
    return J, save(J, data, tmp_path_factory.mktemp("page") / "backprop.html")
