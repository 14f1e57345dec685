"""The slides' models, their printed source and the engine on CuPy: by signature anywhere, for real where a GPU is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from derived_models import MODELS
from foreign import CuPys, cupy, dense, needs_cupy
from test_foreign_engine import OPTIMIZERS, PROGRAMS, larger_layers, looked_up, same, variable

import minigrad as mg
from benchmarks import gpu, minibatch, mlp, windows
from benchmarks import training as steps
from benchmarks.harness import agree
from minigrad.sparse import RowSparse
from minigrad.trees import is_floating, leaves, map_leaves
from models import conll, slides, training, words
from models.device import CPU, Device
from models.tagger import Settings

Kind = Callable[[Any], Any]

HAS_GPU = cupy is not None and cupy.cuda.is_available()
on_a_gpu = [
    pytest.mark.gpu,
    pytest.mark.skipif(not HAS_GPU, reason="no GPU here: CuPy is asked about each call, and computes none"),
]
KINDS = [
    pytest.param(CuPys, id="by signature", marks=needs_cupy),
    pytest.param(cupy and cupy.asarray, id="on a GPU", marks=on_a_gpu),
]


#: The models whose printed source CuPy refuses: it makes an array of numbers alone, which is NumPy's.
NOT_ON_A_GPU = {"objective": "np.zeros", "softmax": "np.arange"}


def arrays(tree: Any, kind: Kind) -> Any:
    return map_leaves(lambda x: kind(np.asarray(x)) if hasattr(x, "dtype") else x, tree)


def check(found: Any, expected: Any, kind: Kind) -> None:
    """Arrays of a kind, with the numbers of NumPy's."""
    pairs = list(zip(leaves(found), leaves(expected), strict=True))
    assert pairs
    for x, y in pairs:
        x, y = dense(x), dense(y)
        if hasattr(y, "dtype"):
            assert type(x) is type(kind(np.ones(1)))
            np.testing.assert_allclose(x.get(), y, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_slides_models_have_the_same_gradients(name: str, kind: Kind) -> None:
    f, args = MODELS[name]
    wrt = tuple(i for i, x in enumerate(args) if any(map(is_floating, leaves(x))))
    found = mg.value_and_grad(f, argnums=wrt)(*arrays(args, kind))
    check(found, mg.value_and_grad(f, argnums=wrt)(*args), kind)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_printed_source_of_their_gradients_runs(name: str, kind: Kind) -> None:
    f, args = MODELS[name]
    d = mg.derive(f, *args)
    scope: dict[str, Any] = {"np": np}
    exec(d.source, scope)
    run, captured = scope[d.latest.program.name], d.latest.captured(*args)
    if name in NOT_ON_A_GPU:
        assert NOT_ON_A_GPU[name] in d.source
        with pytest.raises(TypeError):
            run(*arrays(args, kind), *arrays(captured, kind))
        return
    check(run(*arrays(args, kind), *arrays(captured, kind)), run(*args, *captured), kind)


@pytest.mark.parametrize("run", [*PROGRAMS, larger_layers, *OPTIMIZERS.values()], ids=lambda run: run.__name__)
@pytest.mark.parametrize("kind", KINDS[1:])
def test_the_engine_runs_on_a_gpu(run: Any, kind: Kind) -> None:
    def steps(kind: Kind) -> Any:
        x = variable(kind, np.linspace(-1.0, 1.0, 24).reshape(4, 6))
        optimizer, (table, g) = run([x]), looked_up(kind)
        (np.sum(x * x) + mg.sum(mg.embedding(x, kind(np.array([1, 2, 1]))))).backward()
        optimizer.step()
        table.data = table.data - 0.1 * g
        return x.data, table.data

    same(steps if run in OPTIMIZERS.values() else run, kind)


@pytest.mark.parametrize("momentum", [0.0, 0.9], ids=["rows of each look-up", "merged rows"])
@pytest.mark.parametrize("kind", KINDS)
def test_word_vectors_move_by_row_sparse_gradients(momentum: float, kind: Kind) -> None:
    def moved(kind: Kind) -> Any:
        V, U = tables = [mg.Tensor(kind(np.random.default_rng(i).normal(size=(200, 4)))) for i in range(2)]
        optimizer, losses = mg.optim.SGD(tables, 0.1, momentum=momentum), []
        for _ in range(3):
            J = words.objective(V, U, arrays(slides.BLOCKS, kind))
            optimizer.zero_grad()
            J.backward()
            assert type(V.grad) is RowSparse and type(U.grad) is RowSparse
            optimizer.step()
            losses.append(J.data)
        return V.data, U.data, *losses

    check(moved(kind), moved(np.asarray), kind)


@pytest.mark.parametrize("optimizer", training.OPTIMIZERS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_tagger_trains_the_same_model_there(optimizer: str, kind: Kind, tmp_path: Path) -> None:
    sentences, settings = conll.embedded("train")[:100], Settings(dim=8, hidden=12)
    recipe = training.Recipe(batch=12, corrupt=3, optimizer=optimizer, epochs=20, patience=20)

    def run(device: Device) -> training.Run:
        return training.Run(sentences, None, settings, recipe, device=device)

    def arrays(run: training.Run) -> dict[str, Any]:
        return {name: run.device.back(a) for name, a in run._arrays().items()}

    def same(one: training.Run, other: training.Run, tolerance: float) -> None:
        ours, theirs = arrays(one), arrays(other)
        assert ours.keys() == theirs.keys() and any(name.startswith("best") for name in ours)
        for name, a in ours.items():
            assert type(a) is np.ndarray and a.dtype == theirs[name].dtype
            np.testing.assert_allclose(a, theirs[name], rtol=tolerance, atol=tolerance, err_msg=name)

    here, there = run(CPU), run(Device(kind, lambda x: x.get()))
    for step in range(20):
        assert abs(here.step().loss - there.step().loss) < 1e-5, step
    assert here.epoch > 1
    assert {type(a) for a in there._arrays().values()} == {type(kind(np.ones(1)))}
    same(here, there, 1e-5)
    there.save(tmp_path / "run.npz")
    for device in CPU, there.device:
        resumed = run(device)
        resumed.restore(tmp_path / "run.npz")
        same(resumed, there, 0)
        resumed.step()
    there.step()
    same(resumed, there, 1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_trained_model_comes_back(kind: Kind) -> None:
    sentences, recipe = conll.embedded("train")[:60], training.Recipe(epochs=1, corrupt=3)
    device = Device(kind, lambda x: x.get())
    tagger = training.train(sentences, recipe=recipe, device=device)
    assert {type(a) for a in leaves(tagger.params)} == {np.ndarray}
    assert tagger.tag(["in", "Paris"]).shape == (2,)
    with pytest.raises(ValueError, match="--device cpu"):
        training.train(sentences, recipe=training.Recipe(compile="numpy"), device=device)


@pytest.mark.parametrize(
    ("problem", "loss"),
    [(minibatch.problem(8, 50, 6), windows.loss), (mlp.problem((20, 10, 5), 8, 2), mlp.loss)],
    ids=["minibatch", "mlp"],
)
@pytest.mark.parametrize("kind", KINDS)
def test_the_benchmarks_learn_the_same_there(problem: Any, loss: Any, kind: Kind) -> None:
    waits: list[str] = []

    def peer(problem: Any, device: str) -> Any:
        waits.append(device)
        return steps.minigrad(loss, None, problem)

    device = Device(kind, lambda x: x.get())
    found = agree(
        gpu.contestants(problem, loss, {"torch": peer}, device, "cuda", lambda: waits.append("step")), 3, 1e-4
    )
    assert list(found) == ["minigrad, NumPy", "minigrad, CuPy", "torch"] and None not in found.values()
    assert waits == ["step"] * 3 + ["cuda"] + ["step"] * 3


@pytest.mark.skipif(HAS_GPU, reason="a GPU is here")
def test_the_benchmark_says_what_it_misses(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(gpu.benchmarks(quick=True)) == []
    out, err = capsys.readouterr()
    assert not out and err.count("\n") == 1
    assert err.startswith("no NVIDIA GPU is found by CuPy, ") and "gpu is not measured" in err
