"""Training on numbered minibatches, for `digits` and `text`: progress, checkpoints, signals, a plot of the loss."""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import trees
from models import plots, storage, terminal

Array = Any


@dataclass(frozen=True)
class Progress:
    """The progress of training, reported after every step."""

    done: int  # steps
    of: int
    loss: float
    speed: float  # steps a second

    @property
    def place(self) -> str:
        return f"step {self.done}/{self.of}"

    @property
    def parts(self) -> int:
        return self.of

    @property
    def fraction(self) -> float:
        return self.done / self.of

    def __str__(self) -> str:
        return f"loss {self.loss:.4f}  {self.speed:.1f} steps/s"


class Run:
    """Training between two steps: all that the next step depends on is in its fields, and in its checkpoint.

    A minibatch depends on nothing but its number: a run that is resumed is the uninterrupted one, to the bit.

    Args:
        model: a tree of Tensors.
        loss: of the model and a minibatch.
        batch: makes the minibatch of a step.
        optimizer: of the model.
        schedule: the learning rate of a step.
        steps: the number of all steps.
        settings: numbers that a run to resume has to have in common with this one.
    """

    def __init__(
        self, model: Any, loss: Callable[..., Any], batch: Callable[[int], tuple[Array, ...]],
        optimizer: mg.optim.Optimizer, schedule: mg.optim.Schedule, steps: int, settings: Mapping[str, float],
    ) -> None:  # fmt: skip
        self.model, self.batch, self.optimizer, self.schedule = model, batch, optimizer, schedule
        self.saved = model  # the tree that goes to --model
        self.settings = dict(settings)
        self.losses = np.full(steps, np.nan)

        def step(*batch: Array) -> Any:
            J = loss(model, *batch)
            J.backward()
            mg.optim.clip_grad_norm(model, 1.0)
            optimizer.step()
            optimizer.zero_grad()
            return J

        self._descend = mg.compile(step)

    @property
    def done(self) -> int:
        return self.optimizer.steps

    def step(self) -> float:
        """One step; its loss.

        Raises:
            FloatingPointError: where the loss is not finite.
        """
        t = self.done
        self.optimizer.lr = self.schedule(t)
        self.losses[t] = float(self._descend(*self.batch(t)))
        if not np.isfinite(self.losses[t]):
            raise FloatingPointError(f"the loss is {self.losses[t]} at step {t + 1}: a smaller learning rate may help")
        return float(self.losses[t])

    def _tree(self) -> dict[str, Any]:
        state = {"model": self.model, "optimizer": self.optimizer.state_dict()}
        return {**state, "losses": self.losses, "settings": self.settings}

    def save(self, path: Path) -> None:
        """Write the checkpoint. Where it cannot be written, training is worth more: it goes on with a warning."""
        try:
            mg.save(self._tree(), path)
        except OSError as error:
            warnings.warn(f"the checkpoint of step {self.done} could not be written: {error}", stacklevel=2)

    def restore(self, path: Path) -> None:
        """Go on where the run in a checkpoint was."""
        stored = _checkpoint(path)
        names = (name for name in self.settings if f"settings.{name}" in stored)
        changes = [
            f"{name} was {was} and is {self.settings[name]}"
            for name in names
            if (was := stored[f"settings.{name}"].tolist()) != self.settings[name]
        ]
        if changes:
            raise ValueError(f"{path}: needed the run that the checkpoint is of, got another: {', '.join(changes)}")
        tree = mg.load(path, like=self._tree())
        for mine, other in zip(trees.leaves(self.model), trees.leaves(tree["model"])):
            if isinstance(mine, mg.Tensor):
                mine.data = other.data
        self.optimizer.load_state_dict(tree["optimizer"])
        self.losses[:] = tree["losses"]


def _checkpoint(path: Path) -> dict[str, Array]:
    stored: dict[str, Array] = mg.load(path)
    if "losses" not in stored:
        raise ValueError(f"{path}: needed a checkpoint, got a file of other arrays")
    return stored


