"""The page that steps through a backward pass, in a real browser: Debian's chromium, driven by Playwright."""

import numpy as np
import pytest
from playwright.sync_api import sync_playwright

import minigrad as mg

QUIET = "--no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-component-update"
QUIET += " --disable-sync --disable-quic"


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


def step(page):
    return int(page.evaluate("document.body.dataset.step"))


def last(page):
    return int(page.get_attribute("#scrub", "max"))


def numbers(page, name):
    """The numbers that the card of the step shows under a name."""
    cells = page.locator(f'#step [data-of="{name}"] [data-v]')
    return np.array([float(v) for v in cells.evaluate_all("cells => cells.map(c => c.dataset.v)")])


def test_step_through_all_and_the_final_numbers_are_the_gradients(window, opened):
    J, path = window
    page = opened(path)
    titles = []
    for i in range(last(page) + 1):
        assert step(page) == i
        titles.append(page.inner_text("#step h2"))
        assert page.inner_text("#say")
        if i < last(page):
            page.click("#next")
    assert "a = σ(z)" in titles and titles[-1] == "The gradient of J"
    leaves = {t.name: t for t in (J, *below(J)) if t._op is None}
    assert set(leaves) == {"U", "W", "b", "x", "x_c"}
    for name, t in leaves.items():
        assert np.array_equal(numbers(page, f"∂J/∂{name}"), t.grad.ravel())
    assert page.is_disabled("#next")
    for i in reversed(range(last(page))):
        page.click("#previous")
        assert step(page) == i and page.inner_text("#step h2") == titles[i]
    assert page.is_disabled("#previous")


def below(root):
    for x in root._edges[::2]:
        if isinstance(x, mg.Tensor):
            yield x
            yield from below(x)


