"""The command line: python -m models [train | evaluate | tag | compare | grade | draw | words | digits | text].

Exit codes:
    0: all was done.
    1: the numbers are not right: gradients disagree, a submission is wrong, or training diverged (the best model before
        that is saved).
    2: a mistake or a failure, which stderr explains.
    129, 130, 143: stopped by SIGHUP, by Ctrl-C or by SIGTERM. `train` saves the best model so far, and its checkpoint,
        before that; a second Ctrl-C stops it at once.
    141: whoever read the output left before it was complete, as in `python -m models | head -1`. `train` and `compare`
        do their work first, so for them this is no failure. Nor is it one for `train` that its output cannot be written
        at all (a full disk, a terminal that was closed).
"""

from __future__ import annotations

import os
import sys

if __name__ == "__main__" and sys.argv[1:2] not in (["words"], ["digits"], ["text"]):
    # The tagger's products of matrices are small: threads would wait for one another longer than they compute.
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when NumPy is imported

import argparse
import json
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import fields
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Never

import numpy as np

import minigrad as mg
from minigrad import files
from minigrad.ranks import RankFailed, together
from minigrad.text import printable
from models import (
    characters,
    conll,
    digits,
    grade,
    picture,
    processes,
    slides,
    storage,
    terminal,
    text,
    vectors_command,
)
from models.device import CPU, Device, named
from models.tagger import Settings, Tagger, evaluate
from models.training import OPTIMIZERS, Checkpoint, Diverged, Progress, Recipe, compile_option, train
from models.vectors import Vectors
from models.window import hinge_by_hand, score

SENTENCES = (
    "Not all museums in Paris are amazing",
    "The ferry from Cape Town to Rio de Janeiro takes three weeks",
    "My aunt kept her best china in Turkey",
    "Florence Baker roasted a turkey for the Bank of England",
)


