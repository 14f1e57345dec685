"""The strip of training: each step as a page of its own would show it, in a real browser; what is refused."""

import re

import numpy as np
import pytest

import minigrad as mg
from models.picture import fresh, pair, remark, variables

STEPS = 9


def window(tensors, seen, path):
    """The slides' two windows, trained until the margin is met; each step is written down, and one has its own page."""
    optimizer = mg.optim.SGD(tensors[:3], lr=0.08)
    for n in range(STEPS):
        J = pair(*tensors)
        seen.append(written_down(J, tensors))
        if n == 2:
            mg.replay(J, path, inputs=tensors[3:], remarks=remark)
        yield J
        optimizer.zero_grad()
        J.backward()
        optimizer.step()


def written_down(J, leaves):
    """The values and the gradients of a step, by their names."""
    gradients = mg.vjp(lambda *given: pair(*given), *(t.data for t in leaves))[1](1.0)
    found = {t.name: (np.array(t.data), np.array(g)) for t, g in zip(leaves, gradients, strict=True)}
    return found | {"J": (np.array(J.data), np.array(1.0))}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The page, each step, and the page of the third step alone."""
    folder, seen = tmp_path_factory.mktemp("training"), []
    tensors = variables(fresh())
    training = window(tensors, seen, folder / "third.html")
    page = mg.replay(training, folder / "training.html", inputs=tensors[3:], remarks=remark)
    return page, seen, folder / "third.html"


def found(page):
    """The values and the gradients of the named boxes, as the page has them."""
    return page.evaluate(
        """() => Object.fromEntries(boxes.filter(b => b.grad !== null).map(b =>
             [b.label, [b.value, b.grad].map(i => Array.from(arrays[i].data, Number))]))"""
    )


def agrees(page, expected, tolerance=1e-12):
    shown = found(page)
    for name, arrays in expected.items():
        for ours, theirs in zip(shown[name], arrays, strict=True):
            np.testing.assert_allclose(ours, np.ravel(theirs), rtol=tolerance, atol=tolerance, err_msg=name)


def test_each_step_has_its_numbers_and_moves_from_them(trained, opened):
    path, seen, _ = trained
    page = opened(path)
    for step in (4, STEPS, 2):
        page.evaluate("step => train(step)", step)
        agrees(page, seen[step - 1])
        assert page.evaluate("reason()") is None and page.evaluate("moved") is False
        assert page.inner_text("#at") == page.inner_text("#say").removeprefix("training ")
        page.evaluate("() => { pick(boxes.find(b => b.label === 'W'), 43); put(0.75) }")
        leaves = {name: mg.Tensor(np.array(x), name) for name, (x, _) in seen[step - 1].items() if name != "J"}
        leaves["W"].data[2, 3] = 0.75
        J = pair(*leaves.values())
        agrees(page, written_down(J, list(leaves.values())), 1e-6)
        assert page.evaluate("moved") is True
    assert seen[0]["J"][0] > 1 and seen[-1]["J"][0] == 0


def everything(page):
    """All that the steps and the sheet say, line by line, and their numbers."""
    lines = page.evaluate(
        """() => {
             const own = x => [...x.childNodes].map(n => n.querySelector?.("math") ? "" : n.textContent).join("");
             const lines = e => [...e.querySelectorAll("h2, h3, p:not([hidden]), li, summary, [data-v]")];
             const texts = id => lines($(id)).map(x => x.dataset.v || own(x));
             const each = i => { show(i, false); return texts("step") };
             return [...texts("sheet"), ...texts("live"), ...steps.flatMap((_, i) => each(i))];
           }"""
    )
    return sorted(line for line in lines if line)


def test_a_step_is_what_its_own_page_shows(trained, opened):
    """Its leaves are in the order of the first step, and not in that of their updates."""
    path, _, third = trained
    page = opened(path)
    sheet = page.inner_text("#sheet")
    page.evaluate("train(3)")
    assert everything(page) == everything(opened(third))
    assert page.inner_text("#sheet") != sheet
    page.evaluate("step => train(step)", STEPS)
    page.evaluate("show(steps.findIndex(s => s.phase === 'backward'), false)")
    assert "so 1{1 − s + s_c > 0} is 0: nothing flows to 1 − s + s_c." in page.inner_text("#step")
    page.evaluate("train(1)")
    assert page.inner_text("#sheet") == sheet and "nothing flows" not in page.inner_text("#step")


def test_by_keyboard_and_address(trained, opened):
    path, seen, _ = trained
    page = opened(path)

    def at():
        return page.evaluate("training.at"), int(page.evaluate("document.body.dataset.step"))

    end = int(page.get_attribute("#scrub", "max"))
    page.keyboard.press("]")
    assert at() == (2, end) and page.url.endswith(f"#training=2&step={end}")  # of what is computed, all is shown
    assert page.inner_text("#say") == f"training step 2 of {STEPS}, J = {seen[1]['J'][0]:.6g}"
    page.keyboard.press("]")
    page.keyboard.press("[")
    page.keyboard.press("ArrowLeft")
    assert at() == (2, end - 1)
    page.focus("#train")
    for key, step in (("ArrowRight", 3), ("End", STEPS), ("PageDown", STEPS - 1), ("Home", 1), ("ArrowUp", 2)):
        page.keyboard.press(key)
        assert at()[0] == step, key
    assert at() == (2, end - 1)
    assert page.get_attribute("#train", "aria-valuetext").startswith(f"step 2 of {STEPS}, J = ")
    page.evaluate("location.hash = '#training=5&step=9'")
    page.wait_for_selector("body[data-step='9']")
    assert at() == (5, 9)
    page.reload()
    assert at() == (5, 9)
    agrees(page, seen[4])
    assert page.evaluate("document.querySelector('#sheet [data-array]').textContent") != ""
    curves = page.locator("#training svg").evaluate_all("all => all.map(e => e.getAttribute('aria-label'))")
    assert [c.split(" over")[0] for c in curves] == ["J", "the 8 elements of b", "‖W‖", "the 8 elements of U"]
    box = page.locator("#training svg").first.bounding_box()
    page.mouse.click(box["x"] + box["width"] - 5, box["y"] + 5)
    assert at()[0] == STEPS


def test_each_step_of_a_training_is_predicted_anew(trained, opened):
    """With a question open, and after an answer, which was about other numbers."""
    page = opened(trained[0])
    page.keyboard.press("p")
    at = page.evaluate("steps.findIndex(s => s.ask)")
    page.evaluate("step => go(step)", at)
    page.focus("#train")
    for k, key in enumerate(("ArrowRight", "ArrowRight", "ArrowLeft")):
        page.keyboard.press(key)
        assert page.evaluate("[now, question?.step]") == [at, at] and page.locator("form.ask").count() == 1
        assert page.inner_text("#say").endswith(". " + page.evaluate("asked(question)"))
        assert page.evaluate("document.activeElement.id") == "train"
        if k == 1:
            page.click("form button >> nth=1")
            assert page.inner_text("#step .verdict") == "Revealed."
            page.focus("#train")
    page.focus("form input >> nth=1")  # where keys are still commands
    page.keyboard.press("]")
    assert page.evaluate("[training.at, question?.step]") == [3, at]
    page.focus("form input >> nth=1")
    page.keyboard.press("c")
    assert page.locator("#costs").is_visible()


def looked_up(seen):
    """Other rows at each step, and a loss that is scaled otherwise."""
    L, U = mg.Tensor(np.random.default_rng(0).normal(size=(6, 2)), "L"), mg.Tensor([1.0, 2.0], "U")
    for k, ids in enumerate([[0, 1, 1], [2, 3, 4], [5, 5, 5]]):
        J = (k + 0.125) * mg.sum(mg.tanh(mg.embedding(L, np.array(ids)) @ U))
        seen.append((ids, k, np.array(L.data), np.array(U.data)))
        yield J
        J.backward()
        L.data = L.data - 0.1 * np.asarray(L.grad)
        L.grad = None


def test_inputs_differ_from_step_to_step(tmp_path, opened):
    seen = []
    page = opened(mg.replay(looked_up(seen), tmp_path / "a.html"))
    for step in (3, 1, 2):
        page.evaluate("step => train(step)", step)
        assert page.evaluate("reason()") is None
        page.evaluate("() => { pick(boxes.find(b => b.label === 'U'), 1); put(-0.5) }")
        ids, k, table, u = seen[step - 1]
        L, U = mg.Tensor(table, "L"), mg.Tensor([u[0], -0.5], "U")
        J = (k + 0.125) * mg.sum(mg.tanh(mg.embedding(L, np.array(ids)) @ U))
        J.backward()
        expected = {"L": (table, L.grad.rows), "U": (U.data, U.grad), "J": (J.data, 1.0)}
        agrees(page, expected, 1e-6)
        rows = f"rows: {', '.join(str(i) for i in sorted(set(ids)))}"
        page.evaluate("() => choose(boxes.find(b => b.label === 'L'))")
        assert rows in page.inner_text("#chosen")
        for where in ("main", "#code", "#sheet"):
            assert f"{k + 0.125}" in page.text_content(where)


def test_what_is_not_finite_is_marked(tmp_path, opened):
    def diverging():
        w = mg.Tensor(np.array([3.0, 0.5]), "w")
        with np.errstate(all="ignore"):
            for _ in range(9):
                J = mg.sum(w**4)
                yield J
                J.backward()
                w.data = w.data - 5 * w.grad
                w.grad = None

    page = opened(mg.replay(diverging(), tmp_path / "a.html"))
    label = page.locator("#training svg").first.get_attribute("aria-label")
    at = int(re.search(r"logarithmic, not finite at step (\d)$", label)[1])
    for step in (at, 9, at - 1):
        page.evaluate("step => train(step)", step)
        assert page.evaluate("reason()") is None
    page.evaluate("step => train(step)", 9)
    assert "NaN" in page.inner_text("#at") and page.locator("#training .bad").count() > 0


def test_a_list_of_losses_of_which_nothing_has_changed(tmp_path, opened):
    """Of parameters that are new at each step; none is called losses[2]. A long number makes other lines."""
    losses, w = [], np.array([1.0, -2.0])
    for factor in (2.0, 0.123456):
        weights = mg.Tensor(w, "weightings")
        losses.append(mg.sum(mg.sin(factor * weights)))
        w = 0.5 * w
    page = opened(mg.replay(losses, tmp_path / "a.html"))
    other = page.get_by_text("This step is derived in other lines than the first")
    for step, J in enumerate(losses, 1):
        page.evaluate("step => train(step)", step)
        assert page.inner_text("#at") == f"step {step} of 2, J = {J.item():.6g}".replace("-", "−")
        assert other.is_visible() == (step == 2) and page.locator("#sheet ul").first.is_visible() == (step == 1)
    page.evaluate("train(1)")
    assert other.is_hidden() and page.locator("#sheet ul").first.is_visible()


def test_losses_of_parameters_that_have_moved_are_refused(tmp_path):
    """By an assignment, and in place, which leaves no trace but the values."""
    for move in ("w.data -= 0.1", "w.data[:] -= 0.1"):
        w, losses = mg.Tensor([1.0, 2.0], "w"), []
        for _ in range(2):
            losses.append(mg.sum(w * w))
            exec(move, {"w": w})
        with pytest.raises(RuntimeError, match=r"at step 1 of the training, .* changed.*yields each loss before"):
            mg.replay(losses, tmp_path / "a.html")
    assert not list(tmp_path.iterdir())


def in_turn(w, given):
    for i in (0, 1):
        yield mg.sum(w * given[i] - given[1 - i])


def test_data_has_the_name_that_it_has_at_its_step(tmp_path, opened):
    """In boxes, formulas and the list of what can be moved."""
    rows, w = [np.array([1.0, 2.0]), np.array([3.0, 4.0])], mg.Tensor([1.0, 2.0], "w")
    page = opened(mg.replay(in_turn(w, rows), tmp_path / "a.html"))
    for step in (2, 1, 2):
        page.evaluate("step => train(step)", step)
        leaves = "leaves.map(b => [b.label, b.g.querySelector('.name').textContent, [...own(b)]])"
        found = page.evaluate(leaves)
        assert {label: numbers for label, _, numbers in found} == {"rows[0]": [1, 2], "rows[1]": [3, 4], "w": [1, 2]}
        assert all(label == drawn for label, drawn, _ in found)
        assert page.locator("#leaf option").all_text_contents() == [f"{label} (2,)" for label, *_ in found]
        assert f"w ∘ rows[{step - 1}]" in page.text_content("main")


def test_data_has_no_name_of_another_step(tmp_path, opened):
    """Neither has an array that of step 1, nor a Tensor that is data; results and parameters keep theirs."""
    first, w, x = np.array([1.0, 2.0]), mg.Tensor([1.0, 2.0]), mg.Tensor([0.5, 4.0])
    data = iter([(first, x), (np.array([5.0, 6.0]), mg.Tensor([7.0, 8.0]))])

    def training():
        for given, factor in iter(lambda: next(data, None), None):
            z = w * given
            del given
            factor = z * factor
            yield mg.sum(factor)

    page = opened(mg.replay(training(), tmp_path / "a.html", inputs=[x]))
    labels = "boxes.filter(b => b.kind !== 'result').map(b => b.label).sort()"
    assert page.evaluate(labels) == ["first", "w", "x"]
    page.evaluate("train(2)")
    named = page.evaluate(labels)
    assert "w" in named and not {"first", "x"} & {*named}
    assert "z" in page.evaluate("boxes.map(b => b.label)") and "w ∘ first" not in page.text_content("main")


def unanswerable(*steps):
    """A gradient that is NaN can be asked for neither by its sign nor by its shape."""
    for x in steps:
        yield mg.sqrt(mg.Tensor(x, "x"))


def test_predict_is_there_at_steps_with_questions(tmp_path, opened):
    with np.errstate(all="ignore"):
        path = mg.replay(unanswerable(-1.0, 4.0, -3.0), tmp_path / "a.html")
    page = opened(path)
    assert page.is_disabled("#predict")
    page.keyboard.press("]")
    page.click("#predict")
    assert page.inner_text("#score") == "asks before each step back"
    page.keyboard.press("]")
    assert page.is_enabled("#predict") and page.inner_text("#score") == "nothing to ask here"
    assert "There is nothing to ask about these values." in page.inner_text("#step")
    page.keyboard.press("p")
    assert page.is_disabled("#predict") and page.inner_text("#score") == ""
    page.evaluate("location.hash = '#training=2'")
    page.wait_for_function("!$('predict').disabled")
    page.reload()
    assert page.is_enabled("#predict")


def by_name():
    for k in range(2):
        a, b = mg.Tensor([1.0, 2.0]), mg.Tensor([3.0, 5.0])
        yield mg.sum(a - b if k else b - a)


def by_identity(pair):
    for k in range(2):
        yield mg.sum(pair()[k] - pair()[1 - k])


def test_parameters_that_change_places_are_refused(tmp_path):
    """A page that calls one by the name of the other would be wrong; nothing but what they are may tell."""
    a, b = mg.Tensor([1.0, 2.0]), mg.Tensor([3.0, 5.0])
    unseen = by_identity(iter([[a, b]] * 4).__next__)
    del a, b
    for training, message in (
        (by_name(), "step 2 of the training has a of float64.* where step 1 has b of"),
        (unseen, "step 2 of the training has .*, in another place than step 1; .*belong in `inputs`"),
    ):
        with pytest.raises(ValueError, match=message):
            mg.replay(training, tmp_path / "a.html")


def steps(last):
    for k in range(3):
        w, v = mg.Tensor(np.ones(2), "w"), mg.Tensor(np.ones(2), "v")
        yield mg.sum(mg.cos(w) * v) if k < 2 else last(w, v)


@pytest.mark.parametrize(
    "last, message",
    [
        (lambda w, v: mg.sum(mg.sin(w) * v), r"has sin\(w \(2,\)\) of shape \(2,\), where step 1 has cos\(w \(2,\)\)"),
        (lambda w, v: mg.sum(mg.cos(mg.Tensor(np.ones(3), "w")) * mg.Tensor(np.ones(3), "v")), r"\(3,\), where step 1"),
        (lambda w, v: mg.sum(mg.cos(w) * w), "computed from other values"),
        (lambda w, v: mg.sum(mg.cos(w) * mg.Tensor(np.ones(2), "u")), "has u of float64.* where step 1 has v of"),
        (lambda w, v: mg.sum(mg.cos(w) * mg.Tensor(np.ones(2, np.float32), "v")), "has v of float32"),
        (lambda w, v: 3.0, "is its loss, a Tensor, got float at step 3: yield J, not J.item()"),
        (
            mg.no_grad()(lambda w, v: mg.sum(w * v)),
            "at step 3 of the training, .* none computed; .* outside of no_grad",
        ),
        (lambda w, v: mg.cos(w) * v, r"at step 3 of the training, gradients need a scalar, got shape \(2,\)"),
        (lambda w, v: mg.sum(mg.cos(w) * v.data), "has no gradient of v, .* where step 1 has a gradient"),
    ],
)
def test_another_graph_is_refused_at_its_step(last, message, tmp_path):
    with pytest.raises((ValueError, TypeError), match=message) as error:
        mg.replay(steps(last), tmp_path / "a.html")
    assert "step 3" in str(error.value)


def test_too_much_is_refused(tmp_path, monkeypatch):
    def endless():
        while True:
            yield mg.sum(mg.Tensor(np.random.default_rng().normal(size=50), "w") * 2)

    with pytest.raises(ValueError, match="got none"):
        mg.replay(iter(()), tmp_path / "a.html")
    with pytest.raises(TypeError, match="got function: call it, and pass its result"):
        mg.replay(endless, tmp_path / "a.html")  # not endless()
    with pytest.raises(TypeError, match="a picture needs a Tensor, got ndarray"):
        mg.replay(np.array(3.0), tmp_path / "a.html")
    monkeypatch.setattr("minigrad.viz.training.MAX_STEPS", 4)
    with pytest.raises(ValueError, match="at most 4 steps of a training, got more: yield every tenth"):
        mg.replay(endless(), tmp_path / "a.html")
    monkeypatch.setattr("minigrad.viz.training.MAX_NUMBERS", 150)
    with pytest.raises(ValueError, match=r"may have 150 numbers that change, got \d+ in 3: yield fewer"):
        mg.replay(endless(), tmp_path / "a.html")
    assert not list(tmp_path.iterdir())
