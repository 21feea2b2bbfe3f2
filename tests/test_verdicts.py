"""The script that repeats the verdicts on public implementations, with stand-ins written here for theirs."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.peers
EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
PAPER, REVERSED = "weights[(i + 1 - j) % n]", "weights[(i + j - 1) % n]"
NTM = """
import torch

def _convolve(weights, shift):
    assert len(shift) == 3
    n = len(weights)
    at = lambda i: sum(shift[j] * INDEX for j in range(3))
    return torch.stack([at(i) for i in range(n)])

class NTMMemory(torch.nn.Module):
    def __init__(self, rows, width):
        super().__init__()

    def _interpolate(self, previous, content, gate):
        return gate * content + (1 - gate) * previous * FACTOR
"""

PARTS = """
import torch
from torch import nn
from verify_ntm_step import address

class NTMMemory(nn.Module):
    def __init__(self, rows, width):
        super().__init__()
        self.width = width

class Head(nn.Module):
    def __init__(self, memory, units):
        super().__init__()
        self.memory = memory
        setattr(self, self.layer, nn.Linear(units, sum(self.sizes(memory.width))))

    def looks(self, shown, before):
        told = getattr(self, self.layer)(shown).split(self.sizes(self.memory.width), 1)
        key, strength, gate, shift, sharpness = (a if a.shape[1] > 1 else a[:, 0] for a in told[:5])
        return address(self.memory.memory, before, key, strength, gate, shift, sharpness), told[5:]

class NTMReadHead(Head):
    layer, sizes = "fc_read", staticmethod(lambda width: [width, 1, 1, 3, 1])

    def forward(self, shown, before):
        w, _ = self.looks(shown, before)
        return (w[:, None] @ self.memory.memory)[:, 0], w

class NTMWriteHead(Head):
    layer, sizes = "fc_write", staticmethod(lambda width: [width, 1, 1, 3, 1, width, width])

    def forward(self, shown, before):
        w, (ERASE, ADD) = self.looks(shown, before)
        kept = self.memory.memory * (1 - w[:, :, None] * torch.sigmoid(erase)[:, None])
        self.memory.memory = kept + w[:, :, None] * add[:, None]
        return w

class LSTMController(nn.Module):
    def __init__(self, inputs, units, layers):
        super().__init__()
        self.lstm = nn.LSTM(inputs, units, layers)
"""
WHOLE = """
import torch
import torch.nn.functional as F
from .memory import NTMReadHead

class NTM(torch.nn.Module):
    def __init__(self, inputs, outputs, controller, memory, heads):
        super().__init__()
        self.controller, self.memory, self.heads = controller, memory, heads
        self.fc = torch.nn.Linear(1, outputs)

    def forward(self, x, state):
        reads, state, before = state
        shown, state = self.controller.lstm(torch.cat([x, *reads], 1)[None], state)
        reads, after = [], []
        for head, w in zip(self.heads, before):
            found = head(shown[0], w)
            if isinstance(head, NTMReadHead):
                reads.append(found[0])
            after.append(found[1] if isinstance(head, NTMReadHead) else found)
        return F.sigmoid(self.fc(torch.cat([shown[0], *reads], 1))), (reads, state, after)
