"""The graph of the page in a real browser: folding, steps of loops, zoom, search, colours, copies of shared leaves."""

import numpy as np
import pytest

import minigrad as mg

STEPS = 20


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """A recurrent network of many steps: its page, its variables and its states."""
    rng = np.random.default_rng(0)
    W, U, b = (mg.Tensor(rng.normal(size=s) / 4, n) for n, s in (("W", (3, 3)), ("U", (3, 2)), ("b", 3)))
    h = mg.Tensor(np.zeros(3), "h0")
    states = []
    for _ in range(STEPS):
        h = mg.tanh(W @ h + U @ rng.normal(size=2) + b)
        states.append(h)
    J = mg.sum(h)
    J.backward()
    return mg.replay(J, tmp_path_factory.mktemp("page") / "network.html"), (W, U, b), states


@pytest.fixture(scope="module")
def layers(tmp_path_factory):
    """Two nested scopes, and an op outside of them."""
    x = mg.Tensor([0.5, -1.0, 2.0], "x")
    with mg.scope("outer"):
        with mg.scope("inner"):
            y = mg.exp(mg.sin(x))
        z = mg.tanh(y * y)
    return mg.replay(mg.sum(z), tmp_path_factory.mktemp("page") / "layers.html")


def visible(page, what=".box"):
    """The keys of the boxes, or of other things, that are shown."""
    return set(
        page.locator(what).evaluate_all(
            "all => all.filter(e => e.getBoundingClientRect().width).map(e => e.dataset.key || e.dataset.of || '')"
        )
    )


def edges_shown(page):
    return page.locator(".edge").evaluate_all("all => all.filter(e => e.style.display !== 'none').length")


def fold(page, name):
    return page.locator(f'.fold[aria-label$="{name}"]')


def overlaps(page):
    """The pairs of boxes that are shown and lie on one another."""
    return page.evaluate(
        """() => {
             const all = [...document.querySelectorAll(".box, .copy, .frame.closed")]
               .filter(e => e.getBoundingClientRect().width)
               .map(e => e.querySelector(".body, rect").getBoundingClientRect());
             return all.flatMap((a, i) => all.slice(i + 1).filter(b =>
               a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1)).length;
        }"""
    )


def test_scopes_fold(layers, opened):
    page = opened(layers)
    assert "large" not in page.inner_text("#tools")
    whole = visible(page)
    edges = edges_shown(page)
    high = page.locator("main > svg").bounding_box()["height"]
    fold(page, "inner").click()
    assert whole - visible(page) == {"t4", "t5"} or len(whole - visible(page)) == 2
    assert page.locator(".frame.closed").count() == 1 and "2 ops" in page.text_content("main")
    assert fold(page, "inner").get_attribute("aria-expanded") == "false"
    assert page.locator("main > svg").bounding_box()["height"] < high
    fold(page, "outer").click()
    assert len(visible(page)) == 2  # x and the sum
    assert fold(page, "inner").count() == 0 and "4 ops" in page.text_content("main")
    assert edges_shown(page) == 2 and overlaps(page) == 0
    fold(page, "outer").press("Enter")
    assert fold(page, "inner").get_attribute("aria-label") == "Open inner"  # it has stayed closed
    fold(page, "inner").press(" ")
    assert visible(page) == whole and edges_shown(page) == edges
    assert page.evaluate("document.body.dataset.step") == "0"  # Space has played nothing
    assert page.locator("main > svg").bounding_box()["height"] == high


def test_what_happens_in_a_closed_scope_is_marked(layers, opened):
    page = opened(layers)
    fold(page, "outer").click()
    page.click("#next")
    assert page.locator(".frame.closed.active").count() == 1
    page.click("#last")
    assert page.locator(".frame.closed.active").count() == 0
    page.click("#home")
    for _ in range(int(page.get_attribute("#scrub", "max"))):
        page.click("#next")  # with no error on the way


