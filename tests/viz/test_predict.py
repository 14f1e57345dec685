"""Predictions: the questions of the page, the diagnoses of wrong answers, and what is hidden meanwhile."""

import re

import numpy as np
import pytest
from viz.test_live import MODELS, mlp
from viz.test_page import CONTRAST, last, step

import minigrad as mg
from minigrad.viz.formulas import plain
from minigrad.viz.graph import build
from minigrad.viz.mathematics import formula_of
from minigrad.viz.notation import annotate
from minigrad.viz.questions import Questions, flows
from minigrad.viz.zeros import value
from models.picture import fresh, pair, variables


def questions(J):
    """All questions about a graph, with the operands they are about."""
    graph = annotate(build(J, backward=True))
    asker = Questions(graph, 2000)
    found = [(box, asker.question(box, box.op)) for box in graph.boxes if box.op and flows(box.op)]
    return [(asker, flows(box.op)[q.flow], q) for box, q in found if q]


@pytest.mark.parametrize("model", MODELS)
def test_one_answer_is_true_and_the_others_differ_in_numbers(model):
    found = questions(model({}))
    kinds = {q.kind for _, _, q in found}
    assert kinds == {"formula", "shape", "sign"}
    assert len({q.right for _, _, q in found if q.choices}) > 1  # not always in the same place
    for asker, o, q in found:
        verdicts = [verdict for _, verdict in q.choices]
        assert len(set(verdicts)) == len(verdicts) and [i for i, v in enumerate(verdicts) if not v] == [q.right] * bool(
            q.choices
        )
        for i, (choice, _) in enumerate(q.choices):
            if q.kind == "shape":
                assert (choice == np.shape(o.array)) == (i == q.right)
                continue
            array = np.asarray(value(choice, asker.known))
            same = array.shape == o.array.shape and np.allclose(array, o.array, rtol=1e-9, atol=0)
            assert same == (i == q.right), plain(formula_of(choice))
        if q.kind == "sign":
            signs = set(np.sign(o.array if q.at is None else [o.array.flat[q.at]]).flat)
            assert len(signs) == 1 and q.zero.endswith("is missing")


def verdicts(J):
    return {verdict for _, _, q in questions(J) for _, verdict in q.choices}


def test_diagnoses_are_those_of_compare():
    """Each of them is what compare says of the same mistake in a gradient by hand."""
    rng = np.random.default_rng(0)
    X, W, b, y = rng.normal(size=(5, 3)), rng.normal(size=(3, 4)), rng.normal(size=4), rng.normal(size=(5, 4))

    def f(W, b):
        return mg.mean((mg.tanh(X @ W + b) - y) ** 2)

    def by_hand(W, b, factor=True, total=True, n=20, flip=False, sign=1):
        a = np.tanh(X @ W + b)
        delta = sign * 2 * (a - y) / n * (1 - a * a if factor else 1)
        gradient = X.T @ delta
        return {"W": gradient.T if flip else gradient, "b": delta.sum(0) if total else delta}

    ways = [("W", {"factor": False}), ("b", {"total": False}), ("W", {"flip": True}), ("W", {"sign": -1})]
    theirs = {mg.compare(f, lambda W, b, w=way: by_hand(W, b, **w), W, b)[name].verdict for name, way in ways}
    assert len(theirs) == len(ways)
    ours = verdicts(f(mg.Tensor(W, "W"), mg.Tensor(b, "b")))
    assert theirs <= {re.sub(r"the array of shape \(.*?\) equals", "equals", verdict) for verdict in ours}


def test_a_verdict_says_which_shape_it_is_about():
    """compare says it of one array; here a choice is only a shape, or a formula."""
    x, w = np.eye(4, 3) + 1, mg.Tensor([1.0, -2.0, 0.5], "w")
    models = mlp({}), mg.sum(mg.tanh(x @ w + mg.Tensor(0.5, "b"))), pair(*variables(fresh()))
    found = [(q.kind, *choice) for J in models for _, _, q in questions(J) for choice in q.choices]
    shapes = [(shape, verdict) for kind, shape, verdict in found if kind == "shape" and verdict]
    assert all(f"the array of shape {shape} equals" in verdict for shape, verdict in shapes if shape)
    assert ((), "the scalar equals the gradient of J") in shapes
    summed = "a missing sum over the batch: the array of shape (5, 4) equals autograd's when summed over axis 0"
    assert {((3, 5), "the array of shape (3, 5) equals autograd's transpose"), ((5, 4), summed)} <= {*shapes}
    misfits = {verdict for kind, _, verdict in found if kind == "formula" and "shape" in verdict}
    assert misfits == {"this formula needs the shape (8,), has ()"}


