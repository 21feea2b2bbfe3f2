"""Wrong uses of the commands: one line with the remedy, status 2, no traceback, and nothing is changed."""

import shlex

import pytest
from misused import QUICK, SMALL, lay_out
from wrong_uses import WRONG

from scratchattn import cli


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("misuse")
    lay_out(folder)
    return folder


@pytest.fixture
def command(world, monkeypatch, capsys):
    """Runs a command line in the world -> status, stdout, stderr."""
    monkeypatch.chdir(world)
    capsys.readouterr()

    def run(line):
        name, *words = shlex.split(line)
        try:
            status = {"scratchattn": cli.main, "gradcheck": cli.gradcheck_main}[name](words)
        except SystemExit as end:  # argparse
            status = end.code
        return status, *capsys.readouterr()

    return run


def contents(folder):
    """path -> bytes of all that is there, but for what Python keeps of modules."""
    found = {path: path.is_file() and path.read_bytes() for path in folder.rglob("*")}
    return {path: what for path, what in found.items() if "__pycache__" not in path.parts}


def test_the_table_is_as_long_as_it_was_promised():
    assert len({line for line, _ in WRONG}) > 150
    verbs = {name: cli.parser(name)._subparsers._group_actions[0].choices for name in cli.VERBS}
    tried = {tuple(line.split()[:2]) for line, _ in WRONG}
    own_tables = {("scratchattn", "data")}  # test_cli_data
    assert {(name, verb) for name, those in verbs.items() for verb in those} - tried <= own_tables


def _short(text):
    return text.replace(f"{SMALL} ", "").replace(f"{QUICK} ", "").replace(f" {QUICK}", "")[:60]


@pytest.mark.parametrize("line, told", WRONG, ids=[_short(line) for line, _ in WRONG])
def test_a_wrong_use(line, told, world, command):
    before = contents(world)
    status, out, err = command(line)
    assert status == 2, (out, err)
    assert not out and err.count("\n") == 1 and err.startswith(line.split()[0]), err
    assert told in err
    assert contents(world) == before


FAILED = [  # what goes wrong only after the training has begun: status 1
    (
        f"train own.py:GRU late.py:Parity {QUICK} --out late",
        "scratchattn: OverflowError: too late (late.py, line ",
    ),
    (f"train undrawn.py:GRU own.py:Parity {QUICK} --out undrawn", "KeyError: 'colour' (undrawn.py, line "),
    (
        f"train own.py:GRU own.py:Parity {QUICK} --out far --set learning_rate=1e38 --set clip=0 "
        "--set optimiser=sgd",
        "the loss is nan at step 3; what went first: an output of",
    ),
]


@pytest.mark.parametrize("line, told", FAILED, ids=["late", "undrawn", "far"])
def test_a_training_that_fails(line, told, command):
    status, out, err = command(f"scratchattn {line}")
    assert status == 1 and not out and "Traceback" not in err
    assert told in err.splitlines()[-1]


def test_options_may_stand_between_the_words(command, world):
    status, out, _ = command(f"scratchattn train own.py:GRU --seed 3 own.py:Parity {QUICK} --out between")
    assert status == 0 and "the run is in between" in out


def test_pictures_that_cannot_be_written_leave_the_report(command, world):
    status, out, err = command("scratchattn show run --out page.html --export file")
    assert status == 2 and not out and err == "scratchattn: file: File exists; name another one\n"
    assert "</html>" in (world / "page.html").read_text()
