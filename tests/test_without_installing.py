"""The page about browsers is true where there are no processes, no threads, no Graphviz, and only required packages."""

import subprocess
import sys

from pages import ROOT, WITHOUT_INSTALLING, blocks, split_output

BROWSER = """
import importlib.abc, os, subprocess, sys, threading

class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"numba", "scipy", "rich", "safetensors", "matplotlib", "playwright"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

def refuse(*args, **kwargs):
    raise OSError("emscripten does not support processes.")

def start(thread):
    raise RuntimeError("can't start new thread")

sys.meta_path.insert(0, Missing())
subprocess.Popen.__init__ = refuse
os.fork = os.posix_spawn = refuse
threading.Thread.start = start
os.environ["PATH"] = ""
from minigrad.viz import command
command.sysconfig.get_path = lambda name: ""
"""


def test_the_code_of_the_page_runs_without_processes_and_threads(tmp_path):
    code = [split_output(block) for block in blocks(WITHOUT_INSTALLING.read_text(encoding="utf-8"))]
    script = tmp_path / "page.py"
    script.write_text(BROWSER + "\n".join(source for source, _ in code), encoding="utf-8")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [line for _, output in code for line in output]


def test_nothing_in_the_wheel_is_compiled():
    """Then its name says py3-none-any, and a browser takes it."""
    files = {path for path in (ROOT / "minigrad").rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert {path.suffix for path in files} <= {".py", ".pyi", ".typed", ".html", ".css", ".js"}
