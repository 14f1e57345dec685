"""The page that steps through a backward pass, in a real browser: Debian's chromium, driven by Playwright."""

import re

import numpy as np
import pytest

import minigrad as mg


def step(page):
    return int(page.evaluate("document.body.dataset.step"))


def last(page):
    return int(page.get_attribute("#scrub", "max"))


def title(page):
    """The title of a step, its formula as text."""
    math = page.locator("#step h2 math")
    return math.get_attribute("alttext") if math.count() else page.inner_text("#step h2")


def texts(page):
    """The formulas of a step as text."""
    return page.locator("#step math").evaluate_all("all => all.map(math => math.getAttribute('alttext'))")


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
        titles.append(title(page))
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
        assert step(page) == i and title(page) == titles[i]
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
    seen, formulas = "", []
    for _ in range(last(page)):
        page.keyboard.press("ArrowRight")
        seen += page.inner_text("#step")
        formulas += texts(page)
    for formula in (
        "δ = ∂s/∂z = U ∘ a ∘ (1 − a); ∂J/∂z = ∂J/∂s δ",
        "∂J/∂W += ∂J/∂s δ xᵀ",
        "∂J/∂W += ∂J/∂s_c δ_c x_cᵀ",
        "∂J/∂x = ∂J/∂s Wᵀ δ",
        "∂J/∂b += ∂J/∂s δ",
        "∂J/∂s = −1{1 − s + s_c > 0}",
    ):
        assert formula in formulas, formula
    assert "On the slides: δ = U ∘ f′(z)" in seen and "On the slides: δ_c = U ∘ f′(z_c)" in seen
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
    assert page.locator(".legend li").first.is_visible()
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
    said = page.inner_text("#say")
    J, _ = window
    b = next(t for t in below(J) if t.name == "b")
    assert f"∂J/∂b is {', '.join(f'{v:.3g}' for v in b.grad)}".replace("-", "−") in said  # a small array whole
    assert "8 by 20 numbers from −" in said and ", norm " in said
    page.keyboard.press("Home")
    assert "not computed yet" in page.get_attribute(".box.pending >> nth=0", "aria-label")


def test_an_array_of_equal_numbers_is_told_by_that_number(tmp_path, opened):
    x, k = mg.Tensor(np.zeros((4, 5)), "x"), np.full((4, 5), 0.05)
    page = opened(mg.replay(mg.sum(x * k), tmp_path / "a.html"))
    page.keyboard.press("End")
    assert page.inner_text("#say").endswith("∂J/∂x is 4 by 5 numbers, all 0.05")
    assert page.locator("[aria-label^='parameter x, 4 by 5 numbers, all zeros, gradient ']").count() == 1
    spoken = "([first, others]) => spoken({shape: [9], data: [first, ...Array(8).fill(others)], note: ''})"
    for first, others, said in (
        (-0.0, 0.0, ", all zeros"),
        (2.0, 0.0, " from 0 to 2, norm 2"),
        (np.nan, 0.0, " from 0 to 0, norm 0, 1 not finite"),
    ):
        assert page.evaluate(spoken, [first, others]) == f"9 numbers{said}"
    said = page.evaluate(
        "[1, -1].map(v => spoken({shape: [9], data: [new Complex(0, v), ...Array(8).fill(new Complex(0, 1))]}))"
    )
    assert said == ["9 numbers, all 0 + 1i", "9 numbers of modulus from 1 to 1, norm 3"]


