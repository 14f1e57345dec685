"""`python -m models digits`: the data, the shifts, a short training, the command."""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from models import digits
from models.__main__ import main

SKLEARN = "scikit-learn is not installed: its digits are not read"


def test_shifts_are_of_a_pixel_at_most_and_all_happen() -> None:
    image = np.zeros((1, 1, 8, 8))
    image[0, 0, 3, 4] = 1
    moved = digits.shifted(np.random.default_rng(0), np.repeat(image, 200, axis=0))
    assert moved.shape == (200, 1, 8, 8) and moved.sum() == 200
    places = {(int(i) - 3, int(j) - 4) for _, _, i, j in zip(*np.nonzero(moved))}
    assert places == {(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)}


def test_a_run_learns() -> None:
    rng = np.random.default_rng(0)
    prototypes = rng.random((10, 1, 8, 8)).astype(np.float32)
    truth = rng.integers(0, 10, 200)
    options = argparse.Namespace(seed=0, batch=40, epochs=8, learning_rate=0.005)
    run = digits.prepare(options, prototypes[truth], truth)
    assert len(run.losses) == 40
    seen = {int(y) for step in range(5) for y in run.batch(step)[1]}
    assert seen == set(range(10))
    while run.done < 40:
        run.step()
    assert run.losses[-1] < 0.5 * run.losses[0]
    read = np.argmax(mg.stop_gradient(run.model)(prototypes), axis=1)
    assert np.mean(read == np.arange(10)) > 0.7


def test_an_epoch_has_every_image_once() -> None:
    images = np.zeros((30, 1, 8, 8), np.float32)
    run = digits.prepare(argparse.Namespace(seed=0, batch=10, epochs=2, learning_rate=0.1), images, np.arange(30))
    for epoch in range(2):
        found = np.concatenate([run.batch(3 * epoch + i)[1] for i in range(3)])
        assert sorted(found) == list(range(30))
    assert run.batch(0)[1].tolist() != run.batch(3)[1].tolist()


def test_the_command(tmp_path: Path, capsys: Any) -> None:
    pytest.importorskip("sklearn", reason=SKLEARN)
    assert main(["digits", "--epochs", "3", "--model", str(tmp_path / "m.npz")]) == 0
    out = capsys.readouterr().out
    assert "training on 1438 images of digits, testing on 359 others" in out
    accuracy = float(out.split("test accuracy ")[1].split("%")[0])
    assert accuracy > 90
    model = mg.load(tmp_path / "m.npz", like=digits.network(np.random.default_rng(1)))
    *_, unseen, truth = digits.data()
    assert np.mean(np.argmax(mg.stop_gradient(model)(unseen), axis=1) == truth) == pytest.approx(
        accuracy / 100, abs=1e-3
    )


def test_training_and_test_images_are_apart() -> None:
    pytest.importorskip("sklearn", reason=SKLEARN)
    images, _, unseen, truth = digits.data()
    assert len(images) + len(unseen) == 1797 and set(truth) == set(range(10))
    assert not {i.tobytes() for i in images} & {i.tobytes() for i in unseen}
    np.testing.assert_array_equal(digits.data()[0], images)


def test_without_scikit_learn_the_error_names_it(monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sklearn.datasets", None)
    assert main(["digits"]) == 2
    assert 'digits needs scikit-learn: pip install -e ".[data]"' in capsys.readouterr().err


def test_a_batch_of_more_than_all(capsys: Any) -> None:
    pytest.importorskip("sklearn", reason=SKLEARN)
    assert main(["digits", "--batch", "1439"]) == 2
    assert "--batch needs to be at most 1438, got 1439" in capsys.readouterr().err