LONGEST_LINE = 10_000_000  # characters of text to tag: an endless line would take all memory


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command, and return its exit code; the docstring of this module lists them."""
    with terminal.streams():
        return _run(argv)


def _run(argv: Sequence[str] | None) -> int:
    try:
        with warnings.catch_warnings():
            warnings.showwarning = print_warning
            options = together(processes.world(), parser().parse_args, argv)
            if sys.stdout is None:
                raise ValueError("needed a place for the output, but standard output is closed; send it to a file")
            if processes.count() > 1 and options.run is not run_train:
                raise ValueError(f"mpiexec started {processes.count()} processes, but only train can share its work")
            code = options.run(options) or 0
            sys.stdout.flush()
            return code
    except BrokenPipeError:
        return 141
    except (ValueError, OSError, OverflowError, RankFailed) as error:
        complain(error)
        return 2
    except MemoryError as error:
        complain(f"not enough memory for this size or corpus; {error}".rstrip("; "))
        return 2
    except KeyboardInterrupt:
        terminal.say("interrupted", sys.stderr)
        return 130


def complain(problem: Any) -> None:
    if processes.is_first():  # which is told of the errors of others
        terminal.say(f"python -m models: {problem}", sys.stderr)


def print_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    complain(message)


def parser() -> argparse.ArgumentParser:
    top = Parser(
        prog="python -m models",
        description="Find locations in text with the slides' window scorer. With no command: the whole story on the "
        "sentences that come with it, in seconds.",
    )
    top.set_defaults(run=story)
    names = "train,evaluate,tag,compare,grade,draw,words,digits,text"
    commands = top.add_subparsers(title="commands", metavar=f"{{{names}}}")

    sub = commands.add_parser(
        "train",
        help="train a tagger on a corpus and save it",
        formatter_class=Defaults,
        epilog="Ctrl-C, SIGTERM and SIGHUP end training after the step that is running: the best model so far and the "
        "checkpoint are saved, and the exit code is 130, 143 or 129. A second Ctrl-C stops at once. The exit code is 1 "
        "where the loss is no longer finite (the best model before that is saved), 2 where OUT.npz was not written.",
    )
    sub.add_argument(
        "--train", metavar="FILE", type=Path, help="training corpus, CoNLL columns; (default: the embedded one)"
    )
    sub.add_argument(
        "--dev",
        metavar="FILE",
        type=Path,
        help="corpus whose F1 chooses the epoch; (default: a part of the training corpus)",
    )
    sub.add_argument("--model", metavar="OUT.npz", type=Path, required=True, help="where the model goes")
    sub.add_argument("--vectors", metavar="FILE", type=Path, help="start from word vectors: .txt, .bin, .npz")
    sub.add_argument("--entity", default="LOC", help="the entity type to find")
    sub.add_argument("--radius", type=int, help="words to each side of the centre")
    sub.add_argument("--dim", type=int, help="length of a word vector")
    sub.add_argument("--hidden", type=int, help="hidden units")
    sub.add_argument("--case-dim", type=int, help="length of a case vector")
    sub.add_argument(
        "--no-case-feature", dest="case_feature", action="store_false", help="the slides' plain model: words only"
    )
    sub.add_argument("--min-count", type=int, help="rarer words are the unknown word")
    sub.add_argument("--epochs", type=int, help="the maximum number of passes over the true windows")
    sub.add_argument("--patience", type=int, help="stop after so many epochs without a better F1")
    sub.add_argument("--batch", type=int, help="true windows in a minibatch")
    sub.add_argument("--corrupt", type=int, help="corrupt windows for each true one")
    sub.add_argument("--optimizer", choices=OPTIMIZERS, help="how parameters move")
    sub.add_argument("--learning-rate", type=float, help="(default: depends on the optimizer)")
    sub.add_argument("--word-dropout", type=float, help="a word seen n times is unknown in a / (a + n) of its windows")
    sub.add_argument("--held-out", type=float, help="fraction of the training corpus held out to choose the threshold")
    sub.add_argument("--average", type=float, help="weight of an epoch in the running mean of the parameters")
    sub.add_argument("--seed", type=int, help="the same seed trains the same model")
    compile_option(sub)
    sub.add_argument("--device", choices=["cpu", "gpu"], default="cpu", help="gpu: an NVIDIA GPU, by CuPy")
    sub.add_argument("--checkpoint", metavar="FILE", type=Path, help="save the run there, to resume it")
    sub.add_argument("--every", metavar="N", type=int, help="steps between checkpoints (default: an epoch)")
    sub.add_argument(
        "--resume", action="store_true", help="go on with the run in --checkpoint, as if it had not been interrupted"
    )
    sub.set_defaults(run=run_train, **{f.name: f.default for f in (*fields(Settings), *fields(Recipe))})

    sub = commands.add_parser("evaluate", help="precision, recall and F1 of a model on a corpus")
    sub.add_argument("--model", metavar="FILE.npz", type=Path, required=True, help="a model that train saved")
    sub.add_argument(
        "--corpus", metavar="FILE", type=Path, help="CoNLL columns (default: the embedded development sentences)"
    )
    sub.add_argument("--json", action="store_true", help="print one JSON object")
    sub.set_defaults(run=run_evaluate)

    sub = commands.add_parser("tag", help="mark the locations in text")
    sub.add_argument("--model", metavar="FILE.npz", type=Path, required=True, help="a model that train saved")
    sub.add_argument(
        "text",
        nargs="*",
        help="a sentence, or several, each in quotes (default: lines from standard input)",
    )
    sub.set_defaults(run=run_tag)

    sub = commands.add_parser(
        "compare", help="the slides' gradients by hand, by autograd and numerically; exit code 1 if any disagree"
    )
    sub.add_argument("--model", metavar="FILE.npz", type=Path, help="a trained model (default: one trained at once)")
    sub.add_argument("--html", metavar="FILE", type=Path, help="write the tables as a page too")
    sub.add_argument("--draws", type=int, default=10, help="random parameters for each formula (default: 10)")
    sub.add_argument("--seed", type=int, default=0, help="of the random parameters (default: 0)")
    sub.set_defaults(run=run_compare)

    about = "compare and mark the gradients by hand in each file of a folder; exit code 1 if any are wrong"
    grade.options(commands.add_parser("grade", help=about))

    sub = commands.add_parser(
        "draw", help="draw the graph of the slides' two windows, and replay backpropagation on it"
    )
    sub.add_argument(
        "--model", metavar="FILE.npz", default="fresh", help="a model that train saved (default: a new one)"
    )
    sub.add_argument(
        "--out", metavar="FILE", type=Path, help="the picture: .svg, .png, .pdf, .gv, or .html for the page"
    )
    sub.add_argument("--html", metavar="FILE", type=Path, help="the page that steps through backpropagation")
    sub.add_argument(
        "--steps", metavar="N", type=int, help="with --html: N steps of gradient descent on the windows, at most 100"
    )
    sub.set_defaults(run=run_draw)

    about = "train word vectors on a text, or read them; save, query and draw them"
    vectors_command.options(commands.add_parser("words", help=about, formatter_class=Defaults))
    about = "train a convolutional network on scikit-learn's handwritten digits, and test it"
    digits.options(commands.add_parser("digits", help=about, formatter_class=Defaults))
    about = "train a transformer or a recurrent network on the characters of a text, and let it write"
    characters.options(commands.add_parser("text", help=about, formatter_class=Defaults))
    return top


class Parser(argparse.ArgumentParser):
    """Shows the words it complains of, whatever they contain."""

    def exit(self, status: int = 0, message: str | None = None) -> Never:
        if message:
            terminal.say(message.rstrip("\n"), sys.stderr)
        super().exit(status)


class Defaults(argparse.ArgumentDefaultsHelpFormatter):
    """Shows defaults, once, and only where there is one."""

    def _get_help_string(self, action: argparse.Action) -> str:
        text = action.help or ""
        if "(default" in text or action.default in (None, argparse.SUPPRESS) or action.nargs == 0:
            return text
        return super()._get_help_string(action) or text


def chosen(kind: type, options: argparse.Namespace) -> Any:
    """The options that make up a Settings or a Recipe."""
    return kind(**{f.name: getattr(options, f.name) for f in fields(kind)})


def corpus(path: Path | None, embedded: str) -> list[conll.Sentence]:
    return conll.embedded(embedded) if path is None else conll.read(path)


def run_train(options: argparse.Namespace) -> int:
    is_first, comm = processes.is_first(), processes.world()
    if not is_first:
        terminal.give_up(sys.stdout)

    def prepared() -> tuple[Callable[..., tuple[Tagger, str]], Sequence[conll.Sentence] | None]:
        settings, recipe = chosen(Settings, options), chosen(Recipe, options)
        device = named(options.device)
        device.check(recipe.compile, comm)
        checkpoint = Checkpoint.chosen(options.checkpoint, options.every, options.resume)
        inputs, outputs = (options.train, options.dev, options.vectors), (options.model, options.checkpoint)
        if is_first:
            storage.check_destinations(inputs, outputs)
        sentences = corpus(options.train, "train")
        development = None if options.dev is None else conll.read(options.dev)
        pretrained = None if options.vectors is None else Vectors.load(options.vectors)
        data = sentences, development, settings, recipe
        return partial(trained, *data, checkpoint=checkpoint, vectors=pretrained, comm=comm, device=device), development

    training, development = together(comm, prepared)
    code, problem = 0, None
    with terminal.stopping(is_first) as received:
        try:
            tagger, summary = training(received=received)
        except Diverged as error:
            if error.best is None:
                complain(error)
                return 1
            tagger, summary, code, problem = error.best, "training diverged", 1, error
        together(
            comm, save, tagger, options.model if is_first else None
        )  # all wait: a late signal to one would end all
        signals = processes.of_all(comm, received)
    if problem is not None:
        complain(problem)
    with terminal.work_is_done(OSError):
        terminal.say(summary)
        terminal.say(f"saved {options.model}")
        if development is not None and not signals and is_first:
            print_rates("development", tagger, development)
    return 128 + signals[0] if signals else code


def save(tagger: Tagger, path: Path | None) -> None:
    """Save a model, and where that fails, somewhere else, which the error names; nothing without a path."""
    if path is None:
        return
    try:
        tagger.save(path)
    except OSError as error:
        place = rescued(tagger)
        where = "and no other place could be" if place is None else f"the model is in {place}"
        raise OSError(f"{path} could not be written, {where} ({error})") from error


def rescued(tagger: Tagger) -> Path | None:
    """Where a model was saved that its own place did not take: here, at home, or with the temporary files."""
    folders: tuple[Callable[[], str], ...] = os.getcwd, lambda: os.path.expanduser("~"), tempfile.gettempdir
    for folder in folders:
        with suppress(OSError):
            place = Path(folder(), f"model-{os.urandom(4).hex()}.npz")
            tagger.save(place)
            return place
    return None


def trained(
    sentences: Sequence[conll.Sentence],
    development: Sequence[conll.Sentence] | None,
    settings: Settings,
    recipe: Recipe,
    received: list[int],
    checkpoint: Checkpoint | None = None,
    vectors: Vectors | None = None,
    watch: Callable[[Progress], None] = lambda progress: None,
    file: Any = None,
    comm: Any = None,
    device: Device = CPU,
) -> tuple[Tagger, str]:
    """Train until it is done, or a signal to stop is received by any process; the model, and how it went."""
    tokens = sum(len(s.tokens) for s in sentences)
    with suppress(OSError):  # the training is worth more than this line
        terminal.say(f"training on {len(sentences)} sentences, {tokens} tokens", flush=True)
    began = time.perf_counter()
    with terminal.progress(file) if processes.is_first() else nullcontext(lambda now: None) as show:

        def report(now: Progress) -> None:
            show(now)
            watch(now)
            stop_if(processes.of_all(comm, received))

        tagger = train(sentences, development, settings, recipe, report, checkpoint, vectors, comm, device)
    return tagger, f"trained in {time.perf_counter() - began:.1f} s, {len(tagger.vocabulary)} words"


def stop_if(received: Sequence[int]) -> None:
    if received:
        raise KeyboardInterrupt


def run_evaluate(options: argparse.Namespace) -> None:
    tagger = Tagger.load(options.model)
    sentences = corpus(options.corpus, "dev")
    if not any(conll.spans(s, tagger.settings.entity) for s in sentences):
        raise ValueError(
            f"evaluate needs a corpus with {tagger.settings.entity}, got none in {options.corpus or 'the embedded one'}"
        )
    if options.json:
        rates = evaluate(tagger, sentences)
        print(json.dumps({name: rate.to_dict() for name, rate in rates.items()}))
    else:
        print_rates(options.corpus or "embedded development sentences", tagger, sentences)


def print_rates(title: Any, tagger: Tagger, sentences: Sequence[conll.Sentence]) -> None:
    rates = evaluate(tagger, sentences)
    cells = [[f"by {name}", *(f"{v:.3f}" for v in rate.to_dict().values())] for name, rate in rates.items()]
    terminal.table(f"{tagger.settings.entity} in {title}", ["", "precision", "recall", "F1"], cells)


def run_tag(options: argparse.Namespace) -> None:
    tagger = Tagger.load(options.model)
    for line in lines_of(options.text) if options.text else lines_of_input():
        line = marked(tagger, line)
        print(printable(line) if sys.stdout.isatty() else line)  # in a file or a pipe it stays as it is


def lines_of(words: Sequence[str]) -> list[str]:
    """Arguments as lines: a sentence each where one was quoted, else the words of one."""
    sentences = words if any(len(conll.split(word)) > 1 for word in words) else [" ".join(words)]
    return [line for sentence in sentences for line in conll.LINE_END.split(sentence)]


def lines_of_input() -> Iterator[str]:
    if sys.stdin is None:
        raise ValueError(
            "tag needs text, but standard input is closed; pipe the text in, or write it after the options"
        )
    while line := sys.stdin.readline(LONGEST_LINE):
        if len(line) == LONGEST_LINE:
            raise ValueError(f"tag needs lines of less than {LONGEST_LINE:,} characters, got a longer one")
        yield line.removesuffix("\n")


def run_compare(options: argparse.Namespace) -> int:
    if options.draws < 1:
        raise ValueError(f"--draws needs to be at least 1, got {options.draws}")
    if options.html is not None and not options.html.absolute().parent.is_dir():
        raise ValueError(f"--html needs a file in a folder that exists, got {options.html}")
    if options.model is None:
        small = Settings(dim=4, hidden=8, case_feature=False)  # the slides' sizes
        with terminal.stopping() as received:
            tagger, _ = trained(conll.embedded("train"), None, small, Recipe(epochs=10), received=received)
        if received:
            return 128 + received[0]
    else:
        tagger = Tagger.load(options.model)
    tables: dict[str, list[slides.Line]] = {
        f"Random parameters, {options.draws} draws": [],
        "Trained parameters, windows of the development sentences": [],
    }
    with terminal.progress() as show:
        for i, d in enumerate(slides.DERIVATIONS, 1):
            random = islice(slides.random_arguments(d, options.seed), options.draws)
            for found, many in zip(tables.values(), (random, slides.trained_arguments(tagger, d, seed=options.seed))):
                found += slides.lines(d, many)
            show(terminal.Counted(i, len(slides.DERIVATIONS), d.title))
    wrong = [line.formula for lines in tables.values() for line in lines if not line.as_claimed]
    if options.html is not None:
        with files.replacing(options.html) as file:
            file.write(slides.page(tables).encode())
    if wrong:
        terminal.say(f"DISAGREE: {'; '.join(wrong)}", sys.stderr)
    with terminal.work_is_done():
        print_tables(tables)
        if options.html is not None:
            terminal.say(f"the same as a page: {options.html}")
    return 1 if wrong else 0


def print_tables(tables: dict[str, list[slides.Line]]) -> None:
    for title, lines in tables.items():
        cells = [
            [terminal.plain(line.formula), str(line.shape), f"{line.ulp:.2g}", f"{line.numeric_ulp:.2g}", line.remark]
            for line in lines
        ]
        terminal.table(title, ["", "shape", "by hand", "complex step", "verdict"], cells)
        terminal.say()
    terminal.say("distances from autograd, in ulp (units in the last place) of the magnitude of the terms summed")


def marked(tagger: Tagger, line: str) -> str:
    """A line of text with its locations in brackets, each with its highest score."""
    places = text.tokens(line, tagger.vocabulary.number)
    tokens = [line[start:stop] for start, stop in places]
    if not tokens:
        return ""
    s = tagger.score(tagger.windows([tokens]))
    parts, at = [], 0
    for first, beyond in tagger.spans(tokens):
        start, stop = places[first][0], places[beyond - 1][1]
        parts += [line[at:start], f"[{line[start:stop]}]({max(s[first:beyond]) - tagger.threshold:+.2f})"]
        at = stop
    return "".join([*parts, line[at:]])


def story(options: argparse.Namespace) -> int:
    """Train on the embedded corpus, evaluate, tag, compare gradients, derive one as source, draw."""
    terminal.say("The window scorer of the slides Neural Networks basics, by Valentin Malykh:", flush=True)
    terminal.say(terminal.plain("the score s = Uᵀf(Wx + b), and the max-margin loss J = max(0, 1 − s + s_c)"))
    epochs: list[Progress] = []

    def keep(now: Progress) -> None:
        if now.done == now.of:
            epochs.append(now)

    with terminal.stopping() as received:
        sentences = conll.embedded("train")
        tagger, summary = trained(sentences, None, Settings(), Recipe(), received, watch=keep, file=sys.stdout)
    if received:
        return 128 + received[0]
    terminal.say(summary)
    terminal.say()
    loss = "mean of J by epoch, log scale"
    rates = {loss: [now.loss for now in epochs], "F1 on sentences held out": [now.epoch_f1 for now in epochs]}
    terminal.plot(rates, logarithmic=[loss])
    terminal.say()
    print_rates("development sentences", tagger, conll.embedded("dev"))
    terminal.say()
    terminal.say("Locations, with how far their score is above the threshold")
    for sentence in SENTENCES:
        terminal.say("  " + marked(tagger, sentence))
    terminal.say()
    tensors = picture.variables(picture.fresh())
    J = picture.pair(*tensors)
    J.backward()
    terminal.say("A new model of the slides' sizes: five words of four numbers, eight hidden units")
    terminal.say()
    print_gradients(tensors)
    terminal.say()
    terminal.say("The gradient of the score as NumPy source: print(mg.derive(score, U, W, b, x))")
    for line in str(mg.derive(score, *(t.data for t in tensors[:4]))).splitlines():
        terminal.say("  " + terminal.plain(line))
    terminal.say()
    save_picture(J, tensors, Path("window.svg"))
    try:
        if save_picture(J, tensors, Path("window.html")):
            terminal.say("  (open it in a browser, and step through backpropagation)")
    except ValueError as missing:
        terminal.say(f"window.html was not written: {missing}")
    terminal.say()
    terminal.say("next: every formula of the slides, compared: python -m models compare")
    terminal.say("next: derive the gradients yourself, step by step: docs/index.md")
    terminal.say("next: train a tagger and keep it: python -m models train --model model.npz")
    return 0


def print_gradients(tensors: Sequence[mg.Tensor]) -> None:
    """The gradients of J of two windows, each beside the slides' formula for it."""
    derivation = next(d for d in slides.DERIVATIONS if d.by_hand is hinge_by_hand)
    rows = []
    arguments = dict(zip(derivation.formulas, (t.data for t in tensors)))
    for t, row in zip(tensors, derivation.compare(arguments)):
        formula, largest = terminal.plain(derivation.formulas[row.argument]), np.max(np.abs(t.grad))
        rows.append([formula, str(row.shape), f"{largest:.6f}", f"{row.verdict}, {row.ulp:.2f} ulp"])
    title = terminal.plain(f"Gradients: {derivation.value}")
    terminal.table(title, ["formula", "shape", "largest", "by hand and autograd"], rows)
    terminal.say("  largest: the element farthest from 0; ulp (unit in the last place): the gap")
    terminal.say("  between 1 and the next float64, 2.2e-16, times the size of the terms summed")


def save_picture(J: mg.Tensor | Iterator[mg.Tensor], tensors: Sequence[mg.Tensor], path: Path) -> bool:
    """Write a picture of two windows; where it cannot be drawn, `picture.save` says so."""
    *_, x, x_c = tensors
    is_drawn = Path(picture.save(J, [x, x_c], path)) == path
    if is_drawn:
        terminal.say(f"saved {path}")
    return is_drawn


def run_draw(options: argparse.Namespace) -> None:
    tensors = picture.variables(picture.fresh() if options.model == "fresh" else Tagger.load(options.model))
    if options.steps is not None and not (options.html and options.steps > 0):
        raise ValueError(f"--steps needs a number above 0 and a page, --html, got {options.steps}, {options.html}")
    J = picture.pair(*tensors)
    J.backward()
    if options.out or not options.html:
        save_picture(J, tensors, options.out or Path("window.svg"))
    if options.html:
        save_picture(picture.trained(tensors, options.steps) if options.steps else J, tensors, options.html)


if __name__ == "__main__":
    sys.exit(main())