CONTRAST = """() => {
  const parse = colour => { const n = colour.match(/[\\d.]+/g).map(Number); return n.length < 4 ? [...n, 1] : n };
  const over = (top, below) => top.slice(0, 3).map((c, i) => c * top[3] + below[i] * (1 - top[3]));
  const light = rgb => rgb.map(c => c / 255).map(c => c <= .03928 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + [.2126, .7152, .0722][i] * c, 0);
  const ratio = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p); return (x + .05) / (y + .05) };
  const ground = e => {
    if (!e) return [255, 255, 255];
    const shape = e.matches(".sign, .box") && e.querySelector(e.matches(".sign") ? "rect" : ".body");
    const own = parse(shape ? getComputedStyle(shape).fill : getComputedStyle(e).backgroundColor);
    return own[3] === 1 ? own.slice(0, 3) : over(own, ground(e.parentElement));
  };
  const seen = e => {
    let share = 1;
    for (let a = e; a; a = a.parentElement) share *= Number(getComputedStyle(a).opacity);
    return e.checkVisibility({opacityProperty: true, visibilityProperty: true}) && share;
  };
  const found = [];
  const check = (e, colour, below, needed) => {
    const share = seen(e), c = parse(colour);
    if (!share || !c[3] || e.closest(".hidden, :disabled, template")) return;
    const r = ratio(over([...c.slice(0, 3), c[3] * share], below), below);
    if (r < needed) found.push([e.outerHTML.slice(0, 90), colour, String(below.map(Math.round)), r.toFixed(2)]);
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const e = walker.currentNode.parentElement, style = getComputedStyle(e);
    if (!walker.currentNode.textContent.trim() || e.closest("script, style, template, title")) continue;
    check(e, e.closest("svg") ? style.fill : style.color, ground(e), 4.5);
  }
  for (const e of document.querySelectorAll(".edge, .body, .frame rect, .sign rect"))
    check(e, getComputedStyle(e).stroke, ground(document.querySelector("main")), 3);
  for (const e of document.querySelectorAll("button"))
    check(e, getComputedStyle(e).borderColor, ground(e.parentElement), 3);
  return found;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_is_enough_to_read(window, met, opened, scheme):
    """WCAG's 4.5 to 1 for text on its ground and 3 to 1 for lines, from the colours that the browser computed."""
    for path in (window[1], met):
        page = opened(path, color_scheme=scheme, reduced_motion="reduce")
        for i in range(0, last(page) + 1, 4):
            page.fill("#scrub", str(i))
            assert page.evaluate(CONTRAST) == []
        page.keyboard.press("c")
        page.keyboard.press("p")
        assert page.evaluate(CONTRAST) == []  # buttons that are pressed, and what they show


@pytest.fixture(scope="module")
def met(tmp_path_factory):
    """The page of a pair whose margin is met."""
    s, s_c, k = mg.Tensor(9.0, "s"), mg.Tensor(0.5, "s_c"), mg.Tensor(np.full((3, 2), -1.0), "k")
    return mg.replay(mg.relu(1 - s + s_c) + mg.sum(mg.relu(k)), tmp_path_factory.mktemp("met") / "met.html")


def test_a_zero_is_explained(met, opened):
    page = opened(met)
    seen = ""
    for _ in range(last(page)):
        page.keyboard.press("ArrowRight")
        seen += page.inner_text("#step") + page.inner_text("#say")
    assert seen.count("1 − s + s_c = −7.5 < 0, so 1{1 − s + s_c > 0} is 0: nothing flows to s_c.") == 2
    assert "k, −1, is not above 0 in any element, so 1{k > 0} is 0: nothing flows to k." in seen


def test_tab_goes_from_the_inputs_to_the_value(window, opened):
    page = opened(window[1])
    page.focus("main")
    reached = []
    for _ in range(16 + 2):  # and two of the tools beside the graph
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.dataset.key"))
    assert reached[:2] == [None, None]
    reached = reached[2:]
    edges = page.evaluate("data.edges.map(e => [e.from, e.to])")
    assert None not in reached and reached[-1] == page.evaluate("data.rootKey")
    assert all(reached.index(x) < reached.index(y) for x, y in edges)


def test_space_plays_only_where_nothing_has_the_focus_and_arrows_scroll_what_scrolls(window, opened):
    page = opened(window[1])
    page.focus(".box >> nth=0")
    page.keyboard.press(" ")
    assert "Play" in page.inner_text("#play") and step(page) == 0
    page.keyboard.press("ArrowRight")
    assert step(page) == 1  # a value does not scroll
    code = page.locator("#code pre").first
    assert code.evaluate("pre => pre.scrollWidth > pre.clientWidth")
    code.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(300)
    assert code.evaluate("pre => pre.scrollLeft > 0")
    assert step(page) == 1
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press(" ")
    assert "Pause" in page.inner_text("#play")


