"""Run by `mpiexec`: training on several ranks against one process with the whole batch. See test_ranks.py."""

import re
from dataclasses import replace
from pathlib import Path
from pickle import PicklingError

import numpy as np
from mpi4py import MPI

import minigrad as mg
from minigrad.ranks import RankFailed
from minigrad.sparse import RowSparse
from models import __main__ as main
from models import conll, training
from models.tagger import Settings
from models.training import Recipe

COMM = MPI.COMM_WORLD
RANK, SIZE = COMM.rank, COMM.size
BATCH = 2 if SIZE > 2 else 5  # fewer examples than ranks, or not the same number on each

OPTIMIZERS = {
    "SGD": lambda params, comm: mg.optim.SGD(params, 0.02, comm=comm),
    "momentum": lambda params, comm: mg.optim.SGD(
        params, 0.02, 0.5, nesterov=True, weight_decay=0.1, groups={"b": {"weight_decay": 0.0}}, comm=comm
    ),
    "Adagrad": lambda params, comm: mg.optim.Adagrad(params, 0.05, comm=comm),
    "RMSprop": lambda params, comm: mg.optim.RMSprop(params, 0.01, comm=comm),
    "AdamW": lambda params, comm: mg.optim.AdamW(params, 0.01, comm=comm),
}


def parameters(dtype):
    rng = np.random.default_rng(0)
    values = {"W": rng.normal(size=(6, 3)), "b": rng.normal(), "L": rng.normal(size=(9, 3)), "C": rng.normal(size=6)}
    params = {name: mg.Tensor(np.asarray(x, dtype), name) for name, x in values.items()}
    params["c"] = mg.Tensor(np.array([1 + 2j, 3 - 1j], np.result_type(dtype, np.complex64)), "c")
    return params | {"unused": mg.Tensor(np.ones(2, dtype), "unused")}


def loss(params, x, ids, kinds=None):
    """A sum over the examples, in which some parameters belong to examples of one kind only."""
    dense = mg.tanh(x @ params["W"] + params["b"])
    J = mg.sum((dense - mg.embedding(params["L"], ids)) ** 2)
    if kinds is None:
        return J
    if (kinds == 1).any():
        J = J + mg.sum(params["L"][:2] ** 2) * (kinds == 1).sum()  # dense here, row-sparse on ranks without that kind
    if (kinds == 2).any():
        J = J + mg.sum(mg.embedding(params["C"], ids[kinds == 2]) ** 2)
        J = J + mg.sum(mg.abs(params["c"]) ** 2) * (kinds == 2).sum()
    return J


def batches(steps, dtype):
    rng = np.random.default_rng(1)
    for _ in range(steps):
        yield rng.normal(size=(BATCH, 6)).astype(dtype), rng.integers(-3, 6, BATCH), rng.integers(0, 3, BATCH)


def train(make, dtype, comm, steps, clip=None, compiled=False):
    """The losses, the parameters, the optimizer; with a communicator this rank sees its examples only."""
    params = parameters(dtype)
    optimizer, losses = make(params, comm), []
    schedule = mg.optim.cosine(optimizer.lr, steps, warmup=3)

    def gradients(*batch):
        optimizer.zero_grad()
        J = loss(params, *batch)
        J.backward()
        return J

    descend = mg.compile(gradients) if compiled else gradients
    for batch in batches(steps, dtype):
        own = [part if comm is None else part[RANK::SIZE] for part in batch[: 2 if compiled else 3]]
        optimizer.zero_grad()
        J = float(descend(*own)) if len(own[0]) else 0.0
        before = [p.grad for p in params.values()]
        if clip is not None:
            mg.optim.clip_grad_norm(params, clip)
        elif comm is not None:
            assert all(p.grad is g for p, g in zip(params.values(), before))  # the rank's own, still
        optimizer.lr = schedule(optimizer.steps)
        optimizer.step()
        losses.append(J if comm is None else sum(comm.allgather(J)))
    return np.array(losses), params, optimizer


def check_equal(name, dtype=float, steps=10, rtol=1e-10, **options):
    losses, params, optimizer = train(OPTIMIZERS[name], dtype, COMM, steps, **options)
    alone, ours, _ = train(OPTIMIZERS[name], dtype, None, steps, **options)
    assert optimizer.steps == steps
    optimizer.check_ranks()
    np.testing.assert_allclose(losses, alone, rtol)
    start = parameters(dtype)
    for key, p in params.items():
        assert p.data.dtype == ours[key].data.dtype
        np.testing.assert_allclose(p.data, ours[key].data, rtol, rtol * np.abs(ours[key].data).max())
        is_moved = key != "unused" and not (options.get("compiled") and key in "Cc")
        assert is_moved != np.allclose(p.data, start[key].data, rtol=1e-3)