def test_a_long_loop_is_rolled_and_its_steps_can_be_chosen(network, opened):
    path, _, states = network
    page = opened(path)
    page.click("#last")
    assert len(visible(page)) < 12 and overlaps(page) == 0
    assert f"×{STEPS}, step {STEPS}" in page.text_content("main")
    assert "A large graph: of loops one step is shown." in page.inner_text("#tools")
    chosen = page.get_by_label(f"The step of {STEPS} that is shown")
    seen = []
    for step in (1, 7, STEPS):
        chosen.fill(str(step))
        chosen.press("Enter")
        assert f"step {step}" in page.text_content("main") and overlaps(page) == 0
        (state,) = [b for b in page.locator('.box:has(.sign:has-text("tanh"))').all() if b.is_visible()]
        state.press("Enter")
        cells = page.locator("#chosen .heat >> nth=0 >> td").evaluate_all("all => all.map(c => Number(c.dataset.v))")
        assert cells == states[step - 1].data.tolist()
        seen.append(visible(page))
    assert not seen[0] & seen[1] & seen[2] - visible(page)
    page.locator(".stub[role]").first.click()
    assert f"step {STEPS - 1}" in page.text_content("main")
    page.get_by_label(f"Unroll the loop of {STEPS} steps").first.click()
    assert len(visible(page)) > 5 * STEPS and overlaps(page) == 0
    page.get_by_label(f"Roll the loop of {STEPS} steps").first.click()
    assert len(visible(page)) < 12


def test_the_loop_turns_with_the_steps(network, opened):
    page = opened(network[0])
    steps = []
    for _ in range(12):
        page.keyboard.press("ArrowRight")
        assert page.locator(".box.active").is_visible()
        steps.append(page.get_by_label(f"The step of {STEPS} that is shown").input_value())
    assert steps == ["1"] * 5 + ["2"] * 5 + ["3"] * 2


def test_a_shared_leaf_shows_its_parts_at_its_copies_and_their_sum_in_one_place(network, opened):
    path, (W, *_), _ = network
    page = opened(path)
    page.click("#last")
    assert page.locator(".copy").count() == 3 * STEPS
    beside = page.locator('.copy:has-text("W")')
    shown = [c for c in beside.all() if c.is_visible()]
    assert len(shown) == 1 and shown[0].locator(".grad text").text_content().strip() == "+"
    assert page.locator('.box[aria-label*=" W,"]').is_visible()
    shown[0].hover()
    assert page.locator('.box[aria-label*=" W,"]').get_attribute("class").split().count("linked") == 1
    cells = page.locator('#chosen [data-of="∂J/∂W"] td').evaluate_all("all => all.map(c => Number(c.dataset.v))")
    assert cells == W.grad.ravel().tolist()
    page.click("#home")
    assert page.locator(".copy .grad *").count() == 0


def zoomed(page):
    return int(page.inner_text("#percent").removesuffix(" %"))


@pytest.mark.parametrize(
    "options", [{}, {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}]
)
def test_no_text_is_below_nine_pixels(network, layers, window, opened, options):
    for path in (network[0], layers, window[1]):
        page = opened(path, **options)
        page.click("#last")
        sizes = page.locator("main text").evaluate_all(
            """all => all.filter(e => e.getBoundingClientRect().width)
                 .map(e => parseFloat(getComputedStyle(e).fontSize) * e.getScreenCTM().a)"""
        )
        assert len(sizes) > 5 and min(sizes) > 8.99
        html = page.locator("#step *, #tools *, footer *").evaluate_all(
            "all => all.map(e => parseFloat(getComputedStyle(e).fontSize))"
        )
        assert min(html) > 9


def test_zoom_and_pan(network, opened):
    page = opened(network[0])
    start = zoomed(page)
    page.get_by_label("Zoom in (+)").click()
    assert zoomed(page) > start
    page.keyboard.press("0")
    assert zoomed(page) == 100
    page.keyboard.press("-")
    assert zoomed(page) == 80
    page.keyboard.press("f")
    pane, svg = page.locator("main").bounding_box(), page.locator("main > svg").bounding_box()
    assert svg["width"] <= pane["width"] and svg["height"] <= pane["height"]
    page.keyboard.press("0")
    box = page.locator('.box[aria-label*=" U,"]')
    box.scroll_into_view_if_needed()
    at = box.bounding_box()
    x, y = at["x"] + 5, at["y"] + 5
    page.mouse.move(x, y)
    page.keyboard.down("Control")
    page.mouse.wheel(0, -100)
    page.keyboard.up("Control")
    page.wait_for_function("document.getElementById('percent').textContent !== '100 %'")
    after = box.bounding_box()
    assert after["x"] <= x <= after["x"] + 12 and after["width"] > at["width"]  # it is still under the pointer
    scrolled = "[document.querySelector('main').scrollLeft, document.querySelector('main').scrollTop]"
    page.evaluate("document.querySelector('main').scrollTo(100, 100)")
    left, top = page.evaluate(scrolled)
    x, y = page.evaluate(EMPTY)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 40, y + 30, steps=4)
    page.mouse.up()
    assert page.evaluate(scrolled) == [left - 40, top - 30]


