"""The tagger: its rates, its threshold, its file, its training."""

import json
import os
import pickle
import zipfile
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models import conll, tagger, training
from models.tagger import Settings, Tagger
from models.training import Recipe, train


@pytest.fixture(scope="module")
def trained():
    return train(conll.embedded("train"), recipe=Recipe(seed=3))


def same(one, other):
    assert one.settings == other.settings and one.threshold == other.threshold
    assert one.vocabulary.words == other.vocabulary.words
    for f in fields(one.params):
        a, b = getattr(one.params, f.name), getattr(other.params, f.name)
        assert (a is None and b is None) or (np.array_equal(a, b) and a.dtype == b.dtype)


# what it learns


def test_finds_the_locations_of_sentences_it_has_not_seen(trained):
    rates = tagger.evaluate(trained, conll.embedded("dev"))
    assert rates["token"].f1 > 0.75
    assert rates["span"].f1 > 0.65
    assert trained.spans(["Not", "all", "museums", "in", "Paris", "are", "amazing"]) == [(4, 5)]


def test_the_same_seed_gives_the_same_model_and_another_another(trained):
    same(trained, train(conll.embedded("train"), recipe=Recipe(seed=3)))
    other = train(conll.embedded("train"), recipe=Recipe(seed=4, epochs=2))
    assert not np.array_equal(other.params.U, trained.params.U)


@pytest.mark.parametrize("optimizer", training.OPTIMIZERS)
@pytest.mark.parametrize(
    "settings", [Settings(), Settings(case_feature=False, radius=1, dim=10, hidden=8, min_count=2)]
)
def test_every_optimizer_and_setting_learns(optimizer, settings):
    found = train(conll.embedded("train"), settings=settings, recipe=Recipe(optimizer=optimizer, epochs=12))
    assert (found.params.C is None) == (not settings.case_feature)
    assert tagger.evaluate(found, conll.embedded("train"))["token"].f1 > 0.6


def test_the_threshold_is_not_chosen_on_the_development_sentences():
    """Whatever they are, the first epoch's parameters and threshold are the same."""
    recipe = Recipe(epochs=1)
    dev = conll.embedded("dev")
    same(
        train(conll.embedded("train"), dev[:50], recipe=recipe), train(conll.embedded("train"), dev[50:], recipe=recipe)
    )


@pytest.mark.parametrize(("given", "times"), [(None, 1), (conll.embedded("dev"), 2)])
def test_sentences_that_are_held_out_and_for_development_are_scored_once(given, times, monkeypatch):
    """The rest of the epoch was scored twice: a second time as the development sentences."""
    scored, score = [], Tagger.score
    monkeypatch.setattr(Tagger, "score", lambda self, windows: scored.append(windows) or score(self, windows))
    train(conll.embedded("train"), given, recipe=Recipe(epochs=3))
    assert len(scored) == 3 * times


