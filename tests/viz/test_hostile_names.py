"""Names that are attacks, in pictures and on pages: Graphviz and a browser take them for text."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from types import FunctionType
from typing import Any

import hostile
import numpy as np
import pytest
from hostile import ATTACKS, LINK, NAMES, TEXTS, assert_shown
from hypothesis import given, settings
from playwright.sync_api import sync_playwright

import minigrad as mg
from minigrad.text import Markup, markup, printable
from minigrad.viz.dot import quoted

XLINK = "{http://www.w3.org/1999/xlink}"


@pytest.fixture(autouse=True)
def nothing_is_executed():
    hostile.EXECUTED.clear()
    yield
    assert hostile.EXECUTED == []


def named_op(name):
    def body(x, /, **how):
        return +x, lambda g: g

    body.__name__ = name
    return mg.op()(body)


def everywhere(names, odd=""):
    """A scalar whose graph has each name on a Tensor, a result, an array, an op, a keyword, a scope and a line."""
    terms = []
    for name in names:
        x, c = mg.Tensor([1.0, 2.0], name), np.array([3.0, 4.0])
        W = mg.Tensor(np.eye(2), name)
        mg.name(**{name: c})
        code = compile("def f(op, x, how): return op(x, **how)", "made.py", "exec").co_consts[0]
        line = FunctionType(code.replace(co_filename=name + odd, co_name=name), {})
        with mg.trace_source(), mg.scope(name):
            z = W @ x
            z.name = "z_" + name
            terms.append(mg.sum(mg.tanh(z) * c) + mg.sum(line(named_op(name), x, {name: name}) * x))
    J = sum(terms)
    J.name = names[0]
    J.backward()
    return J


def texts_of(svg: str) -> list[str]:
    """The texts of an SVG, of which nothing else may act."""
    root = ET.fromstring(svg)
    for element in root.iter():
        assert element.tag.rpartition("}")[2] in {
            "svg",
            "g",
            "title",
            "text",
            "polygon",
            "polyline",
            "path",
            "ellipse",
            "a",
        }
        for key in element.attrib:
            assert not key.startswith("on") and key.rpartition("}")[2] != "href", (key, element.attrib[key])
    titles = [a.get(f"{XLINK}title", "") for a in root.iter() if a.tag.endswith("}a")]
    return [*(t.text or "" for t in root.iter() if t.tag.endswith("}text")), *titles]


def check_picture(name: str) -> None:
    picture = mg.draw(everywhere([name, "x"]))
    assert_shown(picture.source)
    found = texts_of(picture.pipe("svg", encoding="utf-8"))
    shown = printable(name)
    assert not name or any(shown in text.replace("\xa0", " ") for text in found)


@pytest.mark.parametrize("name", NAMES, ids=[str(i) for i in range(len(NAMES))])
def test_pictures(dot, name):
    check_picture(name)


@pytest.mark.parametrize("name", ATTACKS[::2], ids=[str(i) for i in range(len(ATTACKS[::2]))])
def test_pictures_without_dot(no_dot, name):
    check_picture(name)


@settings(max_examples=25)
@given(TEXTS)
def test_any_picture(name):
    check_picture(name)


def escapes_are_text() -> None:
    """In markup too a backslash begins an escape of Graphviz: \\N is the key of a node, \\E that of an edge."""
    name = r"\N \E \G \L \T \H \\N \x"
    x, y = mg.Tensor([1.0, 2.0], name), mg.Tensor([3.0, 4.0], "y")
    with mg.scope(name):
        J = mg.sum(x * y)
    J.backward()
    texts = [text.replace("\xa0", " ") for text in texts_of(mg.draw(J).pipe("svg", encoding="utf-8"))]
    shown = [text for text in texts if "\\x" in text]
    assert len(shown) >= 4 and all(name in text for text in shown), shown  # a box, its gradient, an edge, the frame


def test_escapes_of_graphviz(dot):
    escapes_are_text()


def test_escapes_of_graphviz_without_dot(no_dot):
    escapes_are_text()


def test_a_text_that_is_equal_to_markup_elsewhere_is_text(dot):
    """Graphviz keeps each string once, and takes both for markup where one is."""
    for name in ("<b>=</b>", "<b>Σ</b>", "<b>∘</b>"):
        x = mg.Tensor([1.0, 2.0], name)
        J = mg.sum(mg.identity(x) * x) if hasattr(mg, "identity") else mg.sum(named_op("identity")(x) * x)
        texts = texts_of(mg.draw(J).pipe("svg", encoding="utf-8"))
        assert "=" in texts and "Σ" in texts and name in texts and "∘" in texts


def test_text_becomes_markup_only_where_it_is_escaped():
    assert markup("<b>{}</b>", LINK) == f"<b>{LINK.replace('<', '&lt;').replace('>', '&gt;')}</b>"
    assert markup("{}", Markup("<b>")) == "<b>" and markup("{}", 5) == "5"
    assert quoted(tooltip=r"&lt; R&D \N")["tooltip"] == r"&amp;lt; R&D \\\\N"
    written = {"label": markup("<<b>{}</b>>", "x"), "tooltip": "<b>x</b>", "color": "#fff"}
    assert quoted(**written) == {"label": "<<b>x</b>>", "tooltip": "&lt;b>x</b>", "color": "#fff"}


@pytest.fixture(scope="module")
def browser(chromium):
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-quic"]
        yield (opened := playwright.chromium.launch(executable_path=chromium, args=flags))
        opened.close()


def opened(browser, path):
    """A page in which nothing has gone wrong, or has run that should not."""
    trouble: list[Any] = []
    page = browser.new_page()
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("dialog", lambda dialog: (trouble.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda r: r.url == path.as_uri() or r.url.startswith("data:") or trouble.append(r.url))
    page.goto(path.as_uri())
    assert page.evaluate("window.hacked") is None
    assert page.evaluate("[...document.querySelectorAll('*')].flatMap(e => e.getAttributeNames())"
                         ".filter(name => name.startsWith('on'))") == []  # fmt: skip
    links = "[...document.querySelectorAll('a, area')].map(e => e.getAttribute('href') || e.getAttribute('xlink:href'))"
    assert [link for link in page.evaluate(links) if link] == []
    assert trouble == []
    return page


FOR_BROWSERS = [name for name in ATTACKS if len(name) < 100 and re.search(r"[<>&\\\ud800\u202e]", name)]
GROUPS = [FOR_BROWSERS[i : i + 5] for i in range(0, len(FOR_BROWSERS), 5)]


def test_pictures_in_a_browser(dot, browser, tmp_path):
    for i, names in enumerate(GROUPS):
        for suffix in "svg", "html":
            path = tmp_path / f"{i}.{suffix}"
            mg.draw(everywhere(names)).save(path)
            page = opened(browser, path)
            page.close()


def test_pages_in_a_browser(browser, tmp_path):
    for i, names in enumerate(GROUPS):
        path = mg.replay(everywhere(names), tmp_path / "new" / f"{i}.html", remarks=lambda graph, box: f"\ud800{LINK}")
        page = opened(browser, path)
        last = int(page.get_attribute("#scrub", "max"))
        for step in (1, last // 4, last // 2 + 1, last - 2, last):
            page.locator("#scrub").fill(str(step))
        assert page.evaluate("document.querySelectorAll('img, iframe, object, embed').length") == 0
        assert page.evaluate("document.scripts.length") == 2 and page.evaluate("window.hacked") is None
        assert printable(names[1])[:10] in page.content().replace("&lt;", "<").replace("&gt;", ">").replace(
            "&amp;", "&"
        )
        page.close()


# messages


@pytest.mark.parametrize("name", [*ATTACKS, 5, ("a", 1)], ids=[str(i) for i in range(len(ATTACKS) + 2)])
def test_messages(name):
    x, y = mg.Tensor([1.0, 2.0], name), mg.Tensor([1.0, 2.0, 3.0], name)
    wrong = named_op(name if isinstance(name, str) else "op")
    moved = wrong(x) * x
    x.data = x.data + 1

    def stale():
        mg.sum(moved).backward()

    tries = [
        lambda: x @ y,
        lambda: x + y,
        lambda: mg.Tensor(x),
        lambda: mg.Tensor(1.0, **{str(name): 1}),
        lambda: x.backward(),
        lambda: x.__setitem__(0, 1.0),
        lambda: bool(x),
        lambda: float(x),
        lambda: setattr(x, "data", 1.0),
        lambda: mg.optim.SGD(x, lr=0.1),
        lambda: mg.optim.SGD([moved], lr=0.1),
        lambda: mg.grad(lambda v: v * float(v))(mg.Tensor(1.0, name)),
        lambda: mg.vjp(lambda v: {str(name): v}, 1.0)[1]({"other": 1.0}),
        lambda: mg.compare(lambda v: v * v, lambda v: {str(name): v}, 1.0),
        stale,
    ]
    for attempt in tries:
        with pytest.raises((TypeError, ValueError, RuntimeError, IndexError)) as error:
            attempt()
        assert_shown(str(error.value))
    assert_shown(repr(x)), assert_shown(repr(moved)), assert_shown(repr({"x": x}))
    assert not [tag for tag in ("<script", "<img", "<svg", "<pad", "<b>") if tag in x._repr_html_()]


def test_names_are_kept_as_they_are():
    for name in (*NAMES, 5, None):
        assert mg.Tensor(1.0, name).name == name
    assert printable("zürich δ") == "zürich δ" and printable("\x1b[31m\ud800") == r"\x1b[31m\ud800"
