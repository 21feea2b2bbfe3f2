"""A training that was ended anywhere goes on to the same bits."""

import dataclasses
import itertools
import json
import os
import signal
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from saving import posix, python

from scratchattn.models import DNC, NTM
from scratchattn.op import REGISTRY
from scratchattn.ops.losses import binary_cross_entropy
from scratchattn.tasks import Copy
from scratchattn.training import (
    Damaged,
    Interrupted,
    NotFinite,
    RunRefused,
    Settings,
    newest,
    read_log,
    replay,
    train,
)
from scratchattn.training.evaluation import evaluate
from scratchattn.training.step import chances, tree_sum

KILLS = int(os.environ.get("SCRATCHATTN_KILLS", "10"))  # 100 for the full count
TASK = Copy(bits=2, shortest=1, longest=4)
MODEL = NTM(TASK.inputs, TASK.outputs, rows=6, width=3, units=5)
DROPPING = DNC(
    TASK.inputs, TASK.outputs, rows=5, width=3, units=4, read_heads=1, bypass_dropout=0.5, word_dropout=0.3
)
SHORT = {
    "steps": 14,
    "log_every": 3,
    "eval_every": 5,
    "eval_batches": 1,
    "eval_batch": 3,
    "checkpoint_every": 4,
}


class Stop(Exception):
    """Ends a training from within."""


class Examples(NamedTuple):
    inputs: Any  # (t, b, 3)
    targets: Any  # (t, b, 2)
    lengths: Any = None

    size = property(lambda self: self.inputs.shape[1])


@dataclasses.dataclass(frozen=True)
class Parity:
    """A data set with an end: bits, and whether their sum so far is odd."""

    inputs: int = 3
    outputs: int = 2
    longest: int = 7
    continues: bool = False
    larger_is_better: bool = True
    metric = "right"

    def examples(self, split):
        return {"train": 10, "validation": 3, "test": 4}[split]

    def take(self, split, indices, dtype="float32"):
        found = [np.random.default_rng([i, len(split)]).integers(0, 2, (self.longest, 3)) for i in indices]
        inputs = np.stack(found, axis=1).astype(dtype)
        odd = np.cumsum(inputs, axis=0)[..., :2] % 2
        return Examples(inputs, odd.astype(dtype))

    def loss(self, outputs, batch):
        return REGISTRY["sum"](binary_cross_entropy(outputs, batch.targets)) / float(batch.size)

    def metrics(self, outputs, batch):
        return {"right": ((outputs > 0) == (batch.targets > 0.5)).mean(axis=(0, 2))}


def told(events):
    """Events without the times, and without those of the interruption."""
    kept = [e for e in events if e["event"] not in ("resumed", "stopped")]
    return [{k: v for k, v in e.items() if k != "seconds"} for e in kept]


VARIETIES = {
    "plain": (MODEL, TASK, {}),
    "another optimiser": (MODEL, TASK, {"optimiser": "adamw", "schedule": "cosine", "warmup": 3}),
    "shards": (MODEL, TASK, {"batch": 4, "shards": 2}),
    "cut along time": (MODEL, TASK, {"truncate": 2}),
    "a data set": (MODEL, Parity(), {"batch": 3, "select": "best"}),
    "a data set, cut along time, in shards": (MODEL, Parity(), {"batch": 4, "shards": 2, "truncate": 3}),
    "a state that goes on": (MODEL, Parity(continues=True), {"batch": 2, "truncate": 3}),
    "a curriculum": (MODEL, TASK, {"curriculum": "0: longest=1; 5: longest=2; 9: longest=4"}),
    "a curriculum by performance": (
        MODEL, TASK, {"curriculum": "0: longest=1; 900: longest=3", "curriculum_below": 9.0}
    ),
    "dropout": (DROPPING, TASK, {"batch": 2}),
    "dropout, in shards, cut along time": (DROPPING, TASK, {"batch": 4, "shards": 2, "truncate": 2}),
    "reference engine": (dataclasses.replace(MODEL, engine="reference"), TASK, {"batch": 2}),
}  # fmt: skip