"""


@pytest.fixture
def scripts(monkeypatch):
    """The modules beside the script, forgotten afterwards."""
    pytest.importorskip("torch")
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import verdicts
    import verdicts_adapters

    yield verdicts, verdicts_adapters
    for name in set(sys.modules) - before:
        if name.startswith(("verdicts", "verify", "ntm", "act")):
            del sys.modules[name]


def stand_in(folder, index=PAPER, factor="1"):
    """A clone with the functions of pytorch-ntm that are looked at here."""
    (folder / "pytorch-ntm" / "ntm").mkdir(parents=True)
    (folder / "pytorch-ntm" / "ntm" / "__init__.py").touch()
    text = NTM.replace("INDEX", index).replace("FACTOR", factor)
    (folder / "pytorch-ntm" / "ntm" / "memory.py").write_text(text, encoding="utf-8")
    return folder / "pytorch-ntm"


def judged(scripts, folder, what, monkeypatch, dtype="float64"):
    monkeypatch.syspath_prepend(str(folder))
    rows = scripts[0].listed("verdicts_ntm.pytorch_ntm", folder)
    (row,) = [row for row in rows if row.what == what]
    return scripts[0].verdict(row, dtype)


def test_an_empty_folder_is_told_what_is_missing(scripts, tmp_path):
    command = [sys.executable, str(EXAMPLES / "verdicts.py"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and done.stdout.startswith("| repository |")
    assert len(done.stdout.splitlines()) == 2  # the head alone
    for name, (owner, *_) in scripts[0].CLONES.items():
        assert f"not there, skipped: {name} ({owner}/{name})" in done.stderr


def test_wrong_use_is_told(scripts, tmp_path, capsys):
    assert scripts[0].main(tmp_path / "nowhere") == 2
    assert "nowhere" in capsys.readouterr().err
    assert scripts[0].main(tmp_path, "no-such-repository") == 2
    assert "no such repository or folder: no-such-repository" in capsys.readouterr().err


def test_a_clone_that_lacks_its_files_cannot_be_asked(scripts, tmp_path, capsys):
    (tmp_path / "nanoGPT").mkdir()
    assert scripts[0].main(tmp_path, "nanoGPT") == 0
    assert "cannot be asked: nanoGPT: FileNotFoundError" in capsys.readouterr().err


def test_the_convention_of_a_shift_is_told(scripts, tmp_path, monkeypatch):
    report = judged(scripts, stand_in(tmp_path, REVERSED), "`_convolve`, three offsets", monkeypatch)
    assert not report.conforms and report.verdict == "follows"
    assert report.variant == "pytorch_ntm" and "pytorch_ntm" in scripts[0].told(report)


def test_the_shift_of_the_paper_conforms_at_three_offsets_and_crashes_at_others(
    scripts, tmp_path, monkeypatch
):
    folder = stand_in(tmp_path)
    assert judged(scripts, folder, "`_convolve`, three offsets", monkeypatch).conforms
    report = judged(scripts, folder, "`_convolve`, any offsets", monkeypatch)
    assert report.verdict == "crashes" and "AssertionError" in scripts[0].told(report)


@pytest.mark.parametrize("factor, conforms", [("1", True), ("(1 + 1e-6)", False)])
def test_a_small_error_in_a_method_is_seen(scripts, tmp_path, monkeypatch, factor, conforms):
    folder = stand_in(tmp_path, factor=factor)
    report = judged(scripts, folder, "`NTMMemory._interpolate`", monkeypatch)
    assert report.conforms is conforms
    assert conforms or ("weights" in report.distances and "worst" in scripts[0].told(report))


@pytest.mark.parametrize("swapped", [False, True])
def test_a_whole_step_with_its_weights_mapped(scripts, tmp_path, monkeypatch, swapped):
    """What the last two parts of a write head's layer are is seen in no shape, as both are as wide."""
    parts = PARTS.replace("ERASE, ADD", "add, erase" if swapped else "erase, add")
    (tmp_path / "ntm").mkdir()
    texts = {"__init__": "", "memory": parts, "ntm": WHOLE}
    for name, text in {**texts, **dict.fromkeys(["head", "controller"], "from .memory import *")}.items():
        (tmp_path / "ntm" / f"{name}.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    row, *_ = scripts[0].listed("verdicts_ntm_step.ntm_step", tmp_path)
    told = row._replace(options={"convention": "pytorch_ntm", "seeds": 1})
    report = scripts[0].verdict(told, "float32")
    assert report.conforms is not swapped, report
    assert not swapped or "new_memory" in report.sentence()


def test_one_batch_axis_for_any(scripts):
    import torch

    seen = []

    def pair(x, y):
        seen.append((tuple(x.shape), tuple(y.shape)))
        return x + y[:, None], y

    batched = scripts[1].in_one_batch(pair, 1, 0)
    x, y = torch.arange(6.0).reshape(2, 1, 3), torch.arange(4.0)
    out, same = batched(x, y)
    assert seen == [((8, 3), (8,))] and torch.equal(out, x + y[:, None])
    assert torch.equal(same, y.expand(2, 4))
    assert batched(x[0, 0], y[0])[0].shape == (3,) and batched(x[0, 0], y[0])[1].shape == ()


def test_a_function_is_taken_out_of_a_file_that_cannot_be_imported(scripts, tmp_path):
    file = tmp_path / "theirs.py"
    file.write_text("import nowhere_to_be_found\n\ndef twice(x):\n    return factor * x\n", encoding="utf-8")
    (twice,) = scripts[1].taken(file, ["twice"], {"factor": 2})
    assert twice(3) == 6


def test_what_was_replaced_comes_back(scripts):
    from types import SimpleNamespace

    owner = SimpleNamespace(name="before")
    with pytest.raises(RuntimeError), scripts[1].replaced(owner, name="within"):
        assert owner.name == "within"
        raise RuntimeError
    assert owner.name == "before"
