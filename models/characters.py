"""`python -m models text --text FILE`: a transformer, or a recurrent network, learns to write like a text."""

from __future__ import annotations

import argparse
import zlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import nn
from models import running, terminal

Array = Any
Generator = np.random.Generator


@dataclass
class Block:
    """Attention, then two linear layers, each after a norm and added to its input (Radford and others, 2019)."""

    before: nn.LayerNorm
    attention: nn.Attention
    between: nn.LayerNorm
    widen: nn.Linear
    narrow: nn.Linear

    def __call__(self, x: Array, mask: Array) -> Array:
        x = x + self.attention(self.before(x), mask)
        return x + self.narrow(mg.relu(self.widen(self.between(x))))


@dataclass
class Transformer:
    """From characters, by number, to the logits of the character after each.

    >>> model = Transformer.init(np.random.default_rng(0), 50, 16, d=8, heads=2, layers=1)
    >>> model(np.zeros((3, 16), int)).shape
    (3, 16, 50)
    """

    table: Any  # (characters, d); the last layer's weights too (Press and Wolf, EACL 2017)
    places: Any  # (longest context, d)
    mask: Any  # (longest context, longest context), true where a character may look
    blocks: list[Block]
    norm: nn.LayerNorm

    @classmethod
    def init(
        cls, rng: Generator, characters: int, T: int, d: int = 128, heads: int = 4, layers: int = 4, dtype: Any = "f4"
    ) -> Transformer:
        table, places = (nn.Embedding.init(rng, rows, d, dtype, std=0.02).table for rows in (characters, T))
        norm, linear = partial(nn.LayerNorm.init, d, dtype=dtype), partial(nn.Linear.init, rng, dtype=dtype)
        attention = partial(nn.Attention.init, rng, d, heads, dtype)
        blocks = [Block(norm(), attention(), norm(), linear(d, 4 * d), linear(4 * d, d)) for _ in range(layers)]
        return cls(table, places, np.tri(T, dtype=bool), blocks, norm())

    def __call__(self, ids: Array) -> Array:
        T = ids.shape[-1]
        x = mg.embedding(self.table, ids) + self.places[:T]
        for block in self.blocks:
            x = block(x, self.mask[:T, :T])
        return nn.Linear(self.table)(self.norm(x))


@dataclass
class Recurrent:
    """The same by h = tanh(W x + b + V h), a character at a time (Elman, Cognitive Science 14, 1990).

    >>> Recurrent.init(np.random.default_rng(0), 50, d=8)(np.zeros((3, 16), int)).shape
    (3, 16, 50)
    """

    table: Any  # (characters, d)
    input: nn.Linear
    state: nn.Linear

    @classmethod
    def init(cls, rng: Generator, characters: int, d: int = 128, dtype: Any = "f4") -> Recurrent:
        table = nn.Embedding.init(rng, characters, d, dtype, std=0.02).table
        state = nn.Linear.init(rng, d, d, bias=False, dtype=dtype, weights=nn.orthogonal)
        return cls(table, nn.Linear.init(rng, d, d, dtype=dtype), state)

    def __call__(self, ids: Array) -> Array:
        inputs = self.input(self.table)  # W x + b of each character there is, fewer than there are in the minibatch
        states = [mg.tanh(mg.embedding(inputs, ids[:, 0]))]
        for t in range(1, ids.shape[-1]):
            states.append(mg.tanh(mg.embedding(inputs, ids[:, t]) + self.state(states[-1])))
        return nn.Linear(self.table)(mg.stack(states, axis=1))


def loss(model: Any, ids: Array) -> Array:
    """The mean of -log p of every character but the first, of sequences (n, T + 1)."""
    return mg.cross_entropy(model(ids[:, :-1]), ids[:, 1:])


def write(model: Any, rng: Generator, ids: list[int], length: int, temperature: float = 0.8) -> list[int]:
    """Go on with a text: each character is drawn by p**(1 / temperature), from as many before it as were given."""
    model, written = mg.stop_gradient(model), list(ids)
    for _ in range(length):
        z = model(np.array([written[-len(ids) :]]))[0, -1].astype(float) / temperature
        written.append(int(rng.choice(len(z), p=mg.softmax(z))))
    return written[len(ids) :]


def prepare(options: argparse.Namespace, ids: Array, characters: int) -> running.Run:
    """A run that is about to start."""
    seed, size, T, lr = options.seed, options.batch, options.length, options.learning_rate
    rng = np.random.default_rng(seed)
    model: Any = Recurrent.init(rng, characters) if options.rnn else Transformer.init(rng, characters, T)

    def batch(step: int) -> tuple[Array]:
        starts = np.random.default_rng([seed, step]).integers(0, len(ids) - T, size)
        return (ids[starts[:, None] + np.arange(T + 1)],)

    settings = {"seed": seed, "batch": size, "length": T, "learning_rate": lr, "rnn": options.rnn}
    settings["text"] = zlib.crc32(ids.tobytes())
    schedule = mg.optim.cosine(lr, options.steps, warmup=options.steps // 20, final=lr / 10)
    return running.Run(model, loss, batch, mg.optim.AdamW(model, lr), schedule, options.steps, settings)


def options(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--text", metavar="FILE", type=Path, required=True, help="the text to learn from, in UTF-8")
    sub.add_argument("--rnn", action="store_true", help="a recurrent network in place of the transformer")
    sub.add_argument("--steps", type=int, default=1000, help="minibatches to train on")
    sub.add_argument("--length", type=int, default=64, help="characters that a prediction can look back on")
    running.options(sub, run=run, batch=16, learning_rate=0.001)


def run(options: argparse.Namespace) -> int:
    running.check(options)
    text = options.text.read_text(encoding="utf-8").encode("utf-32-le")
    codes, ids = np.unique(np.frombuffer(text, "<u4"), return_inverse=True)
    if len(ids) <= options.length:
        raise ValueError(f"{options.text}: needed more than {options.length} characters, got {len(ids)}; see --length")
    training = prepare(options, ids, len(codes))
    training.saved = {"alphabet": codes, "model": training.model}  # without the one, the other writes nothing
    terminal.say(f"training on {len(ids):,} characters, {len(codes)} different ones", flush=True)
    code = running.train(training, options)
    if code == 0:
        written = write(training.model, np.random.default_rng(options.seed), ids[: options.length].tolist(), 300)
        with terminal.work_is_done():
            for line in ["", *"".join(chr(codes[i]) for i in written).splitlines()]:
                terminal.say(line)
    return code
