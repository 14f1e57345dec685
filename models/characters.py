"""`python -m models text --text FILE`: a transformer, or a recurrent network, learns to write like a text."""

from __future__ import annotations

import argparse
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import nn
from models import running, terminal

Array = Any
Generator = np.random.Generator


def _table(rng: Generator, rows: int, d: int, dtype: Any, name: str) -> mg.Tensor:
    return mg.Tensor((0.02 * rng.standard_normal((rows, d))).astype(dtype), name=name)


@dataclass
class Block:
    """Attention, then two linear layers, each after a norm and added to its input (Radford and others, 2019)."""

    before: nn.LayerNorm
    attention: nn.Attention
    between: nn.LayerNorm
    widen: nn.Linear
    narrow: nn.Linear

    @classmethod
    def init(cls, rng: Generator, d: int, heads: int, dtype: Any) -> Block:
        before, between = (nn.LayerNorm.init(d, dtype=dtype) for _ in range(2))
        widen, narrow = (nn.Linear.init(rng, n, m, dtype=dtype) for n, m in ((d, 4 * d), (4 * d, d)))
        return cls(before, nn.Attention.init(rng, d, heads, dtype), between, widen, narrow)

    def __call__(self, x: Array, mask: Array) -> Array:
        x = x + self.attention(self.before(x), mask)
        return x + self.narrow(mg.relu(self.widen(self.between(x))))


@dataclass
class Transformer:
    """From characters, by number, to the logits of the character after each.

    >>> model = Transformer.init(np.random.default_rng(0), 50, 16, d=8, heads=2, layers=1)
    >>> model(np.zeros((3, 16), int)).shape
    (3, 16, 50)

    The table of the characters is the last layer's weights too (Press and Wolf, EACL 2017).
    """

    table: Any  # (characters, d)
    places: Any  # (longest context, d)
    mask: Any  # (longest context, longest context), true where a character may look
    blocks: list[Block]
    norm: nn.LayerNorm

    @classmethod
    def init(
        cls, rng: Generator, characters: int, length: int, d: int = 128, heads: int = 4, layers: int = 4,
        dtype: Any = np.float32,
    ) -> Transformer:  # fmt: skip
        tables = _table(rng, characters, d, dtype, "table"), _table(rng, length, d, dtype, "places")
        blocks = [Block.init(rng, d, heads, dtype) for _ in range(layers)]
        return cls(*tables, np.tri(length, dtype=bool), blocks, nn.LayerNorm.init(d, dtype=dtype))

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
    def init(cls, rng: Generator, characters: int, d: int = 128, dtype: Any = np.float32) -> Recurrent:
        state = nn.Linear.init(rng, d, d, bias=False, dtype=dtype, weights=nn.orthogonal)
        return cls(_table(rng, characters, d, dtype, "table"), nn.Linear.init(rng, d, d, dtype=dtype), state)

    def __call__(self, ids: Array) -> Array:
        h: Any = None
        states: list[Any] = []
        for t in range(ids.shape[-1]):
            x = self.input(mg.embedding(self.table, ids[:, t]))
            h = mg.tanh(x if h is None else x + self.state(h))
            states.append(h)
        return nn.Linear(self.table)(mg.stack(states, axis=1))


def loss(model: Any, ids: Array) -> Array:
    """The mean of -log p of every character but the first, of sequences (n, T + 1)."""
    return mg.cross_entropy(model(ids[:, :-1]), ids[:, 1:])


def write(model: Any, rng: Generator, ids: list[int], length: int, context: int, temperature: float) -> list[int]:
    """Go on with a text, character by character, each drawn by its probability."""
    model, ids = mg.stop_gradient(model), list(ids)
    for _ in range(length):
        z = model(np.array([ids[-context:]]))[0, -1].astype(float) / temperature
        ids.append(int(rng.choice(len(z), p=mg.softmax(z))))
    return ids[-length:]


def prepare(options: argparse.Namespace, ids: Array, characters: int) -> running.Run:
    """A run that is about to start."""
    seed, size, T, lr = options.seed, options.batch, options.length, options.learning_rate
    rng = np.random.default_rng(seed)
    model = Recurrent.init(rng, characters) if options.rnn else Transformer.init(rng, characters, T)

    def batch(step: int) -> tuple[Array]:
        starts = np.random.default_rng([seed, step]).integers(0, len(ids) - T, size)
        return (ids[starts[:, None] + np.arange(T + 1)],)

    settings = {"seed": seed, "batch": size, "length": T, "learning_rate": lr, "rnn": options.rnn}
    settings |= {"text": zlib.crc32(ids.tobytes())}
    schedule = mg.optim.cosine(lr, options.steps, warmup=options.steps // 20, final=lr / 10)
    return running.Run(model, loss, batch, mg.optim.AdamW(model, lr), schedule, options.steps, settings)


def options(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--text", metavar="FILE", type=Path, required=True, help="the text to learn from, in UTF-8")
    sub.add_argument("--rnn", action="store_true", help="a recurrent network in place of the transformer")
    sub.add_argument("--steps", type=int, default=1000, help="minibatches to train on")
    sub.add_argument("--length", type=int, default=64, help="characters that a prediction can look back on")
    sub.add_argument("--write", metavar="N", type=int, default=300, help="characters to write afterwards")
    sub.add_argument("--temperature", type=float, default=0.8, help="the lower, the likelier the characters written")
    running.options(sub)
    sub.set_defaults(run=run, batch=16, learning_rate=0.001)


def run(options: argparse.Namespace) -> int:
    running.check(options)
    if options.temperature <= 0:
        raise ValueError(f"--temperature needs to be above 0, got {options.temperature}")
    text = options.text.read_text(encoding="utf-8")
    alphabet = sorted(set(text))
    number = {character: i for i, character in enumerate(alphabet)}
    ids = np.array([number[character] for character in text], dtype=np.int64)
    if len(ids) <= options.length:
        raise ValueError(f"{options.text}: needed more than {options.length} characters, got {len(ids)}; see --length")
    training = prepare(options, ids, len(alphabet))
    terminal.say(f"training on {len(ids):,} characters, {len(alphabet)} different ones", flush=True)
    code = running.train(training, options)
    if code == 0 and options.write:
        rng, start = np.random.default_rng(options.seed), ids[: options.length].tolist()
        written = write(training.model, rng, start, options.write, options.length, options.temperature)
        with terminal.work_is_done():
            terminal.say()
            for line in "".join(alphabet[i] for i in written).splitlines():
                terminal.say(line)
    return code