def test_windows_are_scored_in_blocks(trained, monkeypatch):
    windows = trained.windows(s.tokens for s in conll.embedded("dev"))
    whole = trained.score(windows)
    sizes, inputs = [], tagger.inputs
    monkeypatch.setattr(tagger, "inputs", lambda p, block: sizes.append(len(block.words)) or inputs(p, block))
    monkeypatch.setattr(tagger, "BLOCK", 100)
    np.testing.assert_allclose(trained.score(windows), whole, rtol=0, atol=1e-6)
    assert sizes == [100] * (len(whole) // 100) + [len(whole) % 100]


def test_it_stops_when_development_does_not_get_better():
    epochs = []
    train(conll.embedded("train"), recipe=Recipe(epochs=60, patience=2), report=lambda now: epochs.append(now.epoch))
    assert max(epochs) < 60


def test_ctrl_c_keeps_the_best_model_so_far():
    def interrupt_at(epoch):
        def report(now):
            if now.epoch == epoch and now.done > 10:
                raise KeyboardInterrupt

        return report

    sentences = conll.embedded("train")
    whole = train(sentences, recipe=Recipe(epochs=3, patience=9))
    same(train(sentences, recipe=Recipe(epochs=9, patience=9), report=interrupt_at(4)), whole)
    first = train(sentences, report=interrupt_at(1))
    assert first.tag(["Paris"]).shape == (1,)


def test_progress_is_told():
    told = []
    train(conll.embedded("train"), recipe=Recipe(epochs=2, batch=100), report=told.append)
    assert [now.epoch for now in told] == sorted(now.epoch for now in told)
    assert told[-1].done == told[-1].of > 100
    assert all(now.loss > 0 and now.speed > 0 for now in told)
    assert told[-1].loss < told[0].loss


@pytest.mark.parametrize(
    ("sentences", "message"),
    [
        ([conll.Sentence(["a", "b"], ["O", "O"])] * 9, "got 0 inside among"),
        ([conll.Sentence(["a"], ["B-LOC"])] * 9, "inside and outside of LOC in the training sentences"),
        ([], "got 0 inside among 0 of 0 sentences"),
    ],
)
def test_a_corpus_that_cannot_be_learnt_from(sentences, message):
    with pytest.raises(ValueError, match=message):
        train(sentences)


@pytest.mark.parametrize(
    ("sentences", "min_count"),
    [
        ([conll.Sentence(["Paris", "is", "."], ["B-LOC", "O", "O"])] * 20, 1),
        ([conll.Sentence([str(i % 90), f"{i % 70:03}"], ["B-LOC", "O"]) for i in range(90)], 1),  # digits are all 0
        (conll.embedded("train"), 20),
    ],
)
def test_a_corpus_of_fewer_words_than_text_has_is_worth_a_warning(sentences, min_count):
    with pytest.warns(
        UserWarning, match=r"^of \d+ tokens only [1-9]\d* words remain, far fewer than text has; is the tok"
    ):
        train(sentences, settings=Settings(min_count=min_count, dim=2, hidden=2), recipe=Recipe(epochs=1))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"epochs": 0}, "epochs needs to be at least 1, got 0"),
        ({"optimizer": "newton"}, "one of sgd, adagrad, adam, got newton"),
        ({"held_out": 1.0}, "held_out needs to be between 0 and 1"),
        ({"average": 0.0}, "average needs to be above 0"),
        ({"word_dropout": -1.0}, "word_dropout needs to be at least 0"),
    ],
)
def test_wrong_recipes(wrong, message):
    with pytest.raises(ValueError, match=message):
        Recipe(**wrong)


def test_wrong_settings():
    with pytest.raises(ValueError, match="hidden needs to be at least 1, got 0"):
        Settings(hidden=0)


def test_real_text(shared_data):
    """LOC of WikiGold's last fifth after training on the rest; benchmarks and notes have the mean of five seeds."""
    sentences = conll.read(shared_data / "wikigold.conll")
    cut = int(0.8 * len(sentences))
    found = train(sentences[:cut])
    assert tagger.evaluate(found, sentences[cut:])["token"].f1 > 0.54
    plain = train(sentences[:cut], settings=Settings(case_feature=False))
    assert tagger.evaluate(plain, sentences[cut:])["token"].f1 > 0.4


# rates and thresholds


def test_rates():
    rate = tagger.Rate(right=1, predicted=2, gold=4)
    assert (rate.precision, rate.recall, rate.f1) == (0.5, 0.25, 1 / 3)
    assert tagger.Rate(0, 0, 0).f1 == 0.0


def test_spans_count_only_when_exact():
    class Marks(Tagger):
        def score(self, windows):
            return np.array([1.0, 1, 0, 1, 0, 1])

    marks = Marks(Settings(), tagger.text.Vocabulary.of([]), None)
    sentences = [
        conll.Sentence(list("abc"), ["B-LOC", "I-LOC", "O"]),
        conll.Sentence(list("def"), ["B-LOC", "I-LOC", "B-LOC"]),  # d found alone, f by itself
    ]
    rates = tagger.evaluate(marks, sentences)
    assert rates["token"] == tagger.Rate(right=4, predicted=4, gold=5)
    assert rates["span"] == tagger.Rate(right=2, predicted=3, gold=3)


