"""Word vectors: the loss and its gradients, the sampling, training, files, the command line."""

import os
import signal
from dataclasses import replace
from importlib import import_module
from itertools import pairwise

import numpy as np
import pytest

import minigrad as mg
from minigrad.sparse import RowSparse
from models import conll, slides, words
from models import training as tag
from models.__main__ import main
from models.tagger import Settings
from models.training import Checkpoint, Run
from models.training import Recipe as TaggerRecipe
from models.vectors import Vectors
from models.vectors_command import Run as WordRun
from models.vectors_command import train
from models.words import Blocks, Corpus, Recipe, kept_places, loss, minibatches, objective

SMALL = Recipe(dim=8, min_count=1, epochs=3, length=8, blocks=2, shared=4)
rng = np.random.default_rng(0)
TEXT = [list(rng.choice(list("abcdefgh"), 12)) for _ in range(40)]
CORPUS = Corpus(TEXT)


def tables(n=8, d=4, dtype=float):
    return [np.random.default_rng(i).normal(size=(n, d)).astype(dtype) for i in range(2)]


# The loss and its gradients


def test_the_loss_is_the_formula():
    rng = np.random.default_rng(1)
    v, u, U = rng.normal(size=4), rng.normal(size=4), rng.normal(size=(3, 4))
    sigma = lambda x: 1 / (1 + np.exp(-x))  # noqa: E731
    expected = -np.log(sigma(u @ v)) - sum(np.log(sigma(-u_k @ v)) for u_k in U)
    np.testing.assert_allclose(loss(v, u, U), expected, rtol=1e-14)
    np.testing.assert_allclose(slides.negative_sampling(v, u, U), expected, rtol=1e-14)
    comparison = mg.compare(loss, words.loss_by_hand, v, u, U)
    assert [comparison[name].verdict for name in ("v_c", "u_o", "U_k")] == ["equal"] * 3


