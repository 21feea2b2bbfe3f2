"""The loop: what a run leaves, that it repeats, resumes, selects, stops, and fails with a reason."""

import json

import numpy as np
import pytest

from scratchattn.models import NTM
from scratchattn.tasks import Copy
from scratchattn.training import Settings, train


def small():
    task = Copy(bits=2, shortest=1, longest=3)
    return NTM(task.inputs, task.outputs, rows=8, width=4, units=8), task


def test_a_run_leaves_its_settings_its_log_and_its_parameters(tmp_path):
    model, task = small()
    settings = Settings(
        steps=30, log_every=10, eval_every=15, eval_batches=1, eval_batch=4, checkpoint_every=20
    )
    params, events = train(model, task, settings, tmp_path, quiet=True)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert lines == events
    assert [e["step"] for e in lines if e["event"] == "train"] == [10, 20, 30]
    assert [e["step"] for e in lines if e["event"] == "evaluation"] == [15, 30]
    assert lines[-1]["event"] == "done"
    assert json.loads((tmp_path / "config.json").read_text())["training"]["steps"] == 30
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == [
        "step-00000020.npz",
        "step-00000030.npz",
    ]
    with np.load(tmp_path / "checkpoints" / "step-00000030.npz") as saved:
        assert all((saved[f"parameters/{name}"] == value).all() for name, value in params.items())


def test_the_same_seed_gives_the_same_bits_and_another_does_not():
    model, task = small()

    def run(seed, **settings):
        return train(model, task, Settings(steps=12, seed=seed, **settings), quiet=True)[0].flat

    assert (run(0) == run(0)).all()
    assert (run(0) == run(0, eval_every=3)).all()  # evaluating changes no training
    assert (run(0) != run(1)).any()


def test_training_learns():
    model, task = small()
    settings = Settings(steps=1500, batch=4, learning_rate=1e-3, log_every=100, eval_batches=2)
    _, events = train(model, task, settings, quiet=True)
    losses = [e["nats"] for e in events if e["event"] == "train"]
    assert losses[-1] < 0.5 * losses[0]


def test_a_loss_that_is_no_number_ends_the_run_with_its_step():
    model, task = small()

    def poison(step, params, metrics):
        with params.overwriting() as flat:
            flat *= np.nan if step == 3 else 1.0

    with pytest.raises(
        FloatingPointError, match="the loss is nan at step 4; what went first: parameter input_weights"
    ):
        train(model, task, Settings(steps=10), watch=poison, quiet=True)


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"batch": 0}, {"optimiser": "sgdd"}])
def test_wrong_settings_are_named(wrong):
    with pytest.raises(ValueError, match=f"Settings: {next(iter(wrong))} must be"):
        Settings(**wrong)
