"""Training is never lost: real signals, real pipes, real processes, and runs that are resumed."""

import errno
import fcntl
import io
import math
import os
import pty
import resource
import shutil
import signal
import subprocess
import sys
import termios
from pathlib import Path

import numpy as np
import pytest

from models import conll, storage
from models.__main__ import main
from models.tagger import Settings, Tagger
from models.training import OPTIMIZERS, Checkpoint, Diverged, Recipe, train

ROOT = Path(__file__).parents[2]
SENTENCES = conll.embedded("train")[:120]
SMALL = Settings(dim=3, hidden=4)
ENDLESS = ["--dim", "2", "--hidden", "2", "--epochs", "1000000", "--patience", "1000000", "--batch", "50"]


def python(*words, cwd, **options):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"} | options.pop("env", {})
    command = [sys.executable, "-m", "models", *map(str, words)]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | options
    return subprocess.Popen(command, cwd=cwd, env=environment, **streams)


def run(*words, **options):
    process = python(*words, **options)
    out, err = process.communicate(timeout=60)
    assert "Traceback" not in (err or "")
    return process.returncode, out, err


def same(one, other):
    assert one.threshold == other.threshold and one.vocabulary.words == other.vocabulary.words
    for name, a in vars(one.params).items():
        np.testing.assert_array_equal(a, getattr(other.params, name))


def stop_after(steps):
    """A report after which training stops, as if a signal had come in its last step."""
    count = iter(range(1, steps + 1))

    def report(now):
        if next(count) == steps:
            raise KeyboardInterrupt

    return report


# checkpoints


@pytest.mark.parametrize(("optimizer", "compiled"), [*((name, None) for name in OPTIMIZERS), ("adam", "numpy")])
def test_a_resumed_run_is_the_uninterrupted_one_to_the_bit(optimizer, compiled, tmp_path):
    recipe = Recipe(epochs=3, batch=40, optimizer=optimizer, compile=compiled)
    steps = []
    whole = train(SENTENCES, settings=SMALL, recipe=recipe, report=lambda now: steps.append(now.done))
    per_epoch = len(steps) // 3
    assert per_epoch > 2
    file = tmp_path / "run"
    for part, stop in enumerate([1, per_epoch, 1, len(steps)]):  # in an epoch, after it, again, and to the end
        with np.errstate(all="raise"):
            report = stop_after(stop) if part < 3 else lambda now: None
            found = train(SENTENCES, None, SMALL, recipe, report, Checkpoint(file, resume=part > 0))
    same(found, whole)
    same(train(SENTENCES, None, SMALL, recipe, checkpoint=Checkpoint(file, resume=True)), whole)  # it was finished


def test_a_resumed_run_keeps_the_backend_that_its_first_step_chose(tmp_path, monkeypatch):
    """Its own first step may be that of a smaller minibatch, which would choose another, of other bits."""
    used = []

    class Compiled:
        def __init__(self, step, *, backend, calls=math.inf):
            self.step, self.backend, self.calls = step, backend, calls

        def __call__(self, true, corrupt):
            if self.calls < math.inf and len(true.words) < 40:
                self.backend = "numpy"
            self.calls = math.inf
            used.append((len(true.words), self.backend))
            return self.step(true, corrupt)

    monkeypatch.setattr("minigrad.compile", Compiled)
    recipe, file = Recipe(epochs=2, batch=40, compile="numba"), tmp_path / "run"
    whole = train(SENTENCES, settings=SMALL, recipe=recipe)
    per_epoch = len(used) // 2
    assert used[per_epoch - 1][0] < 40
    expected, used[:] = list(used), []
    train(SENTENCES, None, SMALL, recipe, stop_after(per_epoch - 1), Checkpoint(file))
    same(train(SENTENCES, None, SMALL, recipe, checkpoint=Checkpoint(file, resume=True)), whole)
    assert used == expected


