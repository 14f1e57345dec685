"""The command line as a person meets it."""

import io
import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from hostile import assert_shown

from models import conll
from models.__main__ import main, parser, story

ROOT = Path(__file__).parents[2]


def run(*words, cwd, stdin=None):
    command = [sys.executable, "-m", "models", *map(str, words)]
    environment = {"PYTHONPATH": str(ROOT), "PATH": ""}
    return subprocess.run(command, cwd=cwd, env=environment, input=stdin, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.npz"
    assert main(["train", "--model", str(path), "--epochs", "6"]) == 0
    return path


def test_with_no_word_the_whole_story(tmp_path):
    command, environment = [sys.executable, "-m", "models"], {"PYTHONPATH": str(ROOT), "PATH": ""}
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith("epoch 1/25"):  # progress is shown in a pipe too, while it happens
                assert process.poll() is None and not any(tmp_path.iterdir())
        assert process.wait() == 0 and process.stderr.read() == ""
    text = "".join(lines)
    assert max(map(len, text.splitlines())) <= 80
    epochs = [line.split()[1] for line in lines if line.startswith("epoch ")]
    assert epochs == [f"{i}/25" for i in range(1, len(epochs) + 1)] and len(epochs) > 6
    for part in ("by token", "by span", "[Paris]", "[Cape Town]", "▁", "∂J/∂W = 1 (−δxᵀ + δ_c x_cᵀ)", "(8, 20)"):
        assert part in text
    assert "last place" in text and "largest: the element farthest from 0" in text
    assert text.count(" equal, 0.") == 5  # a gradient for each of U, W, b, x, x_c
    assert "  dW = np.outer(delta, x)  # ∂s/∂W, shape (8, 20)\n" in text
    assert "turkey for the Bank of England\n" in text  # neither is a place
    assert "<svg" in (tmp_path / "window.svg").read_text()  # PATH is empty here: graphviz-pure has drawn it
    names = re.findall(r"<title>(\w+)</title>", (tmp_path / "window.svg").read_text())
    assert {"U", "W", "b", "x", "x_c", "s", "s_c", "J"} <= set(names)
    assert "true window" in (tmp_path / "window.html").read_text()
    further = [line.removesuffix("\n").rpartition(": ")[2] for line in lines if line.startswith("next: ")]
    assert further == [
        "python -m models compare",
        "docs/index.md",
        "python -m models train --model model.npz",
    ]
    assert (ROOT / further[1]).is_file()
    for command in further[0], further[2]:
        assert parser().parse_args(command.split()[3:]).run is not story


def test_the_story_without_any_graphviz_says_which_pictures_are_missing(no_graphviz, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([]) == 0
    out = capsys.readouterr().out
    assert "\nsaved window.gv, not window.svg: " in out and out.count("pip install graphviz-pure") == 2
    assert "\nwindow.html was not written: replay lays the graph out with Graphviz" in out and "open it" not in out
    assert out.count("\nnext: ") == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["window.gv"]
    assert main(["draw", "--html", "window.html"]) == 2
    assert capsys.readouterr().err.startswith("python -m models: replay lays the graph out with Graphviz")


def test_train_evaluate_tag(model, tmp_path, capsys):
    assert main(["evaluate", "--model", str(model), "--json"]) == 0
    rates = json.loads(capsys.readouterr().out)
    assert rates["token"]["f1"] > 0.6 and set(rates["span"]) == {"precision", "recall", "f1"}
    assert main(["evaluate", "--model", str(model)]) == 0
    assert f"{rates['token']['f1']:.3f}" in capsys.readouterr().out
    assert main(["tag", "--model", str(model), "Not all museums in Paris are amazing"]) == 0
    assert "in [Paris](+" in capsys.readouterr().out
    piped = run("tag", "--model", model, cwd=tmp_path, stdin="She lives in London\n\nin Rome\n")
    first, blank, last = piped.stdout.splitlines()
    assert "[London]" in first and blank == "" and "[Rome]" in last


def unmarked(line):
    return re.sub(r"\[(.*?)\]\([-+][\d.]+\)", r"\1", line)


def test_text_keeps_all_its_characters(model, capsys):
    line = "\t\u00abIn Paris\u00a0(F)\u2028\tlive 2\u202f000\u3000000  people,\u00bb said  London's mayor. "
    assert main(["tag", "--model", str(model), line]) == 0
    assert unmarked(capsys.readouterr().out) == line + "\n"
    assert main(["tag", "--model", str(model), "\u00a0\u200b"]) == 0
    assert capsys.readouterr().out == "\n"


def test_punctuation_is_no_part_of_a_location(model, capsys):
    text = 'He came to Paris. She left London, and "Rome" (near Turkey); Paris\u2019s streets\u2026'
    assert main(["tag", "--model", str(model), text]) == 0
    found = re.findall(r"\[(.*?)\]\(", capsys.readouterr().out)
    assert found == ["Paris", "London", "Rome", "Turkey", "Paris"]


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        (["I live in Rome.", "Paris"], ["I live in Rome.", "Paris"]),
        (["I", "live", "in", "Rome."], ["I live in Rome."]),
        (["Not\nall\r\nmuseums"], ["Not", "all", "museums"]),
    ],
)
def test_sentences_in_quotes_are_lines(words, lines, model, capsys):
    assert main(["tag", "--model", str(model), *words]) == 0
    assert unmarked(capsys.readouterr().out) == "".join(f"{line}\n" for line in lines)


