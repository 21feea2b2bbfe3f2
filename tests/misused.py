"""What wrong uses of the commands are tried on: a whole run, damaged ones, files wrong in one way each."""

import json
import shutil
from pathlib import Path

from scratchattn import cli

ROOT = Path(__file__).resolve().parents[1]
OWN = ROOT / "examples" / "own_model.py"
QUICK = (
    "--set steps=4 --set units=4 --set longest=2 --set eval_batches=1 --set eval_batch=2 --set log_every=2 "
    "--set eval_every=2 --set checkpoint_every=2"
)
SMALL = f"{QUICK} --set rows=4 --set width=3 --set bits=2"  # of the NTM on copy

SETTINGS = {  # file -> its text
    "syntax.toml": "[model]\nname = ntm\n",
    "table.toml": "[modle]\nname = 'ntm'\n",
    "kind.toml": "[training]\nsteps = 'many'\n",
    "fraction.toml": "[training]\nsteps = 1.5\n",
    "flat.toml": "model = 'ntm'\n",
    "key.toml": "[training]\nlearn_rate = 1\n",
    "name.toml": "[model]\nname = 3\n[task]\nname = 'copy'\n",
    "sizes.toml": "[model]\ninputs = 9\n",
    "device.toml": "device = 'tpu'\n",
    "syntax.json": '{"model": }',
    "list.json": "[1]",
}
FILES = {
    "syntax.py": "def f(:\n",
    "raises.py": "raise RuntimeError('bad\\nday')\n",
    "exits.py": "import sys\nsys.exit(3)\n",
    "empty.py": "",
}
VARIANTS = {  # name -> what of the example is replaced by what
    "no_init": ("def init(", "def begin("),
    "no_sequence": ("def sequence(", "def run("),
    "no_dtype": ("dtype: str =", "kind: str ="),
    "integers": ('dtype: str = "float32"', 'dtype: str = "int8"'),
    "no_params": ("        return params\n", ""),
    "no_state": ('_bias"]), (last,)', '_bias"])'),
    "a_list": ("return (backend.asarray(np.zeros((batch, self.units)), dtype=self.dtype),)", "return [0.0]"),
    "two_states": ('_bias"]), (last,)', '_bias"]), (last, last)'),
    "doubles": ("return (backend.asarray(np.zeros((batch, self.units)), dtype=self.dtype),)",
                "return (np.zeros((batch, self.units)),)"),
    "wide": ("gru_shapes(self.inputs,", "gru_shapes(2,"),
    "no_loss": ("def loss(", "def cost("),
    "no_metric": ('    metric = "wrong_bits"\n', ""),
    "no_data": ("def batch(", "def draw("),
    "no_examples": ("def batch(self, rng, size,", "def take(self, split, indices,"),
    "a_vector": ("return sa.sum(sa.binary_cross_entropy(outputs, batch.targets))",
                 "return sa.binary_cross_entropy(outputs, batch.targets)"),
    "a_number": ("return sa.sum(sa.binary_cross_entropy(outputs, batch.targets))", "return 1.0; ("),
    "other_metric": ('return {"wrong_bits"', 'return {"wrong"'),
    "one_number": ("wrong.sum(axis=(0, 2))", "float(wrong.sum())"),
    "no_metrics": ('return {"wrong_bits": wrong.sum(axis=(0, 2))}', "return None"),
    "no_kind": (', dtype="float32")', ")"),
    "a_dict": ("return Bits(", "return dict(inputs=bits) or Bits("),
    "no_size": ("    size = property(lambda self: self.inputs.shape[1])\n", ""),
    "unmade": ('    metric = "wrong_bits"\n',
               '    metric = "wrong_bits"\n    __post_init__ = lambda self: self.x\n'),
    "late": ("        bits = rng",
             "        if size == 2:\n            raise OverflowError('too\\nlate')\n        bits = rng"),
    "undrawn": ("        hidden, _ = gru(", "        raise KeyError('colour')\n        hidden, _ = gru("),
}  # fmt: skip


def broken(name):
    """The text of the example with one thing in it replaced."""
    right, wrong = VARIANTS[name]
    text = OWN.read_text("utf-8")
    assert text.count(right) == 1, name
    if wrong.endswith("; ("):  # the rest of the line goes
        rest = text[text.index(right) :].partition("\n")[0]
        return text.replace(rest, wrong[:-3])
    return text.replace(right, wrong)


def lay_out(folder):
    """Make all of it in ``folder``."""
    for name, text in (SETTINGS | FILES).items():
        (folder / name).write_text(text)
    for name in VARIANTS:
        (folder / f"{name}.py").write_text(broken(name))
    shutil.copy(OWN, folder / "own.py")
    (folder / "latin.toml").write_bytes(b"# \xef\n")
    (folder / "file").write_text("")
    (folder / "empty").mkdir()
    assert cli.main(["train", "ntm", "copy", "--out", str(folder / "run"), *SMALL.split()]) == 0
    for name, damage in DAMAGES.items():
        shutil.copytree(folder / "run", folder / name)
        damage(folder / name)


def _flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _checkpoints(run):
    return sorted((run / "checkpoints").iterdir())


def _more_rows(run):
    config = json.loads((run / "config.json").read_text())
    config["model"]["rows"] += 1
    (run / "config.json").write_text(json.dumps(config))


def _cut_log(run):
    (run / "log.jsonl").write_text("")
    _checkpoints(run)[-1].unlink()


DAMAGES = {  # name of the directory -> what is done to a copy of the run
    "no_config": lambda run: (run / "config.json").unlink(),
    "half_config": lambda run: (run / "config.json").write_text("{"),
    "list_config": lambda run: (run / "config.json").write_text("[]"),
    "other_config": lambda run: (run / "config.json").write_text('{"model": {"name": "ntm", "colour": 3}, '
                                                                '"task": {"name": "copy"}}'),
    "more_rows": _more_rows,
    "no_log": lambda run: (run / "log.jsonl").unlink(),
    "cut_log": _cut_log,
    "wrong_log": lambda run: (run / "log.jsonl").write_text("what\n{}\n"),
    "no_checkpoint": lambda run: shutil.rmtree(run / "checkpoints"),
    "one_damaged": lambda run: _flip(_checkpoints(run)[-1]),
    "all_damaged": lambda run: list(map(_flip, _checkpoints(run))),
}  # fmt: skip