def test_the_gradients_of_blocks_are_those_by_hand_and_the_numeric_ones():
    f = lambda V, U: objective(V, U, slides.BLOCKS)  # noqa: E731
    V, U = tables()
    np.testing.assert_allclose(f(V[:6], U[:6]), slides.skip_gram(V[:6], U[:6]), rtol=1e-14)
    assert mg.gradcheck(f, V, U).wrong == []
    by_hand = words.objective_by_hand(V, U, slides.BLOCKS)
    for name, g in zip("VU", mg.grad(f, argnums=(0, 1))(V, U)):
        np.testing.assert_allclose(g, by_hand[name], rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", ["v_c", "u_o", "U_k"])
def test_a_fault_in_a_gradient_by_hand_is_found(name):
    rng = np.random.default_rng(2)
    arguments = rng.normal(size=4), rng.normal(size=4), rng.normal(size=(3, 4))

    def faulty(*arguments):
        gradients = words.loss_by_hand(*arguments)
        return gradients | {name: gradients[name] * 1.001}

    assert mg.compare(loss, faulty, *arguments)[name].verdict != "equal"


def test_the_objective_is_the_sum_of_the_losses_of_its_pairs():
    """Where every pair has as many negatives as are shared, and they are the same."""
    V, U = tables()
    nearby, negatives = [[5, 1, 2, 6]], [[3, 7]]
    pairs = np.array([[[1, 0, 1, 0], [0, 1, 0, 1]]], float)
    blocks = Blocks(np.array([[1, 2]]), np.array(nearby), np.array(negatives), pairs, pairs.sum(2, keepdims=True))
    each = [(1, 5), (1, 2), (2, 1), (2, 6)]
    expected = sum(loss(V[c], U[o], U[negatives[0]]) for c, o in each)
    np.testing.assert_allclose(objective(V, U, blocks), expected, rtol=1e-14)


def test_both_gradients_are_row_sparse():
    V, U = (mg.Tensor(a) for a in tables(n=100))
    objective(V, U, slides.BLOCKS).backward()
    assert isinstance(V.grad, RowSparse) and isinstance(U.grad, RowSparse)
    assert V.grad.indices.tolist() == [0, 1, 2, 3] and U.grad.indices.tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("d", [4, 50])
def test_a_compiled_step_of_merged_rows_equals_the_eager_one(d):
    """The number of merged rows is not known while SGD's step is traced."""
    recipe = replace(SMALL, dim=d, length=16, blocks=8, shared=16)
    eager = train(CORPUS, recipe)
    np.testing.assert_allclose(train(CORPUS, replace(recipe, compile="numpy")).V, eager.V, rtol=0, atol=1e-6)


# Sampling


def test_pairs_are_the_words_within_a_drawn_window_of_the_same_sentence():
    corpus = Corpus([[f"w{chr(97 + i)}{s}" * 2 for i in range(9)] for s in "abc"])
    recipe = replace(SMALL, window=3, subsample=1e9)
    place = {int(n): i for i, n in enumerate(corpus.numbers)}  # each word is at one place
    seen: dict[int, set[int]] = {}
    for blocks in minibatches(corpus, recipe, np.random.default_rng(0))[1]:
        for g, t, j in np.argwhere(blocks.pairs):
            c, o = place[int(blocks.centres[g, t])], place[int(blocks.nearby[g, j])]
            assert c // 9 == o // 9
            seen.setdefault(c, set()).add(o - c)
        np.testing.assert_allclose(blocks.shares, blocks.pairs.sum(2, keepdims=True) * 5 / 4)
    assert sorted(seen) == list(range(27))
    reaches = set()
    for c, offsets in seen.items():
        reach = max(map(abs, offsets))
        reaches.add(reach)
        inside = {o for o in range(-reach, reach + 1) if o and 0 <= c % 9 + o < 9}
        assert offsets == inside
    assert reaches == {1, 2, 3}


def test_an_epoch_has_as_many_minibatches_as_it_says_and_all_of_one_shape():
    count, epoch = minibatches(CORPUS, SMALL, np.random.default_rng(0))
    shapes = [[a.shape for a in blocks] for blocks in epoch]
    assert count == len(shapes) > 1 and all(a == b for a, b in pairwise(shapes))


def test_frequent_words_are_subsampled():
    corpus = Corpus([["often"] * 9_000 + ["rare"] * 1_000])
    kept = corpus.numbers[kept_places(corpus, 0.1, np.random.default_rng(0))]
    ratio = 0.1 / 0.9
    assert abs(np.sum(kept == 0) / 9_000 - (np.sqrt(ratio) + ratio)) < 0.02
    assert np.sum(kept == 1) == 1_000


def test_negatives_are_drawn_from_the_counts_to_the_power_of_three_quarters():
    corpus = Corpus([["a"] * 800 + ["b"] * 150 + ["c"] * 50])
    recipe = replace(SMALL, shared=200, subsample=1e9)
    drawn = np.concatenate([b.negatives.ravel() for b in minibatches(corpus, recipe, np.random.default_rng(0))[1]])
    expected = corpus.counts**0.75 / np.sum(corpus.counts**0.75)
    np.testing.assert_allclose(np.bincount(drawn) / drawn.size, expected, atol=0.015)


# Training


def test_words_of_the_same_company_come_near_each_other():
    rng = np.random.default_rng(3)
    halves = "abcdefgh", "stuvwxyz"
    corpus = Corpus([list(rng.choice(list(halves[i % 2]), 10)) for i in range(400)])
    found = train(corpus, replace(SMALL, epochs=10, subsample=1.0))
    for half in halves:
        assert {word for word, _ in found.nearest(half[0], 7)} == set(half[1:])


def test_training_is_repeatable_and_resumes_to_the_bit(tmp_path):
    whole, path = train(CORPUS, SMALL), tmp_path / "run.npz"

    def stop(now):
        assert np.isfinite(now.loss)
        if (now.epoch, now.done) == (2, 1):
            raise KeyboardInterrupt

    part = train(CORPUS, SMALL, stop, Checkpoint(path))
    assert not np.array_equal(part.V, whole.V)
    with pytest.raises(ValueError, match="not finished"):
        train(CORPUS, SMALL, checkpoint=Checkpoint(path))
    for other in replace(SMALL, window=2), replace(SMALL, seed=1):
        with pytest.raises(ValueError, match=r"another (window|seed)"):
            train(CORPUS, other, checkpoint=Checkpoint(path, resume=True))
    with pytest.raises(ValueError, match="another corpus"):
        train(Corpus(TEXT[::-1]), SMALL, checkpoint=Checkpoint(path, resume=True))
    losses = []
    found = train(CORPUS, SMALL, lambda now: losses.append(now.loss), Checkpoint(path, resume=True))
    assert np.array_equal(found.V, whole.V) and np.isfinite(losses).all()
    train(CORPUS, SMALL, checkpoint=Checkpoint(path))  # the run in the file is finished


def test_the_learning_rate_decreases_to_a_250th():
    run, rates = WordRun(CORPUS, SMALL), []
    for _ in run.steps():
        rates.append(run.optimizer.lr)
    assert rates[0] == 0.025 and rates == sorted(rates, reverse=True) and 0.0001 < rates[-1] < 0.0025


@pytest.mark.parametrize("command", ["words", "train"])
def test_compile_is_told_the_number_of_steps(command, monkeypatch):
    """By which it chooses whether numba is worth its seconds."""
    told, made = [], 0

    def compile(step, *, backend, calls):
        def counted(*batch):
            nonlocal made
            made += 1
            return step(*batch)

        told.append((backend, calls))
        return counted

    monkeypatch.setattr(mg, "compile", compile)
    if command == "words":
        train(CORPUS, replace(SMALL, compile="numba"))
    else:
        tag.train(conll.embedded("train"), recipe=TaggerRecipe(epochs=2, batch=50, compile="numba"))
    assert told == [("numba", pytest.approx(made, rel=0.2))]  # the words that are left out are drawn in each epoch


def test_divergence_is_an_error():
    with np.errstate(all="ignore"), pytest.raises(FloatingPointError, match="smaller learning rate"):
        train(CORPUS, replace(SMALL, learning_rate=1e30))


@pytest.mark.parametrize("wrong", [{"dim": 0}, {"subsample": 0.0}, {"learning_rate": np.nan}, {"seed": -1}])
def test_a_recipe_that_cannot_be_is_refused(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} needs to be"):
        Recipe(**wrong)


# Files and queries

VECTORS = Vectors(["paris", "é", "$x$"], np.array([[0.1, -2e-20], [3, 1], [-1, 1e9]], np.float32))


@pytest.mark.parametrize("suffix", [".txt", ".bin", ".npz"])
def test_a_file_returns_the_same_vectors(tmp_path, suffix):
    path = tmp_path / f"v{suffix}"
    VECTORS.save(path)
    found = Vectors.load(path)
    assert found.words == VECTORS.words and np.array_equal(found.V, VECTORS.V)


@pytest.mark.parametrize("suffix", [".txt", ".bin"])
def test_gensim_reads_and_writes_the_same_files(tmp_path, suffix):
    """With gensim where it is installed, and with files as it writes them elsewhere."""
    path = tmp_path / f"v{suffix}"
    row = np.array([1, 2], "<f4").tobytes()
    as_gensim = b"2 2\na 1.0 2.0\nb 1.0 2.0\n" if suffix == ".txt" else b"2 2\na " + row + b"b " + row
    path.write_bytes(as_gensim)
    assert Vectors.load(path).words == ["a", "b"] and Vectors.load(path).V.tolist() == [[1, 2], [1, 2]]
    try:
        models = import_module("gensim.models")
    except ModuleNotFoundError:
        return
    VECTORS.save(path)
    read = models.KeyedVectors.load_word2vec_format(path, binary=suffix == ".bin")
    assert read.index_to_key == VECTORS.words and np.array_equal(read.vectors, VECTORS.V)
    read.save_word2vec_format(path, binary=suffix == ".bin")
    assert np.allclose(Vectors.load(path).V, VECTORS.V, rtol=1e-6)


@pytest.mark.parametrize(
    "name, content",
    [
        ("v.txt", b""),
        ("v.txt", b"2 2\na 1 2\n"),
        ("v.txt", b"1 2\na 1\n"),
        ("v.txt", b"1 2\na 1 x\n"),
        ("v.txt", b"1 1\na nan\n"),
        ("v.txt", b"2 1\na 1\na 2\n"),
        ("v.txt", b"1 1\n\xff 1\n"),
        ("v.txt", b"99999999999 99999999999\na 1\n"),
        ("v.bin", b"1 2\na 1234567"),
        ("v.bin", b"1 1\nabcdefgh"),
        ("v.bin", b"1 1\na 1234more"),
        ("v.npz", b"PK"),
    ],
)
def test_another_file_is_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"{name}: needed"):
        Vectors.load(tmp_path / name)