def test_a_choice_that_is_equal_by_chance_is_not_offered():
    """A factor that is 1 could be left out."""
    for ones, expected in ((1.0, False), (2.0, True)):
        z = mg.Tensor([2.0, -3.0], "x") * mg.Tensor([ones, ones], "y")
        mg.name(z=z)
        (choices,) = [q.choices for _, _, q in questions(mg.sum(mg.exp(z))) if q.kind == "formula"]
        offered = {plain(formula_of(choice)) for choice, _ in choices}
        assert "∂J/∂z ∘ y" in offered and ("∂J/∂z" in offered) == expected


def test_without_a_formula_shape_and_sign_are_asked():
    x = mg.Tensor(np.array([[3.0, 1.0, 2.0], [1.0, 5.0, 4.0]]), "x")
    found = questions(mg.sum(mg.cumsum(x, axis=1)[:, 1:] ** 2))
    assert {q.kind for _, o, q in found if o.term is None} == {"shape", "sign"}


@pytest.mark.parametrize("size", [2, 400_000])
def test_a_large_graph_is_asked_about_without_diagnoses(size):
    x, w = mg.Tensor(np.ones((size, 2)), "x"), mg.Tensor(np.ones(2), "w")
    shapes = [q for _, _, q in questions(mg.sum(mg.sigmoid(x @ w))) if q.kind == "shape"]
    assert shapes and all(
        (verdict == "") == (size > 2 or i == q.right) for q in shapes for i, (_, verdict) in enumerate(q.choices)
    )


# on the page

GRAPH = """() => [...document.querySelectorAll('main svg .box, main svg .copy')].map(g =>
    [g.dataset.key || g.dataset.of, g.getAttribute('aria-label'), g.querySelector('title')?.textContent,
     g.querySelector('.grad').textContent, g.classList.contains('returned')]).concat(
  [...document.querySelectorAll('#gradients li')].map(li => [li.dataset.box, li.checkVisibility()]))"""
RIGHT = "() => question.kind === 'sign' ? SIGNS.findIndex(s => s[1] === signOf(question)) : question.right"


def ask(page):
    """Step on, back through an op, until there is a question; the number of the true answer."""
    while not page.locator("form.ask").count():
        page.keyboard.press("ArrowRight")
    return page.evaluate(RIGHT)


def backward(page):
    """Let it predict, and go to where the backward pass begins."""
    page.keyboard.press("p")
    page.evaluate("go(steps.findIndex(s => s.phase === 'seed'))")


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    return mg.replay(mlp({}), tmp_path_factory.mktemp("predict") / "mlp.html")


def test_by_keyboard_alone_and_nothing_is_seen_before(window, opened):
    page = opened(window[1])
    assert page.get_attribute("#predict", "aria-pressed") == "false"
    page.keyboard.press("End")
    assert not page.locator("form.ask").count()  # off by default
    backward(page)
    kinds, order = set(), set()
    while step(page) < last(page):
        before = page.evaluate(GRAPH)
        page.keyboard.press("ArrowRight")
        if not page.locator("form.ask").count():
            continue
        question = page.evaluate("({...question, form: 0})")
        kinds.add(question["kind"])
        assert page.evaluate(GRAPH) == before
        assert page.locator(f"#gradients [data-box={question['m']['to']}]").first.is_hidden()
        shown = page.evaluate("text(question.m.formula)")
        seen = page.inner_text("body") + page.inner_text("#say")
        assert page.inner_text("#say") == page.evaluate("asked(question)")
        assert shown not in seen and not page.locator(f"#step [alttext='{shown}']").count()
        assert "hidden until" in page.inner_text("#live .nudge") or page.evaluate(
            "arrived(known())[nudge.box.key].whole"
        )
        right = page.evaluate(RIGHT)
        order.add(right)
        if question["kind"] == "formula" and ";" not in shown:  # δ is written where it is defined
            assert shown.endswith(page.get_attribute(f"form input >> nth={right}", "aria-label"))
        page.keyboard.press(str(right + 1))
        page.keyboard.press("Enter")
        assert page.inner_text("#step .verdict") == "Right." and page.inner_text("#say").startswith("Right. Backward")
        assert page.evaluate(GRAPH) != before
        assert page.evaluate("document.activeElement.id") == "next"
    assert kinds == {"formula", "shape", "sign"} and len(order) > 2
    asked = page.evaluate("Object.keys(answers).length")
    assert page.inner_text("#score") == f"{asked} of {asked} at the first try"
    page.keyboard.press("p")
    assert page.inner_text("#score") == "" and page.get_attribute("#predict", "aria-pressed") == "false"


