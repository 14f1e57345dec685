"""The minibatch and the MLP on a GPU: minigrad on CuPy's arrays, torch and jax, in float32, each as its users write it.

The data are on the card before the clock starts, and every step is waited for.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from benchmarks import minibatch, mlp, training, windows
from benchmarks.harness import Benchmark, Run, Start, agree, timed
from benchmarks.training import Loss, Problem
from models.device import Device, named

#: Of each table: what it is about, its problem, the loss for minigrad, and the peers' training.
TABLES: dict[str, tuple[str, Callable[[], Any], Callable[[Any], Loss], Mapping[str, Callable[..., Run]]]] = {
    "minibatch": (minibatch.ABOUT, minibatch.problem, windows.loss, {"torch": windows.torch, "jax.jit": windows.jax}),
    "mlp": (mlp.ABOUT, mlp.problem, mlp.loss, {"torch": mlp.torch, "jax.jit": mlp.jax}),
}


def on_device(loss: Callable[[Any], Loss], problem: Problem, device: Device) -> Run:
    """Train minigrad on a device; the results come back as NumPy's arrays."""
    step, parameters = training.minigrad(loss, None, problem)
    return step, lambda: device.back(parameters())


def waited(run: Callable[[Problem], Run], wait: Callable[[], object], problem: Problem) -> Run:
    """The same training, but that a step has ended when it returns: a GPU computes while Python goes on."""
    step, parameters = run(problem)

    def whole(i: int) -> None:
        step(i)
        wait()

    return whole, parameters


def contestants(
    problem: Any,
    loss: Callable[[Any], Loss],
    peers: Mapping[str, Callable[..., Run]],
    device: Device,
    platform: str,
    wait: Callable[[], object],
) -> dict[str, Start]:
    """Everybody on the device, and minigrad on the processor, with which they have to agree.

    Args:
        device: where minigrad's arrays are.
        platform: the same for the peers: "cuda" or "cpu".
        wait: returns when the device has computed all that it was asked for.
    """
    there = replace(problem, parameters=device.to(problem.parameters), batches=device.to(problem.batches))
    runs = {"minigrad, CuPy": lambda _: on_device(loss, there, device)}
    runs |= {name: partial(run, device=platform) for name, run in peers.items()}
    runs = {name: partial(waited, run, wait) for name, run in runs.items()}
    return training.contestants(problem, {"minigrad, NumPy": partial(training.minigrad, loss, None)} | runs)


def tables(
    quick: bool, card: str, has: Mapping[str, bool], device: Device, platform: str, wait: Callable[[], object]
) -> Iterator[Benchmark]:
    """The tables; peers that do not find the GPU are left out."""
    for name, (about, problem, loss, peers) in TABLES.items():
        present = {peer: run for peer, run in peers.items() if has[peer]}
        everybody = agree(contestants(problem(), loss, present, device, platform, wait), 3, tolerance=1e-3)
        yield Benchmark(
            f"gpu, {name}: {about}, {card}",
            "ms a step",
            [],
            {peer: timed(start, 2 if quick else 20, 1e3) for peer, start in everybody.items()},
            rounds=3 if quick else 30,
        )


def cupy_finds_it() -> bool:
    try:
        named("gpu")
    except ValueError:
        return False
    return True


def torch_finds_it() -> bool:
    try:
        import torch
    except ModuleNotFoundError:
        return False
    return torch.cuda.is_available()


def jax_finds_it() -> bool:
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # jax takes three quarters of the card's memory
    try:
        import jax

        jax.devices("cuda")
    except (ModuleNotFoundError, RuntimeError):
        return False
    jax.config.update("jax_default_matmul_precision", "float32")  # by default products of float32 have 10 bits there
    return True


def benchmarks(quick: bool) -> Iterator[Benchmark]:
    has = {"CuPy": cupy_finds_it(), "torch": torch_finds_it(), "jax.jit": jax_finds_it()}
    blind = [name.removesuffix(".jit") for name, found in has.items() if not found]
    if blind:
        so = "gpu is measured without them" if has["CuPy"] else "gpu is not measured"
        remedy = 'where one is, pip install -e ".[arrays]" torch "jax[cuda12]"'
        print(f"no NVIDIA GPU is found by {', '.join(blind)}: {so}; {remedy}", file=sys.stderr)
    if not has["CuPy"]:
        return
    import cupy

    card = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)["name"].decode()
    yield from tables(quick, card, has, named("gpu"), "cuda", cupy.cuda.Device().synchronize)