@given(arrays(float, st.integers(1, 12), elements=st.integers(-3, 3).map(float)), st.data())
def test_best_threshold_is_the_best_of_all(s, data):
    gold = data.draw(arrays(bool, len(s)))

    def f1(threshold):
        return tagger.token_rate(s > threshold, gold).f1

    chosen = tagger.best_threshold(s, gold)
    assert f1(chosen) == max(f1(t) for t in [*np.unique(s), -np.inf])


# its file


def test_saved_and_loaded_it_is_the_same(trained, tmp_path):
    trained.save(tmp_path / "model.npz")
    same(trained, Tagger.load(tmp_path / "model.npz"))
    assert os.listdir(tmp_path) == ["model.npz"]


def test_any_word_is_saved_and_a_long_one_takes_its_own_length(trained, tmp_path):
    words = [*trained.vocabulary.words[:-3], "x" * 100_000, "ends in\0", "\u00a0\u2028"]
    odd = Tagger(trained.settings, tagger.text.Vocabulary(words), trained.params, trained.threshold)
    trained.save(tmp_path / "model.npz")
    odd.save(tmp_path / "odd.npz")
    same(odd, Tagger.load(tmp_path / "odd.npz"))
    assert (tmp_path / "odd.npz").stat().st_size < (tmp_path / "model.npz").stat().st_size + 500_000


def test_a_failed_save_leaves_the_old_file(trained, tmp_path, monkeypatch):
    path = tmp_path / "model.npz"
    path.write_bytes(b"the old model")

    def full(*args, **kwargs):
        raise OSError("no space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="no space left"):
        trained.save(path)
    assert path.read_bytes() == b"the old model"
    assert os.listdir(tmp_path) == ["model.npz"]


class Bomb:
    def __reduce__(self):
        return os.mkdir, (os.environ["BOMB"],)


@pytest.mark.parametrize(
    "kind", ["text", "empty", "cut", "pickle", "object array", "foreign", "other format", "bad shape", "bad settings"]
)
def test_a_damaged_or_foreign_file_is_an_error_and_nothing_in_it_runs(kind, trained, tmp_path, monkeypatch):
    path, good = tmp_path / "model.npz", tmp_path / "good.npz"
    monkeypatch.setenv("BOMB", str(tmp_path / "exploded"))
    trained.save(good)
    content = dict(np.load(good))
    about = json.loads(str(content["about"]))
    if kind == "text":
        path.write_text("hello")
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "cut":
        path.write_bytes(good.read_bytes()[:-1000])
    elif kind == "pickle":
        path.write_bytes(pickle.dumps(Bomb()))
    elif kind == "object array":
        np.savez(path, **(content | {"about": np.array(Bomb(), dtype=object)}))
    elif kind == "foreign":
        np.savez(path, weights=np.ones(3))
    elif kind == "other format":
        np.savez(path, **(content | {"about": json.dumps(about | {"format": 99})}))
    elif kind == "bad shape":
        np.savez(path, **(content | {"W": np.ones((2, 2))}))
    else:
        np.savez(path, **(content | {"about": json.dumps(about | {"settings": {"wings": 2}})}))
    with pytest.raises(ValueError, match=r"model\.npz: "):
        Tagger.load(path)
    assert not (tmp_path / "exploded").exists()


def test_one_byte_changed_is_noticed(trained, tmp_path):
    path = tmp_path / "model.npz"
    trained.save(path)
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 0xFF
    path.write_bytes(raw)
    with pytest.raises((ValueError, zipfile.BadZipFile), match=r"model\.npz: "):
        Tagger.load(path)


def test_a_missing_file_is_the_ordinary_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        Tagger.load(tmp_path / "none.npz")
