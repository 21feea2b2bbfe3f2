"""Functions that misbehave, held against an op by the command: always a verdict and one JSON object."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from scratchattn import cli

ROOT = Path(__file__).resolve().parents[1]
THEIRS = """
import os, sys, time
import numpy as np

print("chatty when imported")

def shape(a): return np.exp(a)[None, None]
def integers(a): return np.exp(a).astype(int)
def nan(a): return np.exp(a) * np.nan
def view(a): return a[...]
def raises(a): raise RuntimeError("no\\nsuch luck")
def hangs(a): time.sleep(60)
def needs(a, temperature): return np.exp(a)
def exits(a): raise SystemExit(3)
def interrupts(a): raise KeyboardInterrupt
def recurses(a): return recurses(a)
def allocates(a): return np.empty((1 << 50,))
def yields(a): yield np.exp(a)
def complains(a): np.seterr(all="raise"); return np.exp(a)

def changes(a):
    out = np.exp(a)
    a *= 2
    return out

def prints(a):
    print("loud")
    sys.__stdout__.write("louder")
    os.write(1, b"from below")
    return np.exp(a)

class Unsayable(Exception):
    def __str__(self): raise ValueError("no text")

def unsayable(a): raise Unsayable

class Opaque:
    def __getattr__(self, name): raise RuntimeError(name)
    def __call__(self, a): return np.exp(a)

opaque = Opaque()
"""
VERDICTS = {
    "shape": ("differs", "shape (1, 1,"),
    "integers": ("differs", "is of int64, float32 expected"),
    "nan": ("differs", "is NaN in"),
    "view": ("differs", "out beyond 6 sigma"),
    "raises": ("crashes", "RuntimeError: no such luck"),
    "hangs": ("crashes", "hangs: no answer in 0.5 s"),
    "needs": ("cannot be asked", "needs the argument 'temperature'"),
    "exits": ("crashes", "SystemExit: 3"),
    "interrupts": ("crashes", "KeyboardInterrupt"),
    "recurses": ("crashes", "RecursionError: maximum recursion depth"),
    "allocates": ("crashes", "MemoryError"),
    "yields": ("crashes", "returned generator; an array expected"),
    "complains": ("conforms", "conforms to exp"),
    "changes": ("differs", "changes its input a"),
    "unsayable": ("crashes", "Unsayable: which raises ValueError when it is to be said"),
    "opaque": ("conforms", "conforms to exp"),
}


def strict(text):
    def refused(constant):
        raise ValueError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refused)


@pytest.fixture
def theirs(tmp_path):
    file = tmp_path / "theirs.py"
    file.write_text(THEIRS)
    return file


@pytest.mark.parametrize("name", VERDICTS)
def test_a_function_that_misbehaves_gets_a_verdict(name, theirs, capsys):
    words = ["verify", f"{theirs}:{name}", "--against", "exp", "--seeds", "1", "--time-limit", "0.5"]
    verdict, told = VERDICTS[name]
    for form in ([], ["--json"]):
        status = cli.gradcheck_main([*words, *form])
        said = capsys.readouterr()
        assert status == int(verdict != "conforms") and "Traceback" not in said.err
        assert f"{theirs}:{name}" in said.out
    report = strict(said.out)
    assert report["verdict"] == verdict and told in report["sentence"] + str(report["cases"])
    assert report["function"] == f"{theirs}:{name}"


def test_what_it_prints_does_not_spoil_the_object(theirs):
    """In a process of its own: one writes below Python's sys.stdout."""
    words = ["verify", f"{theirs}:prints", "--against", "exp", "--seeds", "1", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "gradcheck", *words], capture_output=True, text=True, cwd=ROOT, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert strict(done.stdout)["conforms"]
    assert all(words in done.stderr for words in ("chatty when imported", "loud", "louder", "from below"))