def test_a_wrong_answer_meets_its_diagnosis(learned, opened):
    page = opened(learned)
    backward(page)
    missed = []
    for way in ("second try", "twice wrong", "revealed", "right"):
        right = ask(page)
        at, q = step(page), page.evaluate("({...question, form: 0})")
        wrong = next(i for i in range(3) if i != right)
        if q["kind"] == "sign":
            said = page.evaluate("([i, q]) => diagnosis(question, i, SIGNS)", [wrong, 0])
        else:
            said = q["choices"][wrong][1] if wrong < len(q["choices"]) else None
        if way == "right":
            page.check(f"form input >> nth={right}")
            page.click("form button >> nth=0")
            assert page.inner_text("#step .verdict") == "Right."
            continue
        missed.append(at)
        if way == "revealed":
            page.click("form button >> nth=1")
            assert page.inner_text("#step .verdict") == "Revealed."
            continue
        page.click("form button >> nth=0")
        assert page.inner_text(".verdict") == "Choose an answer first."
        page.check(f"form input >> nth={wrong}")
        page.keyboard.press("Enter")
        told = f"Not yet: {said}. One more try, or reveal it." if said else "Not yet. One more try, or reveal it."
        assert page.inner_text(".verdict") == told == page.inner_text("#say")
        page.keyboard.press(str((right if way == "second try" else wrong) + 1))
        page.keyboard.press("Enter")
        told = "Right, at the second try." if way == "second try" else f"No: {said}." if said else "No."
        assert page.inner_text("#step .verdict") == told and step(page) == at
    page.click("#last")
    assert (
        "1 of 4 at the first try." in page.inner_text("#step")
        and page.inner_text("#score") == "1 of 4 at the first try"
    )
    links = page.locator("#step li a")
    assert [int(a.get_attribute("href").removeprefix("#step=")) for a in links.all()] == missed
    links.first.click()
    assert step(page) == missed[0] and not page.locator("form.ask").count()


def test_what_is_skipped_was_not_asked(learned, opened):
    page = opened(learned)
    page.clock.install()
    backward(page)
    ask(page)
    at = step(page)
    page.evaluate("dispatchEvent(new Event('resize'))")
    assert page.locator("form.ask").count() == 1
    page.click("#next")  # shows the answer
    assert step(page) == at and not page.locator("form.ask, .verdict").count()
    ask(page)
    page.fill("#scrub", str(at))
    assert step(page) == at and page.locator("form.ask").count() == 1
    at = step(page)
    page.click("#play")
    page.clock.run_for(1700)
    assert step(page) == at + 1 and not page.locator("form.ask").count()
    page.click("#last")
    assert page.inner_text("#score") == "asks before each step back" and "None was asked" in page.inner_text("#step")


def test_a_step_is_asked_about_however_it_is_reached(learned, opened):
    """By the slider, which keeps the focus, by the steps before and after, by a link; what is answered stays so."""
    page = opened(learned)
    page.keyboard.press("p")
    first, second = page.evaluate("steps.flatMap((s, i) => s.ask ? [i] : [])")[:2]
    asked = "[question?.step, document.querySelectorAll('form.ask').length]"
    for at in (second, first, second):
        page.fill("#scrub", str(at))
        assert page.evaluate(asked) == [at, 1] and page.evaluate("document.activeElement.id") == "scrub"
        assert page.evaluate("key => byKey[key].grad !== null && isSecret(byKey[key])", page.evaluate("question.m.to"))
    page.click("form button >> nth=1")
    page.fill("#scrub", str(first))
    assert page.evaluate(asked) == [first, 1]
    page.fill("#scrub", str(second))
    assert page.evaluate(asked) == [None, 0] and page.inner_text(".verdict") == "Revealed."
    page.evaluate("step => { location.hash = `#step=${step}` }", first)
    page.wait_for_selector(f"body[data-step='{first}']")
    assert page.evaluate(asked) == [first, 1]