EMPTY = """() => {
    const all = document.querySelector("main").getBoundingClientRect();
    for (let y = all.top + 40; y < all.bottom - 80; y += 10)
      for (let x = all.left + 40; x < all.right - 80; x += 10)
        if (document.elementFromPoint(x, y).matches("main > svg")) return [x, y];
}"""


def test_search(network, opened):
    page = opened(network[0])
    page.keyboard.press("/")
    page.keyboard.type("tanh")
    assert page.inner_text(".hits") == f"{STEPS} found" and page.locator(".box.found").count() == STEPS
    assert page.evaluate("document.body.dataset.step") == "0"
    page.keyboard.press("Enter")
    assert page.inner_text(".hits") == f"1 of {STEPS}" and page.evaluate("chosen.sign") == "tanh"
    assert page.get_by_label(f"The step of {STEPS} that is shown").input_value() == "1"
    page.keyboard.press("Shift+Enter")
    assert page.inner_text(".hits") == f"{STEPS} of {STEPS}"
    assert page.get_by_label(f"The step of {STEPS} that is shown").input_value() == str(STEPS)
    page.keyboard.press("Escape")
    assert page.locator(".box.found").count() == 0 and page.is_hidden("#chosen")
    page.fill("#search", "no such thing")
    assert page.inner_text(".hits") == "0 found"


def test_search_opens_scopes(layers, opened):
    page = opened(layers)
    fold(page, "outer").click()
    page.fill("#search", "sin")
    page.press("#search", "Enter")
    assert fold(page, "inner").get_attribute("aria-expanded") == "true"
    assert page.locator(".box.found").first.is_visible()


def fills(page, of):
    return page.locator(f'.box[aria-label^="parameter {of},"] .value rect').evaluate_all(
        "all => all.map(e => e.style.fill)"
    )


@pytest.fixture(scope="module")
def sizes(tmp_path_factory):
    """A large array and one a million times smaller, of the same proportions."""
    a, b = mg.Tensor(np.arange(1.0, 9.0), "a"), mg.Tensor(np.arange(1.0, 9.0) * 1e-6, "b")
    J = mg.sum(a * a) + mg.sum(b * b)
    return mg.replay(J, tmp_path_factory.mktemp("page") / "sizes.html")


def test_colours_on_three_scales(sizes, opened):
    page = opened(sizes)
    assert fills(page, "a") == fills(page, "b")  # each on its own
    assert "of each array" in page.inner_text("#colours")
    page.select_option("#scale", "shared")
    assert len(set(fills(page, "b"))) == 1 and len(set(fills(page, "a"))) == 8
    assert "values ±" in page.inner_text("#colours") and "gradients ±16" in page.inner_text("#colours")
    page.select_option("#scale", "log")
    logarithmic = fills(page, "b")
    assert len(set(logarithmic)) > 4 and logarithmic != fills(page, "a")
    assert "±1e−12 to ±" in page.inner_text("#colours")
    page.select_option("#scale", "own")
    assert fills(page, "a") == fills(page, "b")


def test_a_bar_shows_the_size_of_each_gradient(sizes, opened):
    """On a logarithmic scale over the graph: a gradient a million times smaller has a shorter bar, which is seen."""
    page = opened(sizes)
    assert page.locator(".norm:visible").count() == 1  # in the legend
    page.click("#last")

    def width(name):
        return float(page.locator(f'.box[aria-label^="parameter {name},"] .norm').get_attribute("width"))

    assert 0 < width("b") < width("a") / 2
    text = page.inner_text("#colours")
    assert "3e−5 to 29, logarithmic" in text or "2.9e−5 to 29, logarithmic" in text