def test_what_a_format_cannot_hold_is_refused(tmp_path):
    spaced = Vectors(["a b"], np.ones((1, 2), np.float32))
    for name in "v.txt", "v.bin", "v.doc":
        with pytest.raises(ValueError, match="needed"):
            spaced.save(tmp_path / name)
    spaced.save(tmp_path / "v.npz")
    with pytest.raises(ValueError, match="finite"):
        Vectors(["a"], np.full((1, 2), np.inf))


def test_nearest_and_analogy():
    found = Vectors(["man", "woman", "king", "queen", "zero"], np.array([[1, 0], [1, 1], [5, 0.1], [5, 5.1], [0, 0]]))
    assert found.nearest("KING", 1)[0][0] == "man"
    assert found.analogy("man", "woman", "king", 1)[0][0] == "queen"
    assert len(found.nearest("man")) == 4 and found.nearest("zero", 1)[0][1] == 0
    with pytest.raises(ValueError, match="5 words of these vectors, got 'Rome'"):
        found.nearest("Rome")


# The tagger, and the command line


def test_the_tagger_starts_from_vectors():
    sentences = conll.embedded("train")
    vectors = Vectors(["paris", "zanzibar"], np.random.default_rng(0).normal(size=(2, 50)).astype(np.float32))
    with_vectors = Run(sentences, None, Settings(), TaggerRecipe(), vectors)
    without = Run(sentences, None, Settings(), TaggerRecipe())
    L, number = with_vectors.variables.L.data, with_vectors.vocabulary.number
    assert len(number) == len(without.vocabulary) + 1
    scaled = vectors.V * (0.06 / np.std(vectors.V))
    np.testing.assert_allclose(L[[number["paris"], number["zanzibar"]]], scaled, rtol=1e-6)
    others = np.arange(len(without.vocabulary)) != number["paris"]
    assert np.max(np.abs(L[: len(without.vocabulary)][others])) <= 0.02  # drawn as without vectors
    assert with_vectors.identity["vectors"] != without.identity["vectors"] is None
    with pytest.raises(ValueError, match="--dim 50"):
        Run(sentences, None, Settings(dim=4), TaggerRecipe(), vectors)