def test_what_a_hostile_checkpoint_says_is_shown_and_short(tmp_path):
    file = tmp_path / "run"
    train(SENTENCES, None, SMALL, Recipe(epochs=1), checkpoint=Checkpoint(file))
    with storage.reading(file, "a run") as whole:
        about = whole.about()
    hostile = "\x1b[31m\n" * 100_000
    for spoilt in (
        about | {"checkpoint": hostile},
        about | {"run": about["run"] | {"hidden": hostile, "entity": [hostile]}},
        about | {hostile: 1, "state": {hostile: 1}},
        about | {"state": about["state"] | {"backend": "numba"}},
    ):
        storage.write(file, spoilt, {hostile[:99]: np.ones(1)})
        with pytest.raises(ValueError) as error:
            train(SENTENCES, None, SMALL, Recipe(epochs=1), checkpoint=Checkpoint(file, resume=True))
        assert len(str(error.value)) < 2000 and str(error.value).isprintable()


def test_checkpoints_are_written_every_so_many_steps(tmp_path):
    recipe = Recipe(epochs=4, batch=30, patience=9)
    whole = train(SENTENCES, settings=SMALL, recipe=recipe)
    copies = []

    def report(now):
        content = (tmp_path / "run").read_bytes() if (tmp_path / "run").exists() else None
        if content not in copies:
            copies.append(content)

    steps = []
    train(SENTENCES, None, SMALL, recipe, lambda now: (steps.append(0), report(now)), Checkpoint(tmp_path / "run", 4))
    assert len([c for c in copies if c is not None]) in (len(steps) // 4, len(steps) // 4 + 1)  # and at the end
    for copy in copies[1:]:
        (tmp_path / "copy").write_bytes(copy)
        same(train(SENTENCES, None, SMALL, recipe, checkpoint=Checkpoint(tmp_path / "copy", resume=True)), whole)


def test_another_run_is_not_resumed_and_an_unfinished_one_not_replaced(tmp_path):
    file, recipe = tmp_path / "run", Recipe(epochs=2)
    train(SENTENCES, None, SMALL, recipe, stop_after(1), Checkpoint(file))
    before = file.read_bytes()
    other = [*SENTENCES[:-1], conll.Sentence(["x"], ["O"])]
    for sentences, development, settings, other_recipe, message in [
        (
            SENTENCES,
            None,
            Settings(dim=3, hidden=5),
            Recipe(epochs=2, seed=1),
            "hidden was 4 and is 5, seed was 0 and is 1",
        ),
        (other, None, SMALL, recipe, "training corpus is another$"),
        (SENTENCES, SENTENCES, SMALL, recipe, "development corpus is another$"),
    ]:
        with pytest.raises(ValueError, match=message):
            train(sentences, development, settings, other_recipe, checkpoint=Checkpoint(file, resume=True))
    with pytest.raises(ValueError, match=r"of a run that is not finished.*--resume"):
        train(SENTENCES, None, SMALL, recipe, checkpoint=Checkpoint(file))
    assert file.read_bytes() == before
    with pytest.raises(FileNotFoundError):
        train(SENTENCES, None, SMALL, recipe, checkpoint=Checkpoint(tmp_path / "none", resume=True))
    train(SENTENCES, None, SMALL, recipe, checkpoint=Checkpoint(file, resume=True))
    train(SENTENCES, None, SMALL, recipe, checkpoint=Checkpoint(file))  # it is finished
    with pytest.raises(ValueError, match="every needs to be at least 1, got 0"):
        Checkpoint(file, every=0)


def test_a_checkpoint_that_cannot_be_written_is_a_warning(tmp_path):
    folder = tmp_path / "gone"
    with pytest.warns(UserWarning, match=r"the checkpoint of step \d+ could not be written: .*make .*gone first"):
        found = train(SENTENCES, None, SMALL, Recipe(epochs=1), checkpoint=Checkpoint(folder / "run"))
    same(found, train(SENTENCES, None, SMALL, Recipe(epochs=1)))


# signals


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_saves_the_best_model_and_the_checkpoint(number, code, tmp_path):
    process = python("train", "--model", "m.npz", "--checkpoint", "run", "--every", "1", *ENDLESS, cwd=tmp_path)
    assert process.stdout.readline().startswith("training on")
    wait_for(tmp_path / "run")
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert err.splitlines()[-1] == "stopping after this step, Ctrl-C to stop at once" and out.endswith("saved m.npz\n")
    Tagger.load(tmp_path / "m.npz")
    assert sorted(os.listdir(tmp_path)) == ["m.npz", "run"]


def wait_for(path):
    for _ in range(3000):
        if path.exists():
            return
        signal.sigtimedwait([], 0.01)
    pytest.fail(f"{path} did not come")


def test_a_second_ctrl_c_stops_at_once(monkeypatch, tmp_path):
    """Real signals in this process, the second one before the step is over."""
    before = signal.getsignal(signal.SIGINT)

    def twice(self):
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)  # as some supervisors do
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("models.training.Run.step", twice)
    with pytest.raises(SystemExit) as stop:
        main(["train", "--model", str(tmp_path / "m.npz"), "--checkpoint", str(tmp_path / "run")])
    assert stop.value.code == 130 and os.listdir(tmp_path) == []
    assert signal.getsignal(signal.SIGINT) is before


