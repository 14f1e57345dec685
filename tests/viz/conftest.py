"""For the tests of the page and of `replay`: the page of the slides' two windows, and a browser."""

import pytest
from playwright.sync_api import sync_playwright

from models.picture import fresh, pair, save, variables

QUIET = "--no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-component-update"
QUIET += " --disable-sync --disable-quic"


@pytest.fixture(scope="session")
def window(tmp_path_factory):
    """J, and the path of the page."""
    tensors = variables(fresh())
    J = pair(*tensors)
    J.backward()
    return J, save(J, tensors[3:], tmp_path_factory.mktemp("page") / "backprop.html")


@pytest.fixture(scope="module")
def browser(chromium):
    with sync_playwright() as playwright:
        yield (opened := playwright.chromium.launch(executable_path=chromium, args=QUIET.split()))
        opened.close()


@pytest.fixture
def opened(browser):
    """Opens a page; at the end of the test nothing may have gone wrong in it, or left it."""
    trouble, contexts = [], []

    def open_page(path, **options):
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}} | options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: trouble.append(message.text))
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on("request", lambda request: request.url == path.as_uri() or trouble.append(request.url))
        page.goto(path.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert [t for t in trouble if not t.startswith("data:")] == []