def check_forms():
    """A batch whose gradients are None, dense and row-sparse on different ranks."""
    table, other = mg.Tensor(np.zeros((50, 2)), "table"), mg.Tensor(np.zeros((50, 2)), "other")
    optimizer = mg.optim.SGD([table, other], 1.0, comm=COMM)
    if RANK == 0:
        table.grad = RowSparse([(np.array([3, 3]), np.ones((2, 2)))], (50, 2))
        other.grad = RowSparse([(np.zeros(0, int), np.zeros((0, 2)))], (50, 2))
    if RANK == 1:
        table.grad = np.full((50, 2), 1)  # integers, as a user may write: the parameter's dtype counts
    optimizer.step()
    want = np.full((50, 2), -1.0)
    want[3] = -3
    np.testing.assert_array_equal(table.data, want)
    np.testing.assert_array_equal(other.data, 0)


def failing(function, kind, words, on):
    """A call that fails with this error on some ranks, and for their sake on the others."""
    try:
        function()
    except (RankFailed, kind) as error:
        assert isinstance(error, kind if RANK in on else RankFailed), repr(error)
        assert words in str(error), error
    else:
        raise AssertionError("no error")


def check_failures():
    everywhere, last = range(SIZE), SIZE - 1
    w = mg.Tensor(np.array([1.0, 2.0]), "w")
    optimizer = mg.optim.Adam({"w": w}, 0.1, comm=COMM)

    def step():
        optimizer.step()

    def unmoved():
        optimizer.check_ranks()
        assert w.data.tolist() == [1.0, 2.0] and optimizer.steps == 0 and optimizer.counts == [0.0]

    w.grad = np.ones(3 if last == RANK else 2)
    failing(step, ValueError, "the gradient of w to be float64 of shape (2,)", {last})
    unmoved()
    failing(lambda: mg.optim.clip_grad_norm([w], 1.0), ValueError, "the gradient of w", {last})
    failing(lambda: mg.optim.clip_grad_norm([w], 1.0 - 2 * (last == RANK)), ValueError, "a max_norm above 0", {last})
    table = mg.Tensor(np.zeros((3, 2)), "table")  # on one rank a row that it has not, on the others a dense gradient
    table.grad = RowSparse([(np.array([3]), np.ones((1, 2)))], (3, 2)) if last == RANK else np.ones((3, 2))
    failing(mg.optim.SGD([table], 0.1, comm=COMM).step, IndexError, "rows of its table of 3, got rows 3 to 3", {last})
    w.grad = np.full(2, 1e200)
    with np.errstate(all="raise" if last == RANK else "ignore"):  # g * g overflows
        failing(step, FloatingPointError, "overflow", {last})
    unmoved()
    with np.errstate(all="raise"):
        failing(step, FloatingPointError, "overflow", everywhere)
    unmoved()
    optimizer.lr = 0.2 if last == RANK else 0.1
    failing(step, ValueError, f"the same lr, got 0.1 on rank 0 and 0.2 on rank {last}", everywhere)
    optimizer.lr = np.float32(0.1 + RANK)  # no float of Python's
    failing(step, ValueError, "the same lr", everywhere)
    optimizer.lr = type("Own", (float,), {})(0.1) if last == RANK else 0.1  # whose class no other rank could find
    failing(step, PicklingError, "Own", {last})
    optimizer.lr = 0.1
    unmoved()
    failing(lambda: mg.optim.clip_grad_norm([w], 1.0 + RANK), ValueError, "the same max_norm", everywhere)
    both = [w, mg.Tensor(1.0, "v")]
    copy = COMM.Dup()
    another = mg.optim.SGD(both[1:], 0.1, comm=copy)
    failing(lambda: mg.optim.clip_grad_norm(both, 1.0), ValueError, "2 communicators", everywhere)
    del another
    copy.Free()

    different = mg.Tensor(np.array([1.0, 2.0 + (last == RANK)]), "w")
    different.grad = np.ones(2)
    failing(mg.optim.SGD([different], 0.1, comm=COMM).step, ValueError, f"on rank {last}", everywhere)
    fewer = [mg.Tensor(1.0) for _ in range(2 + (last == RANK))]
    failing(mg.optim.SGD(fewer, 0.1, comm=COMM).step, ValueError, "the same params.2, got none on rank 0", everywhere)
    w.grad = np.ones(2)
    step()  # after all this the ranks still understand one another
    loaded = optimizer.state_dict()
    loaded["counts"] = [2.0 + RANK]
    optimizer.load_state_dict(loaded)
    failing(step, ValueError, "the same counts.0, got 2.0 on rank 0 and 3.0 on rank 1", everywhere)


