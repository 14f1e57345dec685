"""`save` and `load`: what goes in comes out, or an error names every place where it does not fit. Minibatches."""

import dataclasses
import os
import zipfile
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad import nn
from minigrad.trees import leaves

FORMATS = ["npz", "safetensors"]
every_format = pytest.mark.parametrize("suffix", FORMATS)


def library(suffix: str) -> None:
    if suffix == "safetensors":
        pytest.importorskip("safetensors", reason="safetensors is not installed: pip install -e '.[models]'")


def model(seed: int, out: int = 3, dtype: Any = np.float32) -> nn.Sequential:
    rng = np.random.default_rng(seed)
    return nn.Sequential(
        [
            nn.Linear.init(rng, 4, 8, dtype=dtype),
            mg.tanh,
            nn.LayerNorm.init(8, dtype=dtype),
            nn.Linear.init(rng, 8, out),
        ]
    )


@every_format
def test_a_model_comes_back(suffix: str, tmp_path: Any) -> None:
    library(suffix)
    saved, other, x = model(0), model(1), np.ones(4, np.float32)
    mg.save(saved, tmp_path / f"m.{suffix}")
    found = mg.load(tmp_path / f"m.{suffix}", like=other)
    np.testing.assert_array_equal(found(x).data, saved(x).data)
    assert found.layers[1] is mg.tanh and found.layers[2].eps == 1e-5
    assert isinstance(found.layers[0].W, mg.Tensor) and found.layers[0].W.name == "W" and found.layers[0].W.is_leaf
    assert not np.array_equal(other(x).data, saved(x).data), "the tree that gives the form is as it was"
    named = mg.load(tmp_path / f"m.{suffix}")
    assert sorted(named) == ["layers.0.W", "layers.0.b", "layers.2.scale", "layers.2.shift", "layers.3.W", "layers.3.b"]
    assert os.listdir(tmp_path) == [f"m.{suffix}"]


numbers = st.one_of(
    st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(), st.none(), st.text(max_size=3),
    st.builds(
        lambda dtype, shape, order: np.asarray(np.arange(6).reshape(shape), dtype, order=order),
        st.sampled_from(["f2", "f4", "f8", ">f8", ">i2", "i8", "u1", "?"]), st.sampled_from([(6,), (2, 3), (1, 6, 1)]),
        st.sampled_from("CF"),
    ),
    st.builds(lambda n: np.zeros((n, 0)), st.integers(0, 2)), st.builds(np.float32, st.floats(width=32)),
    st.builds(lambda x: mg.Tensor(x), st.floats()),
)  # fmt: skip


@every_format
@given(
    tree=st.recursive(
        numbers, lambda t: st.lists(t, max_size=3) | st.dictionaries(st.sampled_from("abfile"), t), max_leaves=6
    )
)
def test_any_tree_comes_back(suffix: str, tree: Any, tmp_path_factory: Any) -> None:
    library(suffix)
    path = tmp_path_factory.mktemp("any") / f"t.{suffix}"
    if not any(isinstance(leaf, float | int | np.ndarray | np.generic | mg.Tensor) for leaf in leaves(tree)):
        with pytest.raises(ValueError, match="saving needs numbers"):
            mg.save(tree, path)
        return
    mg.save(tree, path)
    found = mg.load(path, like=tree)
    for x, y in zip(leaves(found), leaves(tree), strict=True):
        assert type(x) is type(y)
        a, b = (np.asarray(v.data if isinstance(v, mg.Tensor) else v) for v in (x, y))
        assert a.shape == b.shape and a.dtype == b.dtype.newbyteorder("=")
        np.testing.assert_array_equal(a, b)


def test_complex_numbers(tmp_path: Any) -> None:
    tree = {"z": np.array([1 + 2j]), "c": 3j}
    mg.save(tree, tmp_path / "z.npz")
    found = mg.load(tmp_path / "z.npz", like=tree)
    assert found["z"] == tree["z"] and found["c"] == 3j
    library("safetensors")
    with pytest.raises(TypeError, match=r"\.safetensors has no complex128, got it at z; save \.npz"):
        mg.save(tree, tmp_path / "z.safetensors")


def test_every_mismatch_is_named(tmp_path: Any) -> None:
    path = tmp_path / "m.npz"
    mg.save({"m": model(0), "old": 1.0}, path)
    other = {"m": model(0, out=5, dtype=float), "new": np.ones(2)}
    with pytest.raises(ValueError, match="does not fit") as error:
        mg.load(path, like=other)
    lines = str(error.value).splitlines()[1:]
    assert "  ['m'].layers[3].W: needed (5, 8) float64, got (3, 8) float64" in lines
    assert "  ['m'].layers[0].W: needed (8, 4) float64, got (8, 4) float32" in lines
    assert "  ['new']: needed (2,) float64, got nothing" in lines and "  old: needed nothing, got () float64" in lines
    with pytest.raises(ValueError, match=r"\n  layers\[3\].W: needed \(5, 8\)"):
        mg.save(model(0), path)
        mg.load(path, like=model(0, out=5))
    many = {f"w{i}": i for i in range(30)}
    with pytest.raises(ValueError, match="and 26 more"):
        mg.load(path, like=many)


