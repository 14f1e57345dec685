"""Numbers and arrays in a notebook."""

import numpy as np

import minigrad as mg


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
