"""`python -m models text`: PyTorch's losses from the same parameters; writing; stopped and resumed runs."""

import argparse
import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from benchmarks import text
from minigrad.trees import leaves
from models import characters, running
from models.__main__ import main

ROOT = Path(__file__).parents[2]
STEPS = int(os.environ.get("TORCH_STEPS", 30))
SMALL = {"d": 32, "heads": 2, "layers": 4}


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("rnn", [False, True])
def test_the_losses_of_pytorch(rnn: bool, compiled: bool) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed: its losses are not compared")
    sizes: dict[str, int] = {} if STEPS >= 300 else {"d": 32} if rnn else SMALL
    made = text.problem(rnn, np.float64, batch=4, length=12, steps=STEPS, **sizes)
    losses = []
    for step, result in (text.minigrad(compiled, made), text.torch(made)):
        for i in range(STEPS):
            step(i)
        losses += result()
    assert len(losses[0]) == STEPS
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-8, atol=0)


def file_of_text(folder: Path) -> Path:
    path = folder / "text.txt"
    path.write_text("the cat sat on the mat, the dog on the log.\nwho sat? the cat.\n" * 20, encoding="utf-8")
    return path


def tiny(folder: Path, *more: Any) -> list[str]:
    words = ["text", "--text", file_of_text(folder), "--rnn", "--length", 8, "--batch", 4, *more]
    return list(map(str, words))


def test_it_learns_to_write(tmp_path: Path) -> None:
    content = file_of_text(tmp_path).read_text()
    alphabet = sorted(set(content))
    ids = np.array([alphabet.index(c) for c in content])
    options = argparse.Namespace(seed=0, batch=8, length=12, learning_rate=0.01, rnn=True, steps=150)
    run = characters.prepare(options, ids, len(alphabet))
    while run.done < 150:
        run.step()
    assert run.losses[0] == pytest.approx(np.log(len(alphabet)), rel=0.1) and run.losses[-1] < 0.8
    start = ids[:12].tolist()
    written = characters.write(run.model, np.random.default_rng(0), start, 60, temperature=0.2)
    assert len(written) == 60
    words = "".join(alphabet[i] for i in written).split()
    assert sum(word in content.split() for word in words) > 0.7 * len(words)


def test_a_recurrent_network_multiplies_once_for_all_characters() -> None:
    model = characters.Recurrent.init(np.random.default_rng(0), 9, d=8, dtype=float)
    ids = np.random.default_rng(1).integers(0, 9, (3, 6))
    table, W, b, V = (x.data for x in (model.table, model.input.W, model.input.b, model.state.W))
    h, logits = np.zeros((3, 8)), []
    for t in range(6):
        h = np.tanh(table[ids[:, t]] @ W.T + b + h @ V.T)
        logits.append(h @ table.T)
    np.testing.assert_allclose(model(ids).data, np.stack(logits, axis=1), rtol=1e-12)
    source = str(mg.derive(model, ids, wrt=()))
    assert source.count("@ W.T") == 1


def test_a_transformer_does_not_look_ahead() -> None:
    model = mg.stop_gradient(characters.Transformer.init(np.random.default_rng(0), 9, 6, d=8, heads=2, layers=2))
    ids = np.array([[1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 0, 0]])
    z = model(ids)
    np.testing.assert_allclose(z[0, :4], z[1, :4], rtol=1e-4, atol=1e-6)
    assert not np.allclose(z[0, 4], z[1, 4])
    np.testing.assert_allclose(model(ids[:, :4]), z[:, :4], rtol=1e-4, atol=1e-6)


def test_command_writes_text_and_files(tmp_path: Path, capsys: Any) -> None:
    plot = [] if importlib.util.find_spec("matplotlib") is None else ["--plot", tmp_path / "loss.svg"]
    assert main(tiny(tmp_path, "--steps", 5, "--model", tmp_path / "m.npz", *plot)) == 0
    first, steps, *rest = capsys.readouterr().out.splitlines()
    assert "different ones" in first and steps.startswith("5 steps")
    assert len("\n".join(rest[rest.index("") + 1 :])) in range(298, 302)
    stored = mg.load(tmp_path / "m.npz")
    assert {"alphabet", *(f"model.{name}" for name in ("table", "input.W", "input.b", "state.W"))} == set(stored)
    assert "".join(map(chr, stored["alphabet"])) == "".join(sorted(set(file_of_text(tmp_path).read_text())))
    assert not plot or "<svg" in (tmp_path / "loss.svg").read_text()