def test_tied_weights_stay_tied(tmp_path: Any) -> None:
    W = mg.Tensor(np.ones((2, 3)))
    mg.save({"in": W, "out": W}, tmp_path / "t.npz")
    found = mg.load(tmp_path / "t.npz", like={"in": W, "out": W})
    assert found["in"] is found["out"] is not W
    mg.save({"in": W, "out": W + 1}, tmp_path / "t.npz")
    with pytest.raises(ValueError, match=r"\['out'\]: needed the numbers of \['in'\], which is the same Tensor"):
        mg.load(tmp_path / "t.npz", like={"in": W, "out": W})


@dataclasses.dataclass
class Half:
    dots: Any


@pytest.mark.parametrize(
    ("tree", "error", "message"),
    [
        ({"a.b": 1.0, "a": {"b": 2.0}}, ValueError, "two of the name 'a.b'"),
        ({"a\0": 1.0}, ValueError, "one of the name"),
        ({"\ud800": 1.0}, ValueError, "one of the name"),
        ({"a": np.array(["x"])}, TypeError, r"arrays of numbers, got dtype <U1 at \['a'\]"),
        (Half(np.array([None])), TypeError, r"arrays of numbers, got dtype object at \.dots"),
        ({"a": mg.grad(lambda t: mg.sum(mg.embedding(t, [0])))(np.ones((2, 2)))}, TypeError, "got RowSparse at"),
        ({"a": None}, ValueError, "saving needs numbers, got a dict without any"),
        ([], ValueError, "saving needs numbers, got a list without any"),
    ],
)
def test_what_is_not_saved(tree: Any, error: type[Exception], message: str, tmp_path: Any) -> None:
    mg.save({"a": 1.0}, tmp_path / "m.npz")
    before = (tmp_path / "m.npz").read_bytes()
    with pytest.raises(error, match=message):
        mg.save(tree, tmp_path / "m.npz")
    assert (tmp_path / "m.npz").read_bytes() == before and os.listdir(tmp_path) == ["m.npz"]


@pytest.mark.parametrize("name", ["m", "m.pt", "m.npz.bak"])
def test_other_suffixes_are_refused(name: str, tmp_path: Any) -> None:
    for act in (lambda: mg.save([1.0], tmp_path / name), lambda: mg.load(tmp_path / name)):
        with pytest.raises(ValueError, match=r"needed \.npz or \.safetensors, got"):
            act()


@every_format
def test_damaged_files_are_one_kind_of_error(suffix: str, tmp_path: Any) -> None:
    library(suffix)
    path = tmp_path / f"m.{suffix}"
    with pytest.raises(FileNotFoundError):
        mg.load(path)
    mg.save(model(0), path)
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    damaged = [b"", b"text", whole[:-1], whole[1:], whole[: len(whole) // 2], *(whole[:n] for n in range(1, 99, 7))]
    for _ in range(200):
        bytes_ = bytearray(whole)
        bytes_[rng.integers(min(len(whole), 600))] = rng.integers(256)
        damaged.append(bytes(bytes_))
    refused = 0
    for content in damaged:
        path.write_bytes(content)
        try:
            mg.load(path, like=model(0))
        except ValueError as error:
            assert str(path) in str(error)
            refused += 1
    assert refused > len(damaged) / 2


def test_no_file_runs_code(tmp_path: Any) -> None:
    path = tmp_path / "m.npz"
    np.savez(path, a=np.array([print], object))
    with pytest.raises(ValueError, match=r"needed arrays saved as \.npz"):
        mg.load(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", b"\x93NUMPY\1\0\x10\0" + b"{__import__('os')")
    with pytest.raises(ValueError, match=r"needed arrays saved as \.npz"):
        mg.load(path)
    np.save(tmp_path / "single.npy", np.ones(2))
    (tmp_path / "single.npy").rename(path)
    with pytest.raises(ValueError, match="a single array"):
        mg.load(path)


def test_files_of_torch(tmp_path: Any) -> None:
    library("safetensors")
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: its files are not read")
    from safetensors.torch import load_file, save_file

    W = torch.randn(3, 4)
    save_file({"layers.0.W": W, "layers.0.b": torch.zeros(3)}, tmp_path / "t.safetensors")
    ours = nn.Sequential([nn.Linear.init(np.random.default_rng(0), 4, 3, dtype=np.float32)])
    np.testing.assert_array_equal(mg.load(tmp_path / "t.safetensors", like=ours).layers[0].W.data, W)
    mg.save(ours, tmp_path / "o.safetensors")
    np.testing.assert_array_equal(load_file(tmp_path / "o.safetensors")["layers.0.W"], ours.layers[0].W.data)


# minibatches


@given(n=st.integers(0, 20), size=st.integers(1, 25), shuffled=st.booleans())
def test_batches(n: int, size: int, shuffled: bool) -> None:
    x, y = np.arange(2.0 * n).reshape(n, 2), np.arange(n)
    parts = list(mg.batches(np.random.default_rng(0) if shuffled else None, size, x, y))
    assert [len(a) for a, _ in parts] == [size] * (n // size) + [n % size] * (n % size > 0)
    seen = np.concatenate([y[:0], *(b for _, b in parts)])
    assert sorted(seen) == list(range(n)) and (shuffled or seen.tolist() == list(range(n)))
    assert all(np.array_equal(a[:, 0], 2.0 * b) for a, b in parts)


def test_batches_of_nothing_are_refused_at_once() -> None:
    for size, arrays in [(2, []), (0, [np.ones(3)]), (2, [np.ones(3), np.ones(4)])]:
        with pytest.raises(ValueError, match="minibatches need a size above 0 and arrays of one length"):
            mg.batches(None, size, *arrays)