def test_the_commands(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text").write_text("\n".join(map(" ".join, TEXT)), encoding="utf-8")
    train_them = ["words", "--text", "text", "--min-count", "1", "--epochs", "2"]
    assert main([*train_them, "--out", "v.bin", "--nearest", "a", "--analogy", "a", "b", "c"]) == 0
    out = capsys.readouterr().out
    assert "480 words, 8 different" in out and "nearest to a" in out and "a : b = c : ?" in out and "saved v.bin" in out
    assert main(["words", "--vectors", "v.bin", "--out", "v.txt", "--plot", "v.svg", "--words", "a", "b", "c"]) == 0
    assert "principal" in (tmp_path / "v.svg").read_text("utf-8") or (tmp_path / "v.svg").stat().st_size > 1000
    assert np.array_equal(Vectors.load(tmp_path / "v.txt").V, Vectors.load(tmp_path / "v.bin").V)
    assert main(["train", "--vectors", "v.txt", "--model", "m.npz", "--epochs", "1"]) == 0
    for wrong in [
        train_them,
        [*train_them, "--out", "text"],
        [*train_them, "--out", "v.doc"],
        [*train_them, "--out", "w.bin", "--resume"],
        ["words", "--text", "text", "--min-count", "1000", "--out", "w.bin"],
        ["words", "--vectors", "v.bin", "--nearest", "Rome"],
        ["words", "--vectors", "v.bin", "--plot", "v.doc"],
        ["words", "--vectors", "v.bin", "--plot", "w.svg", "--words", "a", "b"],
        ["train", "--vectors", "v.txt", "--model", "m.npz", "--dim", "4"],
    ]:
        capsys.readouterr()
        assert main(wrong) == 2
        assert "python -m models: " in capsys.readouterr().err
    assert not (tmp_path / "w.bin").exists()
    with np.errstate(all="ignore"):
        assert main([*train_them, "--out", "w.bin", "--learning-rate", "1e30"]) == 1
    assert not (tmp_path / "w.bin").exists()


def test_ctrl_c_saves_the_vectors_and_the_checkpoint(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text").write_text("\n".join(map(" ".join, TEXT)), encoding="utf-8")
    step, calls = words.objective, []

    def interrupted(*arguments):
        if len(calls) == 4:
            os.kill(os.getpid(), signal.SIGINT)
        calls.append(arguments)
        return step(*arguments)

    monkeypatch.setattr("models.vectors_command.objective", interrupted)
    command = ["words", "--text", "text", "--min-count", "1", "--out", "v.bin", "--checkpoint", "run.npz"]
    assert main(command) == 130
    assert len(calls) == 6  # the loss, then the step, of the minibatch that was running: it is the last
    assert (tmp_path / "v.bin").exists()
    monkeypatch.setattr("models.vectors_command.objective", step)
    assert main([*command, "--resume"]) == 0
    resumed = Vectors.load(tmp_path / "v.bin").V
    assert np.array_equal(resumed, train(CORPUS, Recipe(min_count=1)).V)