@pytest.mark.filterwarnings("default")
def test_a_warning_is_one_line(tmp_path):
    (tmp_path / "few.conll").write_text("Paris B-LOC\nis O\n\n" * 30)
    words = ["train", "--train", "few.conll", "--model", "m.npz", "--epochs", "1", "--dim", "2", "--hidden", "2"]
    trained = run(*words, cwd=tmp_path)
    assert trained.returncode == 0
    line, progress = trained.stderr.splitlines()
    assert line.startswith("python -m models: of 52 tokens only 2 words remain, far fewer than text has; ")
    assert progress.startswith("epoch 1/1  loss ")


def test_other_corpora_and_entities(tmp_path, capsys):
    lines = [
        f"{s.tokens[i]}\tx\t{s.tags[i].replace('LOC', 'location')}"
        for s in conll.embedded("train")
        for i in range(len(s.tokens))
    ]
    many = tmp_path / "many.tsv"
    many.write_bytes(
        "\r\n\r\n".join("\r\n".join(lines[i : i + 20]) for i in range(0, len(lines), 20)).encode("utf-8-sig")
    )
    words = ["train", "--train", str(many), "--dev", str(many), "--model", str(tmp_path / "m.npz"), "--epochs", "2"]
    assert main([*words, "--entity", "GPE"]) == 2
    assert "GPE" in capsys.readouterr().err
    assert main([*words, "--no-case-feature", "--optimizer", "adam", "--seed", "5"]) == 0
    assert "development" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["evaluate", "--model", "none.npz"], "No such file"),
        (["evaluate", "--model", "README.md"], "needed a model saved by"),
        (["evaluate", "--model", "{model}", "--corpus", "none.conll"], "No such file"),
        (["evaluate", "--model", "{model}", "--corpus", "README.md"], "README.md:1: needed a token and a tag"),
        (["evaluate", "--model", "{model}", "--corpus", "empty.conll"], "needed at least one sentence, got none"),
        (["evaluate", "--model", "{model}", "--corpus", "people.conll"], "needs a corpus with LOC, got none"),
        (["train", "--model", "m.npz", "--train", "empty.conll"], "needed at least one sentence"),
        (["train", "--model", "m.npz", "--train", "people.conll"], "see --entity"),
        (["train", "--model", "no/such/m.npz"], "make no/such first"),
        (["train", "--model", "m.npz", "--hidden", "0"], "hidden needs to be at least 1, got 0"),
        (["train", "--model", "m.npz", "--learning-rate", "-1"], "learning rate above 0, got -1"),
        (["tag", "--model", "none.npz", "Paris"], "No such file"),
    ],
)
def test_mistakes_are_explained_and_exit_with_2(words, message, model, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("README.md").write_text("#minigrad\n")
    Path("empty.conll").write_text("\n\n")
    Path("people.conll").write_text("\n\n".join(["Ann B-PER\nsings O"] * 12))
    assert main([word.replace("{model}", str(model)) for word in words]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert "Traceback" not in captured.err


@pytest.mark.parametrize(
    ("cupy", "message"),
    [
        (None, 'needs CuPy: pip install -e ".[arrays]"'),
        (SimpleNamespace(cuda=SimpleNamespace(is_available=lambda: False)), "CuPy finds none; train with --device cpu"),
        (
            SimpleNamespace(cuda=SimpleNamespace(is_available=lambda: True), asarray=None, asnumpy=None),
            "train without --compile, or with --device cpu",
        ),
    ],
    ids=["no CuPy", "no GPU", "compiled"],
)
def test_without_a_gpu_nothing_is_read(cupy, message, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    words = ["train", "--device", "gpu", "--compile", "--train", "none.conll", "--model", str(tmp_path / "m.npz")]
    assert main(words) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and message in captured.err and captured.err.count("\n") == 1


def test_draw_a_new_model_and_a_trained_one(model, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["draw"]) == 0
    assert Path("window.svg").read_bytes().startswith(b"<?xml")
    assert main(["draw", "--model", str(model), "--out", "w.gv", "--html", "w.html"]) == 0
    assert capsys.readouterr().out.splitlines() == ["saved window.svg", "saved w.gv", "saved w.html"]
    assert "true window" in Path("w.gv").read_text(encoding="utf-8")
    assert Path("w.html").stat().st_size < 1_000_000
    assert main(["draw", "--html", "t.html", "--steps", "2"]) == 0
    assert 'id="strip"' in Path("t.html").read_text(encoding="utf-8")
    assert main(["draw", "--steps", "2"]) == main(["draw", "--html", "t.html", "--steps", "0"]) == 2
    assert main(["draw", "--out", "w.bmp"]) == 2
    assert "saved as .svg, .png, .pdf, .html or .gv, got w.bmp" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["train"], ["evaluate"], ["tag"], ["draw"]])
def test_help_reads_well(words, capsys):
    with pytest.raises(SystemExit) as stop:
        main([*words, "--help"])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    assert out.startswith("usage: python -m models") and "None" not in out and "(default: ==" not in out
    if words == ["train"]:
        assert "(default: 100)" in out and "--no-case-feature" in out


def test_whatever_a_path_or_an_option_contains_the_terminal_only_shows_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    red = "\x1b[31m\u202e\n"
    Path(red).mkdir()
    copy, html = f"{red}/n.npz", f"{red}/c.html"
    for words, code in [
        (["train", "--model", copy, "--epochs", "1", "--dim", "2", "--hidden", "2"], 0),
        (["train", "--model", f"{red}/no/m.npz"], 2),
        (["train", "--model", "m.npz", "--entity", red], 2),
        (["train", "--model", "m.npz", "--train", red], 2),
        (["evaluate", "--model", copy, "--corpus", f"{red}/none"], 2),
        (["evaluate", "--model", f"{red}/none.npz"], 2),
        (["compare", "--model", copy, "--html", html, "--draws", "1"], 0),
        (["compare", "--model", copy, "--html", f"{red}/no/c.html"], 2),
        (["draw", "--model", copy, "--html", html], 0),
    ]:
        assert main(words) == code
        captured = capsys.readouterr()
        assert_shown(captured.out + captured.err)
        assert r"\x1b[31m\u202e" in captured.out + captured.err
        assert code == 0 or len(captured.err.splitlines()) == 1
    with pytest.raises(SystemExit):
        main(["evaluate", "--model", copy, red])
    assert_shown(capsys.readouterr().err)


def test_text_is_shown_in_a_terminal_and_unchanged_in_a_pipe(model, monkeypatch):
    for is_terminal, expected in (True, "\\x1b[31m\n"), (False, "\x1b[31m\n"):
        screen = io.StringIO()
        monkeypatch.setattr(screen, "isatty", lambda answer=is_terminal: answer)
        monkeypatch.setattr(sys, "stdout", screen)
        assert main(["tag", "--model", str(model), "\x1b[31m"]) == 0
        assert screen.getvalue() == expected


@pytest.mark.parametrize(("command", "threads"), [("tag", "1"), ("text", None)])
def test_small_products_are_computed_by_one_thread(command, threads):
    code = f"""
import contextlib, io, os, runpy, sys
sys.argv[1:] = ["{command}", "--help"]
with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
    runpy.run_module("models", run_name="__main__")
print(os.environ.get("OMP_NUM_THREADS"))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env={"PATH": ""}, capture_output=True, text=True)
    assert done.stdout == f"{threads}\n", done.stderr