def test_a_stopped_and_resumed_run_is_the_uninterrupted_one(tmp_path: Path, monkeypatch: Any) -> None:
    whole, parts = tmp_path / "whole.npz", tmp_path / "parts.npz"
    assert main(tiny(tmp_path, "--steps", 8, "--checkpoint", whole)) == 0
    step = running.Run.step

    def stopped(run: running.Run) -> float:
        loss = step(run)
        if run.done == 3:
            signal.raise_signal(signal.SIGTERM)
        return loss

    monkeypatch.setattr(running.Run, "step", stopped)
    assert main(tiny(tmp_path, "--steps", 8, "--checkpoint", parts)) == 143
    monkeypatch.undo()
    assert np.isfinite(mg.load(parts)["losses"]).tolist() == [True] * 3 + [False] * 5
    assert main(tiny(tmp_path, "--steps", 8, "--checkpoint", parts)) == 2  # it would be lost
    assert main(tiny(tmp_path, "--steps", 8, "--checkpoint", parts, "--seed", 5, "--resume")) == 2
    assert main(tiny(tmp_path, "--steps", 8, "--checkpoint", parts, "--resume")) == 0
    one, other = mg.load(whole), mg.load(parts)
    assert one.keys() == other.keys()
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name], name)


def test_ctrl_c_saves(tmp_path: Path) -> None:
    words = tiny(tmp_path, "--steps", 10**6, "--checkpoint", "run.npz", "--every", 1, "--model", "m.npz")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [sys.executable, "-m", "models", *words], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        while not (tmp_path / "run.npz").exists():
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 130
    state, model = mg.load(tmp_path / "run.npz"), mg.load(tmp_path / "m.npz")
    assert state["optimizer.steps"] == np.isfinite(state["losses"]).sum() > 0
    np.testing.assert_array_equal(state["model.table"], model["model.table"])


def test_a_loss_that_is_not_finite_is_no_model(tmp_path: Path, capsys: Any) -> None:
    with np.errstate(all="ignore"):
        words = tiny(tmp_path, "--steps", 20, "--model", tmp_path / "m.npz", "--learning-rate", 1e39)
        assert main(words) == 1
    assert "a smaller learning rate may help" in capsys.readouterr().err
    assert not (tmp_path / "m.npz").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--resume"], "--resume needs --checkpoint"),
        (["--steps", "0"], "--steps needs to be at least 1, got 0"),
        (["--batch", "0"], "--batch needs to be at least 1, got 0"),
        (["--length", "0"], "--length needs to be at least 1, got 0"),
        (["--length", "5000"], "needed more than 5000 characters"),
        (["--seed", "-1"], "--seed needs to be at least 0, got -1"),
        (["--every", "0"], "--every needs to be at least 1"),
        (["--learning-rate", "0"], "--learning-rate needs to be above 0"),
        (["--model", "m.pickle"], "m.pickle: needed .npz or .safetensors, got .pickle"),
        (["--model", "text.txt"], "text.txt is already the name of another file"),
        (["--checkpoint", "text.npz", "--model", "text.npz"], "text.npz is already the name of another file"),
        (["--checkpoint", "other.npz"], "needed a checkpoint, got a file of other arrays"),
        (["--text", "absent.txt"], "absent.txt"),
    ],
)
def test_mistakes_come_before_the_training(
    more: list[str], message: str, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    mg.save([1.0], "other.npz")
    assert main([*tiny(tmp_path), *more]) == 2
    assert message in capsys.readouterr().err


def test_optimizer_moves_what_is_trained_only() -> None:
    model = characters.Transformer.init(np.random.default_rng(0), 9, 6, d=8, heads=2, layers=1)
    moved = {id(p) for p in mg.optim.AdamW(model).params}
    assert moved == {id(leaf) for leaf in leaves(model) if isinstance(leaf, mg.Tensor)} and len(moved) == 16
