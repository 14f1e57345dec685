"""Files: replaced whole or not at all, and read without trusting them."""

import io
import json
import os
import random
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

from models import conll, picture, storage
from models.tagger import Tagger
from models.training import Checkpoint, Recipe, Run, Settings, train

SMALL, SHORT = Settings(dim=3, hidden=4), Recipe(epochs=2, optimizer="adam", batch=200)
SENTENCES = conll.embedded("train")[:60]


def test_what_is_not_finite_is_not_saved(tmp_path):
    good = picture.fresh()
    path = tmp_path / "m.npz"
    good.save(path)
    before = path.read_bytes()
    for field, value in ("W", np.nan), ("L", np.inf), (None, np.nan):
        bad = picture.fresh()
        if field is None:
            bad.threshold = value
        else:
            getattr(bad.params, field)[-1, -1] = value
        with pytest.raises(ValueError, match=r"needed .*finite"):
            bad.save(path)
    with pytest.raises(ValueError, match="needed float32 or float64 to save, got complex128 in a"):
        storage.write(path, {}, {"a": np.ones(2, complex)})
    assert path.read_bytes() == before


def test_arrays_come_back_as_they_were_whatever_their_layout(tmp_path):
    path = tmp_path / "a.npz"
    arrays = {"a": np.asfortranarray(np.arange(6.0).reshape(2, 3)), "b": np.arange(3, dtype=">f4"), "c": np.array(1.5)}
    storage.write(path, {"x": "\0"}, arrays)
    with storage.reading(path, "arrays") as file:
        assert file.about() == {"x": "\0"}
        found = file.arrays({name: a.shape for name, a in arrays.items()})
    for name, a in arrays.items():
        np.testing.assert_array_equal(found[name], a)
        assert found[name].flags.writeable and found[name].dtype.isnative


# reading


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A model and a checkpoint, as bytes."""
    folder = tmp_path_factory.mktemp("files")
    train(SENTENCES, settings=SMALL, recipe=SHORT, checkpoint=Checkpoint(folder / "c")).save(folder / "m")
    return (folder / "m").read_bytes(), (folder / "c").read_bytes()


def members(content):
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        return {info.filename: file.read(info) for info in file.infolist()}


def zipped(items, compression=zipfile.ZIP_STORED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as file:
        for name, content in items:
            with file.open(name, "w") as member:
                member.write(content)
    return out.getvalue()


def array(a):
    out = io.BytesIO()
    np.lib.format.write_array(out, np.asanyarray(a))
    return out.getvalue()


def about(content):
    return json.loads(str(np.load(io.BytesIO(content))["about"]))


def with_about(content, description):
    text = description if isinstance(description, str) else json.dumps(description)
    return zipped((members(content) | {"about.npy": array(np.array(text))}).items())


def declaration(descr, shape):
    """An array's header with nothing after it."""
    header = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header


def declared(content, name, descr, shape):
    return zipped((members(content) | {name: declaration(descr, shape)}).items())


def attacks(model):
    """Files that `save` never writes, by name."""
    inside, description = members(model), about(model)
    settings = description["settings"]

    def setting(**changes):
        return with_about(model, description | {"settings": settings | changes})

    yield "compressed", bytes(50_000) + zipped(inside.items(), zipfile.ZIP_DEFLATED)  # no larger than the file
    yield "bomb", zipped((inside | {"C.npy": bytes(50_000_000)}).items(), zipfile.ZIP_DEFLATED)
    yield "twice", _twice(inside)
    yield "nested", with_about(model, "[" * 100_000)
    yield "not JSON", with_about(model, "{")
    yield "no object", with_about(model, [])
    yield "a name twice", with_about(model, json.dumps(description)[:-1] + ', "format": 2}')
    for name, shape in (
        ("L.npy", (10**17, 3)),
        ("L.npy", (0, 3)),
        ("about.npy", (10**12,)),
        ("U.npy", (4,)),
        ("b.npy", -1),
    ):
        yield f"declared {name} {shape}", declared(model, name, "<f4", shape)
    yield "empty strings", declared(model, "about.npy", "<U0", "()")
    yield "deep shape", declared(model, "U.npy", "<f4", "(" * 500)
    yield "long number", declared(model, "U.npy", "<f4", f"({'9' * 5000},)")
    for dtype in ">f4", "<i4", "<f2", "<c8", "|O", "|V4", "<U4":
        a = np.zeros(4, dtype)
        yield f"dtype {dtype}", zipped((inside | {"U.npy": array(a)}).items())
    for value in np.nan, np.inf, -np.inf:
        yield f"{value}", zipped((inside | {"U.npy": array(np.full(4, value, "f4"))}).items())
        yield f"threshold {value}", with_about(model, description | {"threshold": value})
    yield "a large threshold", with_about(model, description | {"threshold": 10**400})
    yield "one array more", zipped([*inside.items(), ("extra.npy", array(np.ones(2, "f4")))])
    yield "one array less", zipped(list(inside.items())[:-1])
    yield "no words", with_about(model, description | {"words": []})
    yield "words that are not", with_about(model, description | {"words": [*description["words"][:-1], 3]})
    yield "without padding", with_about(model, description | {"words": description["words"][::-1]})
    yield "settings missing", with_about(model, description | {"settings": {"dim": 3}})
    for changes in (
        {"dim": True},
        {"dim": 3.0},
        {"radius": -1},
        {"hidden": 10**30},
        {"entity": None},
        {"case_feature": 1},
    ):
        yield f"{changes}", setting(**changes)