@pytest.mark.parametrize("variety", VARIETIES)
def test_a_resumed_run_is_the_uninterrupted_one(variety, tmp_path):
    model, task, extra = VARIETIES[variety]
    settings = Settings(**SHORT | extra)
    whole, events = train(model, task, settings, tmp_path / "whole", quiet=True)
    for at in (2, 5, 9, 13):
        directory = tmp_path / f"broken at {at}"

        def fall(step, params, metrics, at=at):
            if step == at:
                raise Stop

        with pytest.raises(Stop):
            train(model, task, settings, directory, watch=fall, quiet=True)
        params, found = train(model, task, settings, directory, resume=True, quiet=True)
        assert (params.flat == whole.flat).all()
        assert told(found) == told(events)
        assert told(read_log(directory / "log.jsonl")) == told(events)
        assert sorted(p.name for p in (directory / "checkpoints").iterdir()) == [
            f"step-{n:08d}.npz" for n in (4, 8, 12, 14)
        ]


def test_a_finished_run_is_left_as_it_is(tmp_path):
    settings = Settings(**SHORT)
    whole, events = train(MODEL, TASK, settings, tmp_path, quiet=True)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.is_file()}
    params, found = train(MODEL, TASK, settings, tmp_path, resume=True, quiet=True)
    assert (params.flat == whole.flat).all() and found == events
    assert before == {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.is_file()}


def test_another_run_is_refused(tmp_path):
    train(MODEL, TASK, Settings(**SHORT), tmp_path, quiet=True)
    with pytest.raises(RunRefused, match=r"training.learning_rate was 0.0001 and is 0.01"):
        train(MODEL, TASK, Settings(**SHORT, learning_rate=1e-2), tmp_path, resume=True, quiet=True)
    with pytest.raises(RunRefused, match="holds a run already"):
        train(MODEL, TASK, Settings(**SHORT), tmp_path, quiet=True)


def test_a_damaged_checkpoint_is_named_and_the_one_before_it_serves(tmp_path):
    settings = Settings(**SHORT)
    whole, _ = train(MODEL, TASK, settings, tmp_path, quiet=True)
    last = tmp_path / "checkpoints" / "step-00000014.npz"
    data = bytearray(last.read_bytes())
    data[len(data) // 2] ^= 1
    last.write_bytes(data)
    with pytest.raises(Damaged, match=r"step-00000014.npz.*--previous"):
        train(MODEL, TASK, settings, tmp_path, resume=True, quiet=True)
    params, _ = train(MODEL, TASK, settings, tmp_path, resume=True, previous=True, quiet=True)
    assert (params.flat == whole.flat).all()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_asked_to_end_a_run_saves_and_says_how_to_go_on(number, tmp_path):
    settings = Settings(**SHORT)
    whole, events = train(MODEL, TASK, settings, tmp_path / "whole", quiet=True)

    def ask(step, params, metrics):
        if step == 6:
            os.kill(os.getpid(), number)

    with pytest.raises(
        Interrupted, match="stopped after step 6 and saved; go on with: scratchattn train --resume"
    ):
        train(MODEL, TASK, settings, tmp_path / "asked", watch=ask, quiet=True)
    assert read_log(tmp_path / "asked" / "log.jsonl")[-1]["event"] == "stopped"
    params, found = train(MODEL, TASK, settings, tmp_path / "asked", resume=True, quiet=True)
    assert (params.flat == whole.flat).all() and told(found) == told(events)


@pytest.mark.parametrize(("pause", "ends"), [(0.0, Interrupted), (0.3, KeyboardInterrupt)])
def test_an_echo_is_the_same_wish_and_a_second_one_ends_at_once(pause, ends, tmp_path, monkeypatch):
    from scratchattn.training import interruption

    monkeypatch.setattr(interruption, "ECHO", 0.2)

    def ask(step, params, metrics):
        if step == 6:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(pause)
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt) as caught:
        train(MODEL, TASK, Settings(**SHORT), tmp_path, watch=ask, quiet=True)
    assert caught.type is ends
    assert newest(tmp_path).step == (6 if ends is Interrupted else 4)


def test_the_best_parameters_are_selected_and_tested():
    settings = Settings(**SHORT | {"learning_rate": 0.3, "clip": 0.0, "select": "best", "eval_every": 1})
    params, events = train(MODEL, TASK, settings, quiet=True)
    seen = [e for e in events if e["event"] == "evaluation"]
    best = min(seen, key=lambda e: e["wrong_bits"])
    (test,) = [e for e in events if e["event"] == "test"]
    assert test["of_step"] == best["step"] < 14
    again, _ = train(MODEL, TASK, dataclasses.replace(settings, select="last"), quiet=True)
    assert (params.flat != again.flat).any()