def test_keyboard(window, opened):
    page = opened(window[1])
    end = last(page)
    for key, expected in (("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1), ("End", end), ("Home", 0)):
        page.keyboard.press(key)
        assert step(page) == expected
    page.keyboard.press("ArrowLeft")
    assert step(page) == 0
    page.keyboard.press(" ")
    page.wait_for_selector("body[data-step='1']")  # it plays
    page.keyboard.press(" ")
    assert "Play" in page.inner_text("#play")
    page.focus("#scrub")
    page.keyboard.press("End")
    assert step(page) == end
    page.keyboard.press("ArrowLeft")
    assert step(page) == end - 1  # once, though the scrubber and the page both listen
    page.focus("#next")
    page.keyboard.press(" ")
    assert step(page) == end


def test_the_scrubber(window, opened):
    page = opened(window[1])
    page.fill("#scrub", "7")
    assert step(page) == 7
    assert "step 7 of" in page.get_attribute("#scrub", "aria-valuetext")


def test_forward_values_appear_one_by_one(window, opened):
    page = opened(window[1])
    pending = [page.locator(".box.pending").count()]
    for _ in range(11):
        page.keyboard.press("ArrowRight")
        pending.append(page.locator(".box.pending").count())
        assert page.locator(".box.active").count() == 1
        assert page.locator(".edge.active").count() in (1, 2)
    assert pending == list(range(11, -1, -1))
    assert page.locator(".box.returned").count() == 0
    page.keyboard.press("ArrowRight")
    assert page.locator(".box.returned").count() == 1  # dJ/dJ
    page.keyboard.press("End")
    assert page.locator(".box.returned").count() == 16


def test_the_slides_formulas_stand_beside_the_steps(window, opened):
    page = opened(window[1])
    seen = ""
    for _ in range(last(page)):
        page.keyboard.press("ArrowRight")
        seen += page.inner_text("#step")
    for formula in ("δ = ∂J/∂z = g ∘ a ∘ (1 − a)", "∂J/∂W += δ xᵀ", "∂J/∂x = Wᵀ δ", "∂J/∂W += δ x_cᵀ", "∂J/∂b += δ"):
        assert formula in seen, formula
    assert "On the slides: δ = U ∘ f′(z)" in seen
    assert "W is used 2 times: its contributions add up. 2 of 2 are in" in seen


def test_the_line_of_the_source_goes_along(window, opened):
    page = opened(window[1])
    lines = []
    for _ in range(last(page)):
        page.keyboard.press("ArrowRight")
        if on := page.locator("#code .on").all_inner_texts():
            lines += [on[0].strip()]
    assert {"z = W @ x + b", "a = mg.sigmoid(z)", "s = U @ a", "return mg.relu(1 - s + s_c)"} == set(lines)


def test_hovering_shows_a_whole_array(window, opened):
    page = opened(window[1])
    page.keyboard.press("End")
    page.hover(".box[aria-label*=' W,']")
    assert page.locator("#chosen td").count() == 2 * 160
    W = next(t for t in below(window[0]) if t.name == "W")
    cells = page.locator('#chosen [data-of="∂J/∂W"] td').evaluate_all("cells => cells.map(c => Number(c.dataset.v))")
    assert cells == W.grad.ravel().tolist()  # the sum of both contributions
    page.mouse.move(2, 2)
    assert page.is_hidden("#chosen")
    page.focus(".box[aria-label*=' b,']")
    page.keyboard.press("Enter")
    page.locator("#chosen td").nth(3).hover()
    b = next(t for t in below(window[0]) if t.name == "b")
    assert page.locator("#chosen .readout").first.inner_text().replace("−", "-") == f"b[3] = {b.data[3]!r}".replace(
        "np.float64(", ""
    ).rstrip(")")
    page.keyboard.press("Escape")
    assert page.is_hidden("#chosen")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone(window, opened, scheme):
    page = opened(
        window[1], viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True, color_scheme=scheme
    )
    page.tap("#next")
    assert step(page) == 1
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.tap(".box[aria-label*=' W,']")
    card = page.locator("#chosen").bounding_box()
    assert card["x"] >= 0 and card["x"] + card["width"] <= 360
    for button in page.locator("footer button").all():
        size = button.bounding_box()
        assert size["height"] >= 40 and size["x"] + size["width"] <= 360


def test_what_a_screen_reader_is_told(window, opened):
    page = opened(window[1])
    assert page.locator("[aria-live=polite]").count() == 1
    unnamed = page.locator("button, input, [role=button], main, section, svg[role]").evaluate_all(
        "all => all.filter(e => !e.getAttribute('aria-label')).map(e => e.outerHTML.slice(0, 80))"
    )
    assert unnamed == []
    page.keyboard.press("End")
    assert "the gradients of" in page.inner_text("#say")
    page.keyboard.press("Home")
    assert "not computed yet" in page.get_attribute(".box.pending >> nth=0", "aria-label")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_is_enough_to_read(window, opened, scheme):
    """WCAG's 4.5 to 1 for text on its ground, from the page's own colours."""
    page = opened(window[1], color_scheme=scheme)
    colours = page.evaluate(
        """names => names.map(name => {
             const probe = document.createElement('div');
             probe.style.color = `var(--${name})`;
             document.body.append(probe);
             return getComputedStyle(probe).color.match(/\\d+/g).map(Number);
        })""",
        names := ["ink", "quiet", "forward", "back", "panel", "page", "parameter", "input", "sign", "back-soft"],
    )

    def light(rgb):
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in np.array(rgb) / 255]
        return float(np.dot([0.2126, 0.7152, 0.0722], linear))

    of = dict(zip(names, map(light, colours), strict=True))
    pairs = [(text, ground) for text in ("ink", "quiet", "back") for ground in ("panel", "page", "parameter", "input")]
    for text, ground in [*pairs, ("forward", "panel"), ("ink", "sign"), ("ink", "back-soft")]:
        high, low = max(of[text], of[ground]), min(of[text], of[ground])
        assert (high + 0.05) / (low + 0.05) >= 4.5, (text, ground)


def test_any_graph(tmp_path, opened):
    """NaN, an empty array, data that is big, constants, x + x, names that would be HTML, a dead hinge, no source."""
    x = mg.Tensor([np.nan, 1.0, -np.inf], "</script><b>x")
    big = mg.Tensor(np.ones((300, 300)), "big")
    table = mg.Tensor(np.ones((5000, 2)), "L")
    e = mg.Tensor(np.zeros((0, 2)), "e")
    with mg.scope("<i>frame\\"):
        y = mg.sum(x + x) + mg.sum(big * np.ones(300)) + mg.sum(mg.embedding(table, [3, 3]))
    J = mg.relu(mg.tanh(mg.sum(big)) - 7) + y + mg.sum(e)
    page = opened(mg.replay(J, tmp_path / "any.html"))
    for _ in range(last(page)):
        page.keyboard.press("ArrowRight")
    assert page.locator(".box.dead").count() >= 2  # the tanh, and 7 less than that
    text = page.inner_text("body")
    assert "</script><b>x" in text and "1 of 5,000 rows" in text and "means of 2000 runs of 90,000 elements" in text
    assert "the graph, line by line" in text.lower()
    assert page.text_content(".frame text") == "<i>frame\\"


def test_a_value_of_one_leaf(tmp_path, opened):
    x = mg.Tensor(2.0, "x")
    page = opened(mg.replay(x * x, tmp_path / "square.html"))
    assert page.locator(".edge").count() == 2
    page.keyboard.press("End")
    assert numbers(page, "∂J/∂x").tolist() == [4.0]
    page.keyboard.press("ArrowLeft")
    assert "x is used 2 times" in page.inner_text("#step")
    assert page.locator(".edge.active").count() == 2
