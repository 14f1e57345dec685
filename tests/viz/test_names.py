"""Names, scopes and source lines: found, grouped, and neither kept alive nor paid for."""

import gc
import re
import threading
import weakref

import numpy as np
import pytest
from dot_text import drawn, written

import minigrad as mg
from minigrad.mode import watched
from minigrad.viz import names


def test_names_of_variables_here_and_in_functions():
    def inner(x):
        z = x * 2
        return mg.tanh(z)

    x = mg.Tensor(1.0)
    with mg.trace_source():
        a = inner(x)
    labels = {b.label for b in written(a).boxes}
    assert {"z", "x", "a"} <= labels
    other = mg.Tensor(2.0)
    assert "<b>other</b>" in mg.draw(other * 3).source  # draw looks around
    total = other * 3
    mg.name(renamed=total, data=(c := np.ones(2)))
    assert total.name == "renamed" and names._names[id(c)][1] == "data"


class Model:
    def __init__(self):
        self.W = mg.Tensor(np.ones((2, 2)))
        self.layers = [{"b": mg.Tensor(np.ones(2))}]

    @property
    def trap(self):
        raise AssertionError("a picture calls nothing of the user's")

    def draw(self, x):
        z = self.W @ x + self.layers[0]["b"]
        return picture_of(z)


def picture_of(z):
    return mg.draw(mg.sum(mg.tanh(z))).source


def test_names_of_what_the_callers_hold_without_a_trace():
    """Variables of the functions that called, attributes, items; a caller's name is better than a parameter's."""
    params, data = {"U": mg.Tensor([1.0, 2.0])}, (mg.Tensor([1.0, 2.0]),)
    s = params["U"] @ data[0]
    source = Model().draw(data[0])
    assert {"x", "z", "self.W", "self.layers[0]['b']"} <= set(re.findall("<b>(.*?)</b>", source))

    def inside():
        return mg.draw(s).source

    def show(value):
        return mg.draw(value).source

    assert "<b>s</b>" in show(s) and "value" not in show(s)
    assert {"s", "data[0]", "params['U']"} <= set(re.findall("<b>(.*?)</b>", inside()))


def test_a_name_is_of_the_value_itself_never_of_another():
    x = mg.Tensor([1.0, 2.0])
    z = x * 2
    y = mg.sum(mg.exp(z))
    z = z + 1  # the code calls another value z by now
    labels = set(re.findall("<b>(.*?)</b>", mg.draw(y).source))
    assert {"x", "y"} <= labels and "z" not in labels


def test_scopes_are_clusters_within_clusters():
    x = mg.Tensor(1.0, "x")
    with mg.scope("outer"):
        y = x * 2
        with mg.scope("inner"):
            z = y * 3
    w = z * 4
    source = drawn(w)
    depth, found = 0, {}
    for line in source.splitlines():
        depth += line.count("subgraph") - (line.strip() == "}")
        if m := re.match(r"\s*(t\d+) \[", line):
            found[m.group(1)] = depth
    assert [found[k] for k in ("t0", "t1", "t2", "t3")] == [0, 2, 1, 0]
    with mg.scope("open"):
        assert "open" in drawn(x * 5)


def test_tracing_does_not_hold_the_function_it_ran_in():
    def step():
        x = mg.Tensor(1.0)
        tracing = mg.trace_source()
        with tracing:
            y = x * 2
        return weakref.ref(y)

    gc.disable()
    try:
        assert step()() is None
    finally:
        gc.enable()


def test_what_is_remembered_does_not_grow():
    def step():
        x = mg.Tensor(np.ones(3))
        with mg.trace_source(), mg.scope("step"):
            y = mg.sum(x * np.ones(3))
        return drawn(y)

    step()
    known, inside = len(names._names), len(names._scopes)
    for _ in range(20):
        step()
    assert len(names._names) == known
    assert len(names._scopes) == inside and len(names._lines) <= names.MAX_LINES


def test_tracing_costs_nothing_when_off():
    with mg.trace_source(), mg.trace_source():
        assert len(watched) == 2
    assert not watched
    with pytest.raises(KeyError), mg.trace_source():
        raise KeyError
    assert not watched


def test_threads_trace_apart_and_end_in_any_order():
    """Each records its own lines, and the one that ends first does not end the other's."""
    began, ended = threading.Event(), threading.Event()
    lines = []

    def other():
        with mg.trace_source():
            began.set()
            ended.wait(10)
            y = mg.Tensor(1.0) * 2
        lines.append(names.line_of(y))

    thread = threading.Thread(target=other)
    with mg.trace_source():
        thread.start()
        began.wait(10)
        x = mg.Tensor(1.0) * 2
    ended.set()
    thread.join()
    assert names.line_of(x) is not None and lines[0] is not None
    assert not watched
    assert names.line_of(mg.Tensor(1.0) * 2) is None
