"""Every formula of the slides: by hand, by autograd and by the complex step, over hypothesis's whole range."""

import subprocess
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from playwright.sync_api import sync_playwright

import minigrad as mg
from minigrad.check.numeric import Problem
from minigrad.check.terms import GradientTerms, distance
from models import slides
from models.__main__ import main
from models.slides import DERIVATIONS
from models.tagger import Settings
from models.training import Recipe, train

CLAIMS = [pytest.param(d, id=d.title) for d in DERIVATIONS if d.claim]
RIGHT = [d for d in DERIVATIONS if d.claim]
MAXIMUM = 4  # ulp of the magnitude of the terms summed


def drawn(data, derivation):
    """Arguments of the derivation's shapes, of all sizes that a float can have."""
    bound = data.draw(st.sampled_from([1e-300, 1e-20, 1e-3, 1.0, 30.0, 1e3, 1e20, 1e75]))
    example = derivation.draw(np.random.default_rng(0), 1.0)
    elements = st.floats(-bound, bound)
    return {
        name: data.draw(arrays(float, np.shape(x), elements=elements))[()] if np.asarray(x).dtype.kind == "f" else x
        for name, x in example.items()
    }


@pytest.mark.parametrize("derivation", CLAIMS)
@given(data=st.data())
@settings(max_examples=12, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
def test_by_hand_equals_autograd(derivation, data):
    arguments = drawn(data, derivation)
    values = list(arguments.values())
    with np.errstate(over="ignore", invalid="ignore"):
        assume(np.isfinite(derivation.f(*values)))
        problem = Problem(derivation.f, tuple(values))
        terms = GradientTerms(problem)
        by_hand = derivation.by_hand(*values)
        for k, name in enumerate(problem.names):
            if name in derivation.formulas:
                gradient = terms.gradient(k)
                assume(np.all(np.isfinite(gradient)))
                assert np.shape(by_hand[name]) == gradient.shape == np.shape(arguments[name])
                off = distance(np.asarray(by_hand[name]), gradient, terms.magnitude(k), np.finfo(float).eps)
                assert np.max(off) <= MAXIMUM


@pytest.mark.parametrize("derivation", CLAIMS)
@given(data=st.data())
@settings(max_examples=4)
def test_autograd_equals_the_complex_step(derivation, data):
    bound = data.draw(st.sampled_from([1e-3, 0.1, 1.0, 10.0]))
    seed = data.draw(st.integers(0, 10**6))
    for row in derivation.compare(derivation.draw(np.random.default_rng(seed), bound)):
        assert row.verdict == "equal"
        assert row.method == "complex step"
        assert row.numeric_ulp <= MAXIMUM


def test_the_slip_of_the_slides_is_caught():
    (slip,) = (d for d in DERIVATIONS if not d.claim)
    (line,) = slides.lines(slip, islice(slides.random_arguments(slip), 5))
    assert line.verdict == "equals the value of sigmoid, not a gradient"
    assert line.as_claimed


def test_a_comparison_of_zeros_is_said_to_be_one():
    (margin,) = (d for d in DERIVATIONS if d.f is slides.hinge_of_windows)
    met, violated = margin.draw(np.random.default_rng(0), 1.0), margin.draw(np.random.default_rng(0), 1.0)
    met["U"], violated["U"] = 1e3 * met["U"], 1e-3 * violated["U"]
    if margin.f(*met.values()) != 0:
        met["U"] *= -1
    remark = "equal, but all are 0: every margin is met"
    lines = slides.lines(margin, iter([met, met]))
    assert [line.remark for line in lines] == [remark] * 5 and all(line.as_claimed for line in lines)
    for mixed in ([met, violated], [violated, met]):
        assert {line.remark for line in slides.lines(margin, iter(mixed))} == {"equal"}
    assert slides.page({"": lines}).count(remark) == slides.markdown(lines, 1).count(remark) == 5


def test_an_error_message_has_the_dimension_of_its_layer():
    derivation = next(d for d in DERIVATIONS if d.f is slides.three_layers)
    arguments = derivation.draw(np.random.default_rng(0), 1.0)
    gradients = derivation.by_hand(*arguments.values())
    for layer, units in ("1", 8), ("2", 5), ("3", 1):
        assert gradients[f"b{layer}"].shape == (units,)  # delta


@pytest.mark.parametrize(
    "trained_settings", [Settings(dim=4, hidden=8, case_feature=False), Settings(dim=6, hidden=10)]
)
def test_trained_parameters(trained_settings):
    tagger = train(slides.conll.embedded("train"), settings=trained_settings, recipe=Recipe(epochs=3))
    found = slides.table((d, slides.trained_arguments(tagger, d)) for d in DERIVATIONS)
    assert len(found) >= 10 and all(line.as_claimed for line in found)
    assert not any(line.is_zero for line in found)
    tagger.params.U[...] *= 100  # now most windows meet the margin, and those would show nothing
    for d in DERIVATIONS:
        assert all(d.f(*arguments.values()) != 0 for arguments in slides.trained_arguments(tagger, d, seed=3))
    assert max(line.ulp for line in found if line.derivation.claim) <= MAXIMUM


# faults planted in the formulas by hand: each has to be found

FAULTS = {
    "scaled": lambda g: g * 1.001,
    "flipped": lambda g: -g,
    "transposed": lambda g: g.T,
    "one element wrong": lambda g: np.where(np.arange(g.size).reshape(g.shape) == np.argmax(np.abs(g)), 1.001 * g, g),
    "one element left out": lambda g: np.where(np.arange(g.size).reshape(g.shape) == np.argmax(np.abs(g)), 0.0, g),
    "not summed": lambda g: np.stack([g / 2, g / 2]),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(
    ("derivation", "name"), [pytest.param(d, name, id=f"{d.title}-{name}") for d in RIGHT for name in d.formulas]
)
def test_planted_fault_in_a_formula_is_found(derivation, name, fault):
    for arguments in islice(slides.random_arguments(derivation, seed=5), 20):
        g = np.asarray(derivation.by_hand(*arguments.values())[name])
        wrong = FAULTS[fault](g)
        if wrong.shape == g.shape and np.array_equal(wrong, g):
            continue  # a vector is its own transpose, and zeros (of an inactive hinge) are their own multiple
        report = mg.compare(derivation.f, lambda *args: {name: wrong}, *arguments.values())  # noqa: B023
        assert not report
        return
    assert fault == "transposed" and np.ndim(g) < 2


# the command line and the page


def test_compare_prints_both_tables_and_exits_with_0(capsys, tmp_path):
    assert main(["compare", "--draws", "2", "--html", str(tmp_path / "slides.html")]) == 0
    out, err = capsys.readouterr()
    assert f"\n1/{len(DERIVATIONS)}  {DERIVATIONS[0].title}\n" in err  # progress
    assert "Random parameters" in out and "Trained parameters" in out
    assert out.count("∂s/∂W = δxᵀ") == 2 and out.count("slip, caught") == 2


def test_compare_exits_with_1_where_anything_disagrees(monkeypatch, capsys):
    def wrong(U, W, b, x):
        return slides.window.score_by_hand(U, W, b, x) | {"W": np.outer(x, U)}

    broken = tuple(
        d if d.by_hand is not slides.window.score_by_hand else replace(d, by_hand=wrong) for d in DERIVATIONS
    )
    monkeypatch.setattr(slides, "DERIVATIONS", broken)
    assert main(["compare", "--draws", "1"]) == 1
    assert "DISAGREE: ∂s/∂W = δxᵀ" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--draws", "0"], "--draws needs to be at least 1, got 0"),
        (["--html", "no/such/page.html"], "needs a file in a folder that exists"),
        (["--model", "none.npz"], "No such file"),
    ],
)
def test_mistakes(words, message, capsys):
    assert main(["compare", *words]) == 2
    assert message in capsys.readouterr().err