def test_an_ignored_signal_stays_ignored(tmp_path):
    words = ["train", "--model", "m.npz", "--checkpoint", "run", "--every", "1", *ENDLESS]
    process = python(*words, cwd=tmp_path, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    wait_for(tmp_path / "run")
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 143


# output and places


def test_a_reader_that_leaves_does_not_cost_the_model(tmp_path):
    read, write = os.pipe()
    process = python("train", "--model", "m.npz", "--epochs", "1", "--dim", "2", cwd=tmp_path, stdout=write)
    os.close(write)
    os.close(read)  # as `| true`
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0
    (progress,) = err.splitlines()
    assert progress.startswith("epoch 1/1  loss ")
    Tagger.load(tmp_path / "m.npz")
    read, write = os.pipe()
    os.close(read)
    code, _, err = run("tag", "--model", "m.npz", "Paris", cwd=tmp_path, stdout=write)  # did not do its work
    os.close(write)
    assert (code, err) == (141, "")
    with open("/dev/full", "w") as full:
        code, _, err = run("evaluate", "--model", "m.npz", cwd=tmp_path, stdout=full, env={"PYTHONUNBUFFERED": ""})
    assert code == 2 and err == "python -m models: [Errno 28] No space left on device\n"


def test_closed_streams_are_a_line(tmp_path):
    train(SENTENCES, settings=SMALL, recipe=Recipe(epochs=1)).save(tmp_path / "m.npz")
    for command, message in (
        ("tag --model m.npz <&-", "standard input is closed"),
        (
            "evaluate --model m.npz >&-",
            "standard output is closed",
        ),
    ):
        words = ["sh", "-c", f"{sys.executable} -m models {command}"]
        done = subprocess.run(
            words, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 2 and message in done.stderr and len(done.stderr.splitlines()) == 1


def test_where_the_place_of_a_model_is_gone_it_is_saved_elsewhere_and_that_is_named(tmp_path):
    (tmp_path / "gone").mkdir()
    process = python("train", "--model", "gone/m.npz", "--checkpoint", "run", "--every", "1", *ENDLESS, cwd=tmp_path)
    wait_for(tmp_path / "run")
    shutil.rmtree(tmp_path / "gone")
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    (place,) = tmp_path.glob("model-*.npz")
    assert process.returncode == 2 and f"gone/m.npz could not be written, the model is in {place}" in err
    Tagger.load(place)


@pytest.mark.parametrize("model", [".", "fifo", "corpus", "corpus/m.npz", "x" * 300, "no/such/m.npz", "run"])
def test_a_destination_is_checked_before_anything_is_trained(model, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("fifo")
    lines = "\n\n".join("\n".join(map(" ".join, zip(s.tokens, s.tags))) for s in SENTENCES)
    Path("corpus").write_text(lines)
    before = sorted(os.listdir())
    assert main(["train", "--train", "corpus", "--model", model, "--checkpoint", "run"]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and len(captured.err.splitlines()) == 1
    assert Path("corpus").read_text() == lines and sorted(os.listdir()) == before


def test_a_full_disk_leaves_the_old_model(tmp_path):
    (tmp_path / "m.npz").write_bytes(b"old")
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))  # noqa: E731
    words = ["train", "--model", "m.npz", "--epochs", "1", "--dim", "2", "--hidden", "2"]
    code, _, err = run(*words, cwd=tmp_path, preexec_fn=limit)
    assert code == 2 and "m.npz could not be written, and no other place could be ([Errno 27] File too large)" in err
    assert (tmp_path / "m.npz").read_bytes() == b"old" and os.listdir(tmp_path) == ["m.npz"]


SHORT = ["train", "--model", "m.npz", "--epochs", "1", "--dim", "2", "--hidden", "2"]


@pytest.mark.parametrize(("hang_up", "epochs", "code"), [(signal.SIG_DFL, "100000", 129), (signal.SIG_IGN, "3", 0)])
def test_a_terminal_that_is_closed_does_not_cost_the_model(hang_up, epochs, code, tmp_path):
    """Closing it sends SIGHUP, which may be ignored; from then on nothing can be written to it."""
    ours, its = pty.openpty()

    def start():
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        signal.signal(signal.SIGHUP, hang_up)

    words = [*SHORT, "--epochs", epochs, "--patience", "100000", "--checkpoint", "run", "--every", "1"]
    process = python(*words, cwd=tmp_path, stdin=its, stdout=its, stderr=its, preexec_fn=start)
    os.close(its)
    wait_for(tmp_path / "run")
    os.close(ours)
    assert process.wait(60) == code
    Tagger.load(tmp_path / "m.npz")


@pytest.mark.parametrize("stream", ["full", "closed", "nobody reads"])
@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_no_output_is_worth_a_model(name, stream, tmp_path):
    """A corpus of two words is a warning; so is a checkpoint that cannot be written."""
    (tmp_path / "few").write_text("Paris B-LOC\nis O\n\n" * 30)
    read, write = os.pipe()
    os.close(read)
    place = open("/dev/full", "wb", 0) if stream == "full" else open(write, "wb", 0)  # noqa: SIM115
    others = {"stdout": "stderr", "stderr": "stdout"}
    close = {"preexec_fn": lambda: os.close(1 if name == "stdout" else 2)} if stream == "closed" else {}
    words = [*SHORT, "--train", "few", "--checkpoint", "run"]
    with place:
        process = python(*words, cwd=tmp_path, **{name: place, others[name]: subprocess.PIPE}, **close)
        process.communicate(timeout=60)
    if (name, stream) == ("stdout", "closed"):  # which is found before training
        assert process.returncode == 2 and not (tmp_path / "m.npz").exists()
    else:
        assert process.returncode == 0
        Tagger.load(tmp_path / "m.npz")


def test_the_best_model_is_saved_before_anybody_hears_of_the_failure(monkeypatch, tmp_path):
    tagger = train(SENTENCES, settings=SMALL, recipe=Recipe(epochs=1))

    def diverge(*_, **__):
        raise Diverged("the loss is nan", tagger)

    class Full(io.StringIO):
        def write(self, text):
            assert (tmp_path / "m.npz").exists()
            raise OSError(errno.ENOSPC, "No space left on device")

        def fileno(self):
            return descriptor

    monkeypatch.setattr("models.__main__.train", diverge)
    with open("/dev/full", "wb", 0) as full:
        descriptor = full.fileno()
        monkeypatch.setattr(sys, "stderr", Full())
        assert main(["train", "--model", str(tmp_path / "m.npz")]) == 1
    same(Tagger.load(tmp_path / "m.npz"), tagger)


def test_with_standard_streams_closed_no_file_takes_their_place(tmp_path):
    """As daemons start: what goes to standard error must not go into the file that is written."""

    def close():
        os.close(0)
        os.close(2)

    words = ["train", "--model", "m.npz", "--checkpoint", "run", "--every", "1", *ENDLESS]
    process = python(*words, cwd=tmp_path, stderr=None, preexec_fn=close)
    wait_for(tmp_path / "run")
    descriptors = {n: os.readlink(f"/proc/{process.pid}/fd/{n}") for n in ("0", "2")}
    assert descriptors == {"0": "/dev/null", "2": "/dev/null"}
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 143
    Tagger.load(tmp_path / "m.npz")


@pytest.mark.parametrize("words", [[], ["compare"]])
def test_ctrl_c_stops_a_command_that_trains_on_its_way(words, monkeypatch, tmp_path, capsys):
    from models.training import Run

    step = Run.step

    def interrupted(self):
        signal.raise_signal(signal.SIGINT)
        return step(self)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("models.training.Run.step", interrupted)
    assert main(words) == 130 and os.listdir(tmp_path) == []
    assert "Locations" not in capsys.readouterr().out


# numbers that are not


@pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")
def test_a_run_that_diverges_keeps_the_best_model_before(monkeypatch, tmp_path, capsys):
    from models import training

    def explode(now):
        if now.epoch == 2:
            descent.variables.W.data[...] = np.inf

    class descent:
        make = training._descent

        def __new__(cls, variables, optimizer):
            cls.variables = variables
            return cls.make(variables, optimizer)

    monkeypatch.setattr(training, "_descent", descent)
    recipe = Recipe(epochs=5, batch=50)
    with pytest.raises(
        Diverged, match=r"the loss is nan at step \d+, in epoch 2: training stops, the best model, of epoch 1,"
    ):
        train(SENTENCES, None, SMALL, recipe, explode, Checkpoint(tmp_path / "run"))
    monkeypatch.undo()
    path = tmp_path / "m.npz"
    for rate in "1e30", "1e300":
        path.write_bytes(b"good")
        assert (
            main(["train", "--model", str(path), "--learning-rate", rate, "--optimizer", "sgd", "--epochs", "3"]) == 1
        )
        assert "training stops, there is no model yet" in capsys.readouterr().err and path.read_bytes() == b"good"


@pytest.mark.parametrize(
    ("option", "message"),
    [
        *(
            ("--learning-rate=" + x, "needs a finite learning rate above 0, got")
            for x in ("inf", "0", "nan", "-inf", "-0.0")
        ),
        *(("--word-dropout " + x, "word_dropout needs to be at least 0 and finite, got") for x in ("inf", "nan")),
        *(("--held-out " + x, "held_out needs to be between 0 and 1, got") for x in ("inf", "nan")),
        *(("--average " + x, "average needs to be above 0 and at most 1, got") for x in ("inf", "nan")),
        ("--seed -1", "seed needs to be at least 0, got -1"),
        ("--every 3", "--resume and --every need --checkpoint FILE"),
        ("--resume", "--resume and --every need --checkpoint FILE"),
        ("--hidden 100000000000", "not enough memory for this size or corpus; Unable to allocate"),
        ("--dim 10000000000000000000000", "python -m models: "),
        ("--corrupt 1000000000000", "not enough memory"),
    ],
)
def test_absurd_options_are_a_line(option, message, tmp_path, capsys):
    (tmp_path / "m.npz").write_bytes(b"good")
    assert main(["train", "--model", str(tmp_path / "m.npz"), *option.split()]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line and (tmp_path / "m.npz").read_bytes() == b"good"


def test_an_endless_corpus_is_a_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(conll, "LARGEST", 3_000_000)
    assert main(["train", "--model", str(tmp_path / "m.npz"), "--train", "/dev/zero"]) == 2
    assert "/dev/zero: needed a corpus of at most 3,000,000 bytes, got more" in capsys.readouterr().err
    little = lambda: resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))  # noqa: E731
    words = ["train", "--model", "m.npz", "--train", "/dev/stdin"]
    with subprocess.Popen(["yes", "Paris B-LOC"], stdout=subprocess.PIPE) as endless:  # a FIFO
        few_threads = {"OPENBLAS_NUM_THREADS": "1"}
        code, _, err = run(*words, cwd=tmp_path, stdin=endless.stdout, preexec_fn=little, env=few_threads)
        endless.kill()
    assert code == 2 and err.startswith("python -m models: not enough memory for this size or corpus")


def test_tables_in_an_ascii_locale(tmp_path):
    locale = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    print_tables = """if 1:
        from models import slides, terminal
        from models.__main__ import print_tables
        with terminal.streams():
            print_tables({chr(0xFC) + chr(0xDCFF): [slides.table([(d, [next(slides.random_arguments(d, 0))])])[0]
                                       for d in slides.DERIVATIONS[6:8]]})
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT)} | locale
    words = [sys.executable, "-c", print_tables]
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    title, _, *rows = done.stdout.decode("ascii").splitlines()
    assert title == r"\xfc\udcff" and "ds/dU = a  " in rows[0]
    assert rows[0].index("(8,)") == rows[1].index("(8,)")