def test_patience_and_a_reached_target_end_a_run():
    stuck = Settings(**SHORT | {"steps": 500, "learning_rate": 1e-30, "patience": 3})
    _, events = train(MODEL, TASK, stuck, quiet=True)
    assert events[-1]["event"] == "done" and events[-1]["step"] == 5 * 4
    easy = Settings(**SHORT | {"steps": 500, "stop_at": 8.0})
    _, events = train(MODEL, TASK, easy, quiet=True)
    assert events[-1]["step"] == 5


def test_shards_change_no_mean_and_no_bit_by_who_computes_them():
    """A group of two that computes its halves in turn, beside one process alone."""
    from scratchattn.training.step import Alone

    settings = Settings(**SHORT | {"batch": 4, "shards": 4})
    alone, events = train(MODEL, TASK, settings, quiet=True)

    class Reversed(Alone):
        def own(self, shards):
            return range(shards)

        def gathered(self, rows):
            return np.stack(list(rows))

    params, found = train(MODEL, TASK, settings, group=Reversed(), quiet=True)
    assert (params.flat == alone.flat).all() and told(found) == told(events)


@pytest.mark.parametrize("shards", [1, 2, 3, 5, 6, 7, 8, 12, 31, 64])
def test_a_sum_over_shards_has_branches_for_any_power_of_two(shards):
    rows = np.random.default_rng(shards).normal(size=(shards, 50)).astype(np.float32)
    whole = tree_sum(rows + 0, shards)
    np.testing.assert_allclose(whole, rows.astype(float).sum(0), rtol=0, atol=1e-5)
    parts = 1
    while 2 * parts <= shards:
        parts *= 2
        ends = [part * shards // parts for part in range(parts + 1)]
        sums = [
            tree_sum(rows[a:b] + 0, shards, k, parts) for k, (a, b) in enumerate(itertools.pairwise(ends))
        ]
        while len(sums) > 1:
            sums = [a + b for a, b in zip(sums[::2], sums[1::2])]
        assert (sums[0] == whole).all()


def test_what_is_not_finite_is_named_and_kept(tmp_path):
    task = Copy(bits=2, shortest=2, longest=2)
    model = dataclasses.replace(MODEL, engine="reference")

    def poison(step, params, metrics):
        if step == 3:
            with params.overwriting():
                params["output_weights"][...] = 3e38 * (-1) ** np.arange(2)
                params["output_bias"][...] = -3e38 * (-1) ** np.arange(2)

    with pytest.raises(NotFinite, match="at step 4; what went first: an output of") as caught:
        train(model, task, Settings(**SHORT), tmp_path, watch=poison, quiet=True)
    assert "replay" in str(caught.value)
    assert read_log(tmp_path / "log.jsonl")[-1]["event"] == "failed"
    ((loss, gradient),) = replay(tmp_path, model, task, Settings(**SHORT))
    assert not (np.isfinite(loss) and np.isfinite(gradient.flat).all())


def test_a_failed_step_is_made_again_with_what_was_dropped_in_it(tmp_path):
    """The run is made to fail at shard 1 of step 4; what was dropped shows in the outputs."""
    seen = []

    @dataclasses.dataclass(frozen=True)
    class Watching(Copy):
        def loss(self, outputs, batch):
            seen.append(outputs.data + 0)
            loss = super().loss(outputs, batch)
            return loss * np.float32("inf") if len(seen) == 8 else loss

    settings = Settings(**SHORT | {"batch": 4, "shards": 2})
    task = Watching(bits=2, shortest=1, longest=4)
    with pytest.raises(NotFinite, match="at step 4"):
        train(DROPPING, task, settings, tmp_path, quiet=True)
    failed = seen[6:8]
    del seen[:]
    replay(tmp_path, DROPPING, task, settings)
    assert all((a == b).all() for a, b in zip(failed, seen, strict=True))


def test_every_step_and_every_shard_drops_other_things():
    settings, other = Settings(seed=0), Settings(seed=1)
    places = [(settings, (0, 0)), (settings, (0, 1)), (settings, (1, 0)), (other, (0, 0)), (other, (1, 1))]
    drawn = [chances(DROPPING, each, place)["rng"].integers(0, 2**62) for each, place in places]
    assert len(set(drawn)) == len(places)
    assert chances(MODEL, settings, (0, 0)) == {}


def test_evaluation_drops_nothing():
    plain = dataclasses.replace(DROPPING, bypass_dropout=0.0, word_dropout=0.0)
    params = plain.init(np.random.default_rng(0))
    found = [evaluate(model, TASK, params, Settings(**SHORT)) for model in (plain, DROPPING)]
    assert found[0] == found[1]


def test_a_gradient_that_is_not_finite_is_named_before_clipping_hides_it():
    @dataclasses.dataclass(frozen=True)
    class Steep(Copy):
        def loss(self, outputs, batch):
            return REGISTRY["sum"](outputs * 0.0) + REGISTRY["sum"](REGISTRY["sqrt"](outputs * 0.0))

    with pytest.raises(NotFinite, match=r"the gradient is not finite at step 1; .*backward of sqrt"):
        train(MODEL, Steep(bits=2, longest=4), Settings(**SHORT), quiet=True)


def test_a_truncated_sequence_carries_its_state():
    """Values along the pieces are those of the whole; one piece as long as the sequence is no cut at all."""
    uncut, _ = train(MODEL, Parity(), Settings(**SHORT), quiet=True)
    long_pieces, _ = train(MODEL, Parity(), Settings(**SHORT | {"truncate": 7}), quiet=True)
    assert (uncut.flat == long_pieces.flat).all()
    losses = []
    frozen = Settings(**SHORT | {"truncate": 3, "learning_rate": 1e-30, "steps": 3})
    train(
        MODEL,
        Parity(),
        frozen,
        watch=lambda step, params, metrics: losses.append(metrics["nats"]),
        quiet=True,
    )
    whole = []
    one = dataclasses.replace(frozen, truncate=0, steps=1)
    train(MODEL, Parity(), one, watch=lambda step, params, metrics: whole.append(metrics["nats"]), quiet=True)
    assert sum(losses) == pytest.approx(whole[0], rel=1e-5)


def test_a_round_holds_every_example_once():
    from scratchattn.training.draws import Draws

    @dataclasses.dataclass(frozen=True)
    class Numbers:
        def examples(self, split):
            return 10

        def take(self, split, indices, dtype):
            return list(indices)

    settings = Settings(batch=4, shards=2)
    draws = Draws(Numbers(), settings, np.random.default_rng(0), "float32")
    seen = list(itertools.chain(*(itertools.chain(*draws.draw()) for _ in range(5))))
    assert sorted(seen[:10]) == sorted(seen[10:]) == list(range(10)) and seen[:10] != seen[10:]
    part = Draws(Numbers(), settings, np.random.default_rng(0), "float32", own=[1])
    assert [part.draw()[0] for _ in range(5)] == [seen[i + 2 : i + 4] for i in range(0, 20, 4)]


def test_config_is_complete_and_makes_the_same_run(tmp_path):
    from scratchattn.training import configure

    configuration = configure(
        "ntm", "copy", wishes=["bits=2", "longest=4", "rows=6", "steps=3", "eval_batches=1"]
    )
    c = configuration
    train(c.model, c.task, c.settings, tmp_path, quiet=True, config=c.as_dict())
    again = configure(file=tmp_path / "config.json")
    assert again == configuration and again.digest() == configuration.digest()
    assert json.loads((tmp_path / "config.json").read_text())["training"]["square_decay"] == 0.95


@posix
def test_runs_that_are_killed_anywhere_end_in_the_same_bits(tmp_path):
    found = json.loads(python(Path(__file__).with_name("killed_runs.py"), tmp_path, KILLS))
    assert found["kills"] >= KILLS and found["runs"] > 0
    assert (found["unreadable"], found["other_bits"], found["other_log"]) == ([], 0, 0)


def test_resuming_where_no_run_is_begins_one(tmp_path):
    whole, _ = train(MODEL, TASK, Settings(**SHORT), quiet=True)
    params, _ = train(MODEL, TASK, Settings(**SHORT), tmp_path / "new", resume=True, quiet=True)
    assert (params.flat == whole.flat).all()


@posix
def test_two_processes_do_not_train_in_one_directory(tmp_path):
    from scratchattn.training import run_directory

    with run_directory.locked(tmp_path), pytest.raises(RunRefused, match="another process trains in"):
        train(MODEL, TASK, Settings(**SHORT), tmp_path, resume=True, quiet=True)
    train(MODEL, TASK, Settings(**SHORT), tmp_path, resume=True, quiet=True)