def test_the_docs_have_the_table():
    found = slides.table((d, islice(slides.random_arguments(d), 1)) for d in DERIVATIONS)
    without_figures = [line.rsplit("|", 4)[0] for line in slides.markdown(found, 100).splitlines()]
    docs = Path(__file__).parents[2] / "docs" / "slides.md"
    assert [line.rsplit("|", 4)[0] for line in docs.read_text("utf-8").splitlines()] == without_figures


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "slides.html"
    path.write_text(
        slides.page({"Random": slides.table((d, islice(slides.random_arguments(d), 2)) for d in DERIVATIONS)})
    )
    return path


def test_the_page_has_every_formula_and_fetches_nothing(page):
    html = page.read_text()
    assert html.count('<td class="math"') == sum(len(d.formulas) for d in DERIVATIONS)
    assert all(fetch not in html for fetch in ("src=", "href=", "url(", "@import", "<script"))
    assert "All agree." in html and "$" not in html


def test_the_page_in_a_browser(page, tmp_path, chromium):
    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--enable-logging=stderr",
    ]
    flags += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    browser = subprocess.run(
        [chromium, *flags, f"--user-data-dir={tmp_path}", "--dump-dom", page.as_uri()],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert browser.stdout.count('<td class="math"') == sum(len(d.formulas) for d in DERIVATIONS)
    assert "CONSOLE" not in browser.stderr


def test_a_page_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    """The disk fills up while the page is written."""
    page = tmp_path / "slides.html"
    page.write_text("the old one")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    assert main(["compare", "--draws", "1", "--html", str(page)]) == 2
    assert page.read_text() == "the old one" and list(tmp_path.iterdir()) == [page]


def test_the_page_is_read_on_a_phone(page, chromium):
    """Every column, without moving the page sideways."""
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        view = opened.new_page(viewport={"width": 390, "height": 844}, is_mobile=True)
        view.goto(page.as_uri())
        assert view.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert view.locator("td.verdict").first.inner_text().endswith("equal")
        for cell in view.locator("tr.good >> nth=0").locator("td").all():
            box = cell.bounding_box()
            assert box["x"] >= 0 and box["x"] + box["width"] <= 390 and box["height"] > 0
        head = view.locator("td.number").first.evaluate("cell => getComputedStyle(cell, '::before').content")
        assert "by hand − autograd" in head or head == 'attr(data-of) ": "'
        opened.close()