def _twice(inside):
    with pytest.warns(UserWarning, match="Duplicate name"):
        return zipped([*inside.items(), *inside.items()])


def test_hostile_files_are_one_error_and_take_no_memory(files, tmp_path):
    path = tmp_path / "hostile.npz"
    for name, content in attacks(files[0]):
        path.write_bytes(content)
        tracemalloc.start()
        try:
            with pytest.raises(ValueError) as error:
                Tagger.load(path)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert str(error.value).startswith(f"{path}: needed a model saved by `python -m models train`, got "), name
        assert peak < 3_000_000, name


def test_what_is_no_file_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "fifo")  # to open it would wait for who writes
    for path, kind in (tmp_path / "fifo", "a FIFO"), (tmp_path, "a folder"), ("/dev/zero", "a device"):
        with pytest.raises(ValueError, match=f"needed a model .*, got {kind}"):
            Tagger.load(path)


def damaged(content, rng):
    changed = bytearray(content)
    how = rng.randrange(4)
    if how == 0:
        changed[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    elif how == 1:
        del changed[rng.randrange(len(content)) :]
    elif how == 2:  # the zip file's directory
        changed[rng.randrange(content.index(b"PK\1\2"), len(content))] = rng.choice([0, 255, rng.randrange(256)])
    else:  # an array's header, under a right check sum
        inside = members(content)
        name = rng.choice(sorted(inside))
        header = bytearray(inside[name])
        header[rng.randrange(100)] = rng.choice(b"0123456789(),<>|fUO \n'{}:")
        return zipped((inside | {name: bytes(header)}).items())
    return bytes(changed)


def test_any_damage_is_a_value_error_or_none(files, tmp_path):
    rng = random.Random(0)
    path = tmp_path / "damaged.npz"
    refused = 0
    for i in range(200):
        path.write_bytes(damaged(files[i % 2], rng))
        try:
            if i % 2:
                Run(SENTENCES[:20], None, SMALL, SHORT).restore(path)
            else:
                assert np.isfinite(Tagger.load(path).score(np_windows)).all()
        except ValueError as error:
            assert str(error).startswith(f"{path}: ")
            refused += 1
    assert refused > 150


np_windows = picture.text.windows([["a", "Paris"]], picture.text.Vocabulary([]), 2)


def test_models_of_format_1_load(files, tmp_path):
    """Their words are an array of strings."""
    inside, description = members(files[0]), about(files[0])
    words = description.pop("words")
    old = {"about.npy": array(np.array(json.dumps(description | {"format": 1}))), "words.npy": array(np.array(words))}
    (tmp_path / "old.npz").write_bytes(zipped((inside | old).items()))
    (tmp_path / "new.npz").write_bytes(files[0])
    found, new = Tagger.load(tmp_path / "old.npz"), Tagger.load(tmp_path / "new.npz")
    assert found.vocabulary.words == new.vocabulary.words and found.settings == new.settings
    np.testing.assert_array_equal(found.params.L, new.params.L)
    old["words.npy"] = declaration("<U0", f"({10**17},)")  # a loop over nothing would not end
    (tmp_path / "old.npz").write_bytes(zipped((inside | old).items()))
    with pytest.raises(ValueError, match="got something else or a damaged one"):
        Tagger.load(tmp_path / "old.npz")
