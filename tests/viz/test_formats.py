"""Numbers and arrays in a notebook."""

import numpy as np

import minigrad as mg
from minigrad.viz.formats import colour, ink


def test_a_tensor_in_a_notebook():
    x = mg.Tensor([[1.0, -2.0], [np.nan, 0.0]], "<x>")
    assert "no gradient yet" in x._repr_html_() and "&lt;x&gt;" in x._repr_html_() and "NaN" in x._repr_html_()
    mg.sum(x * x).backward()
    assert "no gradient yet" not in x._repr_html_() and "−4" in x._repr_html_()
    big = mg.Tensor(np.zeros((1000, 1000)))
    big.grad = big.data
    assert len(big._repr_html_()) < 10_000
    table = mg.Tensor(np.zeros((1000, 2)))
    mg.sum(mg.embedding(table, [1])).backward()
    assert "1 of 1000 rows" in table._repr_html_()
    for odd in (np.zeros((0, 3)), np.float32(1.5), np.ones(2, complex)):
        assert "Tensor" in mg.Tensor(odd)._repr_html_()


def test_a_matrix_of_three_by_four_has_numbers():
    x = mg.Tensor(np.arange(12.0).reshape(3, 4) - 4)
    html = x._repr_html_()
    assert html.count("<tr>") >= 3 and all(f">{text}<" in html for text in ("−4", "0", "7")) and "mean" not in html
    for large in (np.ones((5, 13)), np.ones((6, 11)), np.ones(61)):
        assert "all 1" in mg.Tensor(large)._repr_html_()


def test_text_on_a_colour_can_be_read():
    """WCAG's 4.5 to 1, on every colour of the scale."""

    def light(colour):
        shares = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        return np.dot(
            [0.2126, 0.7152, 0.0722], [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in shares]
        )

    for v in [*np.linspace(-1, 1, 201), np.nan]:
        low, high = sorted([light(colour(v, 1.0)), light(ink(colour(v, 1.0)))])
        assert (high + 0.05) / (low + 0.05) >= 4.5