def test_the_values_of_the_svg_have_titles(window, opened):
    page = opened(window[1])
    titles = page.locator("main svg .box > title").all_text_contents()
    assert len(titles) == 16 and any(t.startswith("parameter U, ") for t in titles)
    svg = mg.draw(window[0]).pipe("svg", encoding="utf-8")
    found = set(re.findall("<title>(.*?)</title>", svg))
    assert {"W", "s_c", "σ", "J", "W → @"} <= found and not any(re.search(r"\bt\d", t) for t in found)


def test_the_derivation_is_there_without_a_script_and_on_paper(window, opened):
    page = opened(window[1], java_script_enabled=False)
    lines = page.locator("#sheet math").evaluate_all("all => all.map(math => math.getAttribute('alttext'))")
    assert "∂J/∂W = ∂J/∂s_c δ_c x_cᵀ + ∂J/∂s δ xᵀ" in lines and "δ = ∂s/∂z = U ∘ a ∘ (1 − a)" in lines
    assert page.locator("#sheet").is_visible() and page.locator("footer").is_hidden()
    value = page.locator('#sheet li:has(math[alttext^="J = "]) span').inner_text()
    assert float(value.strip().removeprefix("= ")) == pytest.approx(float(window[0].data), rel=1e-3)
    page = opened(window[1])
    page.emulate_media(media="print")
    assert page.locator("#sheet").is_visible() and page.locator("main svg").is_visible()
    assert page.locator("footer").is_hidden() and page.locator("#step").is_hidden()
    controls = page.locator("button, input, select")  # they do nothing on paper
    assert controls.count() and not any(control.is_visible() for control in controls.all())


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
    assert "</script><b>x" in text and "1 of 5,000 rows" in text
    assert "means of 2000 runs of 90,000 elements; all 1" in text
    assert "the graph, line by line" in text.lower()
    assert page.text_content(".frame text") == "<i>frame\\"


def test_complex_numbers(tmp_path, opened):
    """As pairs of parts, on colours of their modulus; only those that are not finite are marked."""
    x, y = mg.Tensor([1 + 2j, 3 - 1j, 0j], "x"), mg.Tensor(np.array([1j, np.nan * 1j]), "y")
    J = mg.sum(mg.real(x * x)) + mg.sum(mg.real(y))
    J.backward()
    page = opened(mg.replay(J, tmp_path / "complex.html"))
    assert "∂ is the complex conjugate of .grad" in page.inner_text("body")
    page.keyboard.press("End")
    cells = page.locator('#step [data-of="∂J/∂x"] td')
    assert cells.all_inner_texts() == ["2 + 4i", "6 − 2i", "0 + 0i"]
    assert cells.evaluate_all("cells => cells.map(c => c.dataset.v)") == ["2+4i", "6-2i", "0+0i"]
    assert np.allclose(x.grad, [2 - 4j, 6 + 2j, 0])
    colours = cells.evaluate_all("cells => cells.map(c => c.style.background)")
    assert colours[2] == "rgb(244, 244, 244)" and len(set(colours)) == 3
    bad = "parts => parts.filter(p => p.style.fill.includes('bad')).map(p => p.textContent.trim())"
    found = page.locator("text tspan").evaluate_all(bad)
    assert "NaN + NaNi" in found and "0 + 1i" not in found and "1 + 2i" not in found
    assert "0 + 1i" in page.locator("text tspan").all_text_contents()


def test_a_value_of_one_leaf(tmp_path, opened):
    x = mg.Tensor(2.0, "x")
    page = opened(mg.replay(x * x, tmp_path / "square.html"))
    assert page.locator(".edge").count() == 2
    page.keyboard.press("End")
    assert numbers(page, "∂J/∂x").tolist() == [4.0]
    page.keyboard.press("ArrowLeft")
    assert "x is used 2 times" in page.inner_text("#step")
    assert page.locator(".edge.active").count() == 2