def test_vanishing_over_the_steps_is_seen(network, opened):
    page = opened(network[0])
    heights = page.locator(".norms rect").evaluate_all("all => all.map(e => Number(e.getAttribute('height')))")
    assert len(heights) == STEPS and heights[0] < heights[STEPS // 2] < heights[-1]


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ([0.5, -1.25, np.nan, 2.0], "0.5 −1.25 NaN 2"),
        ([-0.0123456, -0.00123456, -1.23e-7, -0.00123456], "−0.012 −0.0012 −1e−7 −0.0012"),
        ([-0.0123456, 1e30], "−0.0123 1.0e30"),
        ([0.123456], "0.1235"),
    ],
)
def test_four_numbers_are_written_out_and_fit(tmp_path, opened, numbers, expected):
    x = mg.Tensor(numbers, "x")
    page = opened(mg.replay(mg.sum(x * np.array(numbers)), tmp_path / "x.html"))
    page.click("#last")
    box = page.locator('.box[aria-label^="parameter x,"]')
    assert " ".join(box.locator(".value tspan").all_text_contents()) == expected
    for row in (".value text", ".grad text"):
        assert box.evaluate(
            "(g, row) => g.querySelector(row).getBBox().width <= g.querySelector('.body').getBBox().width - 14", row
        )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_numbers_on_colours_can_be_read(sizes, opened, scheme):
    page = opened(sizes, color_scheme=scheme)
    page.click("#last")
    pairs = page.locator("#step td").evaluate_all(
        """all => all.map(e => getComputedStyle(e)).map(
             style => [style.color, style.backgroundColor].map(c => c.match(/\\d+/g).map(Number)))"""
    )
    assert len(pairs) >= 16
    assert min(contrast(*pair) for pair in pairs) >= 4.5


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_of_the_graph_can_be_read(network, layers, opened, scheme):
    for path in (network[0], layers):
        page = opened(path, color_scheme=scheme)
        page.click("#last")
        if path is layers:
            fold(page, "inner").click()
        names = ["ink", "quiet", "back", "forward", "panel", "parameter", "input", "sign", "page"]
        of = dict(zip(names, page.evaluate(COLOURS, names), strict=True))
        for text, ground in [
            ("ink", "parameter"),
            ("back", "parameter"),
            ("quiet", "panel"),
            ("quiet", "sign"),
            ("quiet", "page"),
        ]:
            assert contrast(of[text], of[ground]) >= 4.5, (text, ground)


COLOURS = """names => names.map(name => {
    const probe = document.createElement("div");
    probe.style.color = `var(--${name})`;
    document.body.append(probe);
    return getComputedStyle(probe).color.match(/\\d+/g).map(Number);
})"""


def contrast(*colours):
    """WCAG's contrast of two colours."""

    def light(rgb):
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in np.array(rgb[:3]) / 255]
        return float(np.dot([0.2126, 0.7152, 0.0722], linear))

    low, high = sorted(map(light, colours))
    return (high + 0.05) / (low + 0.05)


def test_the_keyboard_goes_from_the_inputs_to_the_output(layers, opened):
    page = opened(layers)
    keys = page.locator(".box").evaluate_all("all => all.map(e => Number(e.dataset.key.slice(1)))")
    assert keys == sorted(keys, reverse=True)  # t0 is the root
    assert page.locator("#tools button, #tools input, #tools select, .fold").evaluate_all(
        "all => all.every(e => e.getAttribute('aria-label'))"
    )


def test_on_a_phone_the_tools_fit(network, opened):
    page = opened(network[0], viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.tap(f'[aria-label="Unroll the loop of {STEPS} steps"] >> nth=0')
    assert len(visible(page)) > 5 * STEPS
    for button in page.locator("#tools button").all():
        assert button.bounding_box()["height"] >= 40


def test_a_notebook_shows_the_page_itself(layers, network, browser):
    context = browser.new_context(viewport={"width": 1000, "height": 900})
    try:
        for path, boxes in ((layers, 7), (network[0], 5 * STEPS + 5)):
            page = context.new_page()
            trouble = []
            page.on("pageerror", lambda error, trouble=trouble: trouble.append(str(error)))
            page.set_content(f"<p>Out[1]:</p>{path._repr_html_()}")
            inside = page.frame_locator("iframe")
            inside.locator("#next").click()
            assert inside.locator("body").get_attribute("data-step") == "1"
            assert inside.locator(".box").count() >= boxes - 1 and not trouble
    finally:
        context.close()
