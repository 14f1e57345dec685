"""Data in Dask's arrays: docs/scale.md on a cluster of two processes, the size of graphs, a part against NumPy."""

from __future__ import annotations

import contextlib
import io
import re
from cProfile import Profile
from pathlib import Path
from pstats import Stats
from typing import Any, Never

import numpy as np
import pytest
from foreign import dask, needs_dask
from pages import split_output

import minigrad as mg
from benchmarks.scale import differentiated, objective, ones, parameters

PAGE = (Path(__file__).parent.parent / "docs" / "scale.md").read_text("utf-8")

pytestmark = needs_dask


def not_now(*_: Any, **__: Any) -> Never:
    raise AssertionError("an array was computed")


def test_the_page_runs_on_a_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    pytest.importorskip("zarr")
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {}
    for block in re.findall(r"^```py\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(block, "docs/scale.md", "exec"), namespace)
        lines = [line.strip() for line in re.split(r"[\r\n]", printed.getvalue())]
        assert [line for line in lines if line and not line.startswith("[")] == split_output(block)[
            1
        ]  # but for the bar
    U, W, b, X, X_c = (np.asarray(namespace[name]) for name in ("U", "W", "b", "X", "X_c"))
    value, gradients = differentiated(U, W, b, X, X_c)
    assert namespace["J"] == pytest.approx(value, rel=1e-12)
    for ours, expected in zip((namespace[name] for name in ("dU", "dW", "db")), gradients, strict=True):
        assert np.max(np.abs(ours - expected)) <= 1e-12 * np.max(np.abs(expected))
    np.save("X.npy", X)
    mapped = namespace["from_npy"]("X.npy", 3_000)
    assert mapped.numblocks == (4, 1)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")  # as a worker may be that was started by hand
    np.testing.assert_array_equal(mapped.compute(scheduler="sync"), X)


def test_a_graph_is_linear_in_the_chunks_and_so_is_the_work_of_making_it() -> None:
    def size(chunks: int) -> tuple[int, int]:
        """The tasks, and the calls of functions that made them."""
        data, profile = ones(chunks), Profile()
        with dask.config.set(scheduler=not_now), profile:
            value, gradients = differentiated(*parameters(), *data)
        return sum(len(x.__dask_graph__()) for x in (value, *gradients)), Stats(profile).total_calls

    size(2)  # imports
    for few, more, most in zip(*map(size, (40, 80, 160)), strict=True):
        assert most - more <= 2.1 * (more - few)


def test_a_worker_needs_neither_minigrad_nor_the_models() -> None:
    cloudpickle = pytest.importorskip("cloudpickle")
    value, gradients = differentiated(*parameters(), *ones(2))
    for x in (value, *gradients):
        sent = cloudpickle.dumps(dict(x.__dask_graph__()))
        assert b"numpy" in sent and b"minigrad" not in sent and b"models" not in sent


def test_the_gradient_of_the_data_has_their_chunks() -> None:
    X, X_c = ones(7)
    with dask.config.set(scheduler=not_now):
        by_data = mg.grad(objective, argnums=(3, 4))(*parameters(), X, X_c)
        spread = [
            mg.grad(f)(X) for f in (mg.sum, mg.mean, lambda x: mg.sum(mg.mean(x, axis=0)), lambda x: mg.sum(x[:, None]))
        ]
        second = mg.hvp(lambda x: mg.sum(mg.sum(x, axis=1) ** 2))(X, X)
    assert [g.chunks for g in by_data] == [X.chunks, X_c.chunks]
    assert all(g.chunks == X.chunks for g in (*spread, second))


@pytest.mark.parametrize("scheduler", ["sync", "threads"])
def test_value_and_gradients_are_computed_together_by_any_scheduler(scheduler: str) -> None:
    rng = np.random.default_rng(1)
    X, X_c, seen = rng.normal(size=(60, 20)), rng.normal(size=(60, 5, 20)), []

    def chunk(x: Any) -> Any:
        seen.append(x.shape)
        return x

    like = np.empty((0, 0))
    counted = dask.array.from_array(X, chunks=(10, 20)).map_blocks(chunk, meta=like, dtype=float)
    lazily = differentiated(*parameters(), counted, dask.array.from_array(X_c, chunks=(10, 5, 20)))
    found = dask.compute(*lazily, scheduler=scheduler)
    assert len(seen) == 6  # each chunk is read once
    value, gradients = differentiated(*parameters(), X, X_c)
    assert found[0] == pytest.approx(value, rel=1e-12)
    for x, y in zip(found[1], gradients, strict=True):
        assert np.max(np.abs(x - y)) <= 1e-12 * np.max(np.abs(y))