def options(sub: argparse.ArgumentParser, **defaults: Any) -> None:
    """The options that the commands share."""
    sub.set_defaults(**defaults)
    sub.add_argument("--batch", type=int, help="examples in a minibatch")
    sub.add_argument("--learning-rate", type=float, help="at its highest; it rises, then falls as a cosine does")
    sub.add_argument("--seed", type=int, default=0, help="the same seed trains the same model")
    sub.add_argument("--model", metavar="FILE", type=Path, help="where the model goes: .npz or .safetensors")
    sub.add_argument("--plot", metavar="FILE", type=Path, help="a picture of the loss over the steps: .png, .svg, .pdf")
    sub.add_argument("--checkpoint", metavar="FILE.npz", type=Path, help="save the run there, to resume it")
    sub.add_argument("--every", metavar="N", type=int, default=100, help="steps between checkpoints")
    sub.add_argument(
        "--resume", action="store_true", help="go on with the run in --checkpoint, as if it had not been interrupted"
    )


def check(options: argparse.Namespace) -> None:
    """Refuse what would fail after the training."""
    if options.checkpoint is None and options.resume:
        raise ValueError("--resume needs --checkpoint FILE")
    for name, value in vars(options).items():
        least = 0 if name == "seed" else 1
        if type(value) is int and value < least:
            raise ValueError(f"--{name} needs to be at least {least}, got {value}")
    if options.learning_rate <= 0:
        raise ValueError(f"--learning-rate needs to be above 0, got {options.learning_rate}")
    storage.check_destinations([getattr(options, "text", None)], (options.model, options.plot, options.checkpoint))
    for path in filter(None, (options.model, options.checkpoint)):
        if path.suffix not in (".npz", ".safetensors"):
            raise ValueError(f"{path}: needed .npz or .safetensors, got {path.suffix or 'no suffix'}")
    if options.plot is not None:
        plots.check(options.plot)
    is_new = options.checkpoint is not None and not options.resume
    if is_new and os.path.lexists(options.checkpoint) and np.isnan(_checkpoint(options.checkpoint)["losses"]).any():
        remedy = "resume it (--resume), or remove the file to start anew"
        raise ValueError(f"{options.checkpoint}: this checkpoint is of a run that is not finished; {remedy}")


def train(run: Run, options: argparse.Namespace) -> int:
    """Train until it is done, or a signal to stop is received, and write the files; the exit code."""
    if options.resume:
        run.restore(options.checkpoint)
    began, first, code, of = time.perf_counter(), run.done, 0, len(run.losses)
    with terminal.stopping() as received:
        try:
            with terminal.progress() as show:
                while run.done < of and not received:
                    loss = run.step()
                    if options.checkpoint is not None and (run.done % options.every == 0 or run.done == of):
                        run.save(options.checkpoint)
                    show(Progress(run.done, of, loss, (run.done - first) / (time.perf_counter() - began)))
        except FloatingPointError as error:
            terminal.say(f"python -m models: {error}", sys.stderr)
            code = 1
        if received and code == 0 and options.checkpoint is not None:
            run.save(options.checkpoint)
        if code == 0 and options.model is not None:
            mg.save(run.saved, options.model)
        if options.plot is not None:
            plot(run.losses, options.plot)
    with terminal.work_is_done():
        terminal.say(f"{run.done} steps, {run.done - first} of them now, in {time.perf_counter() - began:.1f} s")
        written = [options.checkpoint, options.model][code:] if code == 0 else []
        for path in filter(None, [*written, options.plot]):
            terminal.say(f"saved {path}")
    return 128 + received[0] if received else code


def plot(losses: Array, path: Path) -> None:
    """Draw the loss over the steps, and its mean over a fiftieth of them."""
    losses = losses[np.isfinite(losses)]
    width = max(1, len(losses) // 50)
    figure = plots.figure()
    axes = figure.add_subplot(xlabel="step", ylabel="loss")
    axes.plot(np.arange(1, len(losses) + 1), losses, color="0.8")
    means = np.convolve(losses, np.full(width, 1 / width), "valid") if len(losses) else losses
    axes.plot(np.arange(width, width + len(means)), means, color="C0", label=f"mean of {width}")
    axes.legend()
    plots.save(figure, path)