def test_the_sign_is_that_of_the_values_now(window, opened):
    page = opened(window[1])
    backward(page)
    while ask(page) is not None and page.evaluate("question.kind !== 'sign' || question.at === null"):
        page.click("form button >> nth=1")
    before = page.evaluate(RIGHT)
    at = page.evaluate("question.at")
    page.evaluate("at => { const b = boxes.find(b => b.label === 'U'); pick(b, at); put(-own(b)[at]) }", at)
    after = page.evaluate(RIGHT)
    assert {before, after} == {0, 1} and page.locator("form.ask").count() == 1
    page.keyboard.press(str(before + 1))
    page.keyboard.press("Enter")
    assert "the sign is flipped" in page.inner_text(".verdict")
    page.keyboard.press(str(after + 1))
    page.keyboard.press("Enter")
    assert page.inner_text("#step .verdict") == "Right, at the second try."


def test_a_question_without_an_answer_is_withdrawn(tmp_path, opened):
    """Where a value that is moved makes a tie, for which the formulas are not written, or NaN, which has no sign."""
    x, y, z = mg.Tensor([1.0, 3.0], "x"), mg.Tensor([2.0, 1.0], "y"), mg.Tensor([4.0, 9.0], "z")
    J = mg.sum(mg.maximum(x, y) * y) + mg.sum(mg.sqrt(z) * 2.0)
    page = opened(mg.replay(J, tmp_path / "a.html"))
    moves = {("sign", "max(x, y)"): ("y", "NaN"), ("formula", "x"): ("x", 2.0)}
    backward(page)
    while step(page) < last(page):
        page.evaluate("forward()")
        asked = page.evaluate("question && [question.kind, byKey[question.m.to].label]")
        if asked is None or tuple(asked) not in moves:
            continue
        at, move = step(page), moves.pop(tuple(asked))
        page.evaluate("([name, v]) => { pick(boxes.find(b => b.label === name), 0); put(Number(v)) }", move)
        assert not page.locator("form.ask").count() and step(page) == at
        page.evaluate("go(now - 1); go(now + 1)")
        assert not page.locator("form.ask").count() and step(page) == at
        page.evaluate("reset()")
    assert not moves


def test_a_page_that_is_not_live_asks_too(tmp_path, opened):
    x, k = mg.Tensor([[1.0, -2.0]] * 3, "x"), mg.Tensor([-1.0, -2.0], "k")
    z = mg.Tensor([1 + 2j, 3 - 1j], "z")
    page = opened(mg.replay(mg.sum(mg.relu(x * k)) + mg.sum(mg.real(z * z)), tmp_path / "off.html"))
    assert "Live values are off" in page.inner_text("#live")
    backward(page)
    kinds = []
    while step(page) < last(page):
        page.keyboard.press("ArrowRight")
        if page.locator("form.ask").count():
            kinds.append(page.evaluate("question.kind"))
            page.click("form button >> nth=1")
    assert "shape" in kinds and page.inner_text("#score").startswith("0 of ")


def test_a_question_is_readable_on_a_phone(window, opened):
    phone = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}
    page = opened(window[1], **phone, reduced_motion="reduce")
    page.tap("#predict")
    page.evaluate("go(steps.findIndex(s => s.phase === 'seed'))")
    while not page.locator("form.ask").count() or page.evaluate("question.kind !== 'formula'"):
        page.tap("#next")
    page.tap("form label >> nth=0")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert page.evaluate(CONTRAST) == []
    legend, button = page.locator("legend").bounding_box(), page.locator("form button >> nth=1").bounding_box()
    assert legend["y"] > page.locator("main").bounding_box()["y"] + page.locator("main").bounding_box()["height"] - 1
    assert button["y"] + button["height"] < page.locator("footer").bounding_box()["y"]
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.tap("form button >> nth=1")
    assert page.locator("#step .verdict").is_visible() and page.evaluate(CONTRAST) == []
