"""A transformer that learns the characters of a text: `python -m models text`, and the same in PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np

import minigrad as mg
from benchmarks.harness import Benchmark, Run, Start, agree, at_most, timed
from minigrad import trees
from models import characters

Array = Any

CHARACTERS, BATCH, LENGTH, RATE = 80, 16, 64, 0.001


@dataclass(frozen=True, eq=False)
class Problem:
    """A model with its initial values, and made-up minibatches: some characters are likely after others."""

    model: Any
    batches: list[Array]

    def parameters(self) -> list[mg.Tensor]:
        return [leaf for leaf in trees.leaves(self.model) if isinstance(leaf, mg.Tensor)]


def problem(
    rnn: bool = False, dtype: Any = np.float32, batch: int = BATCH, length: int = LENGTH, steps: int = 20, **sizes: int
) -> Problem:
    rng = np.random.default_rng(0)
    if rnn:
        model: Any = characters.Recurrent.init(rng, CHARACTERS, dtype=dtype, **sizes)
    else:
        model = characters.Transformer.init(rng, CHARACTERS, length, dtype=dtype, **sizes)
    steps_on = np.cumsum(rng.geometric(0.3, (steps, batch, length + 1)), axis=-1)
    return Problem(model, list((steps_on + rng.integers(0, CHARACTERS, (steps, batch, 1))) % CHARACTERS))


def fresh(problem: Problem) -> Any:
    """The model with its initial values, in Tensors of its own."""
    return trees.map_leaves(lambda x: mg.Tensor(x.data.copy()) if isinstance(x, mg.Tensor) else x, problem.model)


def descent(model: Any) -> Any:
    optimizer = mg.optim.AdamW(model, RATE)

    def step(ids: Array) -> Any:
        J = characters.loss(model, ids)
        J.backward()
        mg.optim.clip_grad_norm(model, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return J

    return step


def minigrad(compiled: bool, problem: Problem) -> Run:
    step = _minigrad(compiled, problem)
    return _recorded(lambda i: float(step(problem.batches[i % len(problem.batches)])))


def _recorded(step: Callable[[int], float]) -> Run:
    """The results are the losses: Adam's first steps in single precision depend on the signs of tiny gradients."""
    losses: list[float] = []
    return lambda i: losses.append(step(i)), lambda: [np.array(losses)]


@cache  # compiled once: later rounds go on with the training, which takes as long
def _minigrad(compiled: bool, problem: Problem) -> Any:
    step = descent(fresh(problem))
    return mg.compile(step) if compiled else step


def torch(problem: Problem) -> Run:
    import torch

    parameters = [torch.tensor(p.data, requires_grad=True) for p in problem.parameters()]
    rest = iter(parameters)
    model = trees.map_leaves(lambda x: next(rest) if isinstance(x, mg.Tensor) else x, problem.model)
    batches = list(map(torch.from_numpy, problem.batches))
    optimizer = torch.optim.AdamW(parameters, lr=RATE, weight_decay=0.01)

    def step(i: int) -> float:
        J = torch_loss(model, batches[i % len(batches)])
        optimizer.zero_grad()
        J.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        return J.item()

    return _recorded(step)


def torch_loss(model: Any, ids: Any) -> Any:
    """`characters.loss`, of a model whose leaves are PyTorch's."""
    import torch
    from torch.nn import functional as F

    def norm(x: Any, layer: Any) -> Any:
        return F.layer_norm(x, layer.scale.shape, layer.scale, layer.shift, layer.eps)

    def attended(x: Any, layer: Any) -> Any:
        n, T, d = x.shape
        heads = F.linear(x, layer.project.W, layer.project.b).view(n, T, 3, layer.heads, d // layer.heads)
        values = F.scaled_dot_product_attention(*heads.permute(2, 0, 3, 1, 4), is_causal=True)
        return F.linear(values.transpose(1, 2).reshape(n, T, d), layer.output.W, layer.output.b)

    before, after = ids[:, :-1], ids[:, 1:]
    x = F.embedding(before, model.table)
    if isinstance(model, characters.Recurrent):
        weights = model.input.W, model.state.W, model.input.b, torch.zeros_like(model.input.b)
        h = torch.zeros((1, len(ids), x.shape[-1]), dtype=x.dtype)
        x, _ = torch.rnn_tanh(x, h, weights, True, 1, 0.0, True, False, True)
    else:
        x = x + model.places[: before.shape[1]]
        for block in model.blocks:
            x = x + attended(norm(x, block.before), block.attention)
            wide = F.relu(F.linear(norm(x, block.between), block.widen.W, block.widen.b))
            x = x + F.linear(wide, block.narrow.W, block.narrow.b)
        x = norm(x, model.norm)
    return F.cross_entropy((x @ model.table.T).flatten(0, 1), after.flatten())


RUNS: dict[str, Callable[[Problem], Run]] = {
    "minigrad": partial(minigrad, False),
    "minigrad, compiled": partial(minigrad, True),
    "torch": torch,
}


def benchmarks(quick: bool) -> Iterator[Benchmark]:
    for rnn, name in (False, "transformer of 4 layers, d = 128"), (True, "recurrent network, d = 128"):
        made = problem(rnn)
        starts: dict[str, Start] = {name: partial(run, made) for name, run in RUNS.items()}
        yield Benchmark(
            f"text: {name}, {BATCH} x {LENGTH} characters, float32, AdamW, one thread",
            "ms a step",
            [at_most(1.2, "minigrad, compiled", "torch")],
            {name: timed(start, 2 if quick else 5, 1e3) for name, start in agree(starts, 3, tolerance=1e-5).items()},
            rounds=3 if quick else 20,
        )