def check_compiled():
    w = mg.Tensor(np.array([1.0, 2.0]), "w")
    optimizer = mg.optim.SGD([w], 0.1, comm=COMM)

    @mg.compile
    def step(x, clip):
        optimizer.zero_grad()
        J = mg.sum(w * x)
        J.backward()
        if clip:
            mg.optim.clip_grad_norm([w], 1.0)
        optimizer.step()
        return J

    for clip in False, True:
        failing(lambda clip=clip: step(np.ones(2), clip), TypeError, "outside of the compiled function", range(SIZE))
    assert w.data.tolist() == [1.0, 2.0] and w.grad is None and optimizer.steps == 0


def check_the_tagger():
    """100 steps of `train` in double precision, as one process does them; an interruption; a rank that differs."""
    initial = training.initial
    training.initial = lambda *args: training.mapped(lambda a: a.astype(float), initial(*args))
    sentences, settings = conll.embedded("train")[:120], Settings(dim=3, hidden=4)
    recipe = Recipe(epochs=6, patience=6, batch=7)

    def trained(comm, recipe=recipe, stop=10**6, **options):
        progress = []

        def report(now):
            progress.append((now.loss, now.f1))
            if len(progress) == stop:
                raise KeyboardInterrupt

        return training.train(sentences, None, settings, recipe, report, comm=comm, **options), np.array(progress)

    (ours, mine), (theirs, alone) = trained(COMM), trained(None)
    assert len(mine) >= 100 and ours.params.L.dtype == float
    np.testing.assert_allclose(mine, alone, 1e-10)
    for name, a in vars(ours.params).items():
        np.testing.assert_allclose(a, getattr(theirs.params, name), 1e-10, 1e-10 * np.abs(a).max())
    np.testing.assert_allclose(ours.threshold, theirs.threshold, 1e-8)

    _, losses = trained(COMM, replace(recipe, compile="numpy"), 20)
    np.testing.assert_allclose(losses, alone[:20], 1e-10)

    path = "run.npz"
    if RANK > 0:
        training.storage.write = None  # the first rank alone writes
    COMM.Barrier()
    trained(COMM, stop=30, checkpoint=training.Checkpoint(path, every=10**6))
    COMM.Barrier()  # rank 0 has written it
    _, rest = trained(COMM, stop=20, checkpoint=training.Checkpoint(path, every=10**6, resume=True))
    np.testing.assert_array_equal(rest, mine[30:50])

    received = [15] if RANK == 1 else []
    main.trained(sentences, None, settings, replace(recipe, epochs=10**6, patience=10**6), received, comm=COMM)
    assert received == [15] * RANK  # all stop after the same step, and the second Ctrl-C of a rank is its own

    run = training.Run(sentences, None, settings, replace(recipe, batch=1000), comm=COMM)
    run.step()
    if RANK == 1:
        run.variables.U.data[0] += 1e-12
    failing(run.step, ValueError, "every rank needs the same variables.U, got float64 (4,) with the hash", range(SIZE))
    training.initial = initial


def check_the_page():
    """The loops of the documentation."""
    page = Path(__file__).parents[1] / "docs/scale-mpi.md"
    namespace = {}
    for block in re.findall(r"^```py\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.M | re.S):
        exec(compile(block, str(page), "exec"), namespace)
    namespace["optimizer"].check_ranks()
    hits = np.argmax(namespace["model"](namespace["x"]).data, axis=1) == namespace["target"]
    assert np.mean(hits) > 0.6 and namespace["optimizer"].steps == 42


if SIZE == 2:
    for name in OPTIMIZERS:
        check_equal(name, clip=1.0 if name in ("RMSprop", "AdamW") else None)
    check_equal("momentum", np.float32, rtol=1e-4, clip=0.5)
    check_equal("Adagrad", compiled=True)
    check_forms()
    check_compiled()
    check_the_tagger()
    check_the_page()
else:
    check_equal("momentum", clip=1.0)
check_failures()
print("all is well")
