"""`python -m models digits`: a small convolutional network reads scikit-learn's handwritten digits."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import nn
from models import running, terminal

Array = Any


def network(rng: np.random.Generator, channels: tuple[int, int] = (16, 32), hidden: int = 64) -> nn.Sequential:
    """Two convolutions, the largest of every 2x2, two linear layers; in single precision.

    >>> network(np.random.default_rng(0))(np.zeros((5, 1, 8, 8), np.float32)).shape
    (5, 10)
    """
    first, second = channels
    f32: Any = {"dtype": np.float32}
    return nn.Sequential(
        [
            nn.Conv2d.init(rng, 1, first, 3, padding=1, **f32),
            mg.relu,
            nn.Conv2d.init(rng, first, second, 3, padding=1, **f32),
            mg.relu,
            halved,
            flattened,
            nn.Linear.init(rng, second * 16, hidden, weights=nn.he, **f32),
            mg.relu,
            nn.Linear.init(rng, hidden, 10, **f32),
        ]
    )


def halved(x: Array) -> Array:
    return nn.max_pool2d(x, 2)


def flattened(x: Array) -> Array:
    return mg.reshape(x, (len(x), -1))


def loss(model: nn.Sequential, images: Array, digits: Array) -> Array:
    return mg.cross_entropy(model(images), digits)


def data() -> tuple[Array, Array, Array, Array]:
    """Images (n, 1, 8, 8) and their digits (n,) to train on, then those to test on: a fifth, the same at every call.

    Raises:
        ValueError: where scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise ValueError('digits needs scikit-learn: pip install -e ".[data]"') from None
    found = load_digits()
    order = np.random.default_rng(0).permutation(len(found.target))
    test, train = np.split(order, [len(order) // 5])
    images = (found.images[:, None] / 16).astype(np.float32)
    return images[train], found.target[train], images[test], found.target[test]


def shifted(rng: np.random.Generator, images: Array) -> Array:
    """The images, each moved by up to a pixel in each direction: more digits than were written.

    >>> shifted(np.random.default_rng(0), np.eye(3)[None, None]).shape
    (1, 1, 3, 3)
    """
    wide = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
    places = np.lib.stride_tricks.sliding_window_view(wide, images.shape[2:], axis=(2, 3))
    row, column = rng.integers(0, 3, (2, len(images)))
    return places[np.arange(len(images)), :, row, column]


def prepare(options: argparse.Namespace, images: Array, digits: Array) -> running.Run:
    """A run that is about to start."""
    seed, size, epochs = options.seed, options.batch, options.epochs
    if size > len(images):
        raise ValueError(f"--batch needs to be at most {len(images)}, got {size}")
    per_epoch = len(images) // size

    def batch(step: int) -> tuple[Array, ...]:
        epoch, i = divmod(step, per_epoch)
        rows = np.random.default_rng([seed, epoch]).permutation(len(images))[i * size : (i + 1) * size]
        return shifted(np.random.default_rng([seed, epoch, i]), images[rows]), digits[rows]

    model = network(np.random.default_rng(seed))
    optimizer = mg.optim.Adam(model, options.learning_rate)
    steps = epochs * per_epoch
    schedule = mg.optim.cosine(options.learning_rate, steps, warmup=steps // 20)
    settings = {"seed": seed, "batch": size, "epochs": epochs, "learning_rate": options.learning_rate}
    return running.Run(model, loss, batch, optimizer, schedule, steps, settings)


def options(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--epochs", type=int, default=20, help="passes over the images")
    running.options(sub, run=run, batch=64, learning_rate=0.005)


def run(options: argparse.Namespace) -> int:
    running.check(options)
    images, digits, unseen, truth = data()
    training = prepare(options, images, digits)
    terminal.say(f"training on {len(images)} images of digits, testing on {len(unseen)} others", flush=True)
    code = running.train(training, options)
    if code == 0:
        read = np.argmax(mg.stop_gradient(training.model)(unseen), axis=1)
        wrong = np.flatnonzero(read != truth)
        with terminal.work_is_done():
            terminal.say(f"test accuracy {1 - len(wrong) / len(truth):.1%}, {len(wrong)} of {len(truth)} misread")
            for at in wrong[:10]:
                terminal.say(f"  a {truth[at]} as a {read[at]}")
    return code
