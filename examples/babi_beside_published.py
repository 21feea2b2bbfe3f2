"""RobertCsordas/dnc, a public PyTorch DNC, trained beside ours: the same stories in the same order.

    git clone https://github.com/RobertCsordas/dnc
    scratchattn train dnc babi --set tasks=all --out runs/ours ...
    python examples/babi_beside_published.py dnc runs/ours --out theirs.jsonl
    python examples/babi_beside_published.py --draw runs/ours/log.jsonl theirs.jsonl --out curve.svg

Takes task, sizes, optimiser and seed from our run's config.json, stages from its log, and writes
such a log until it has made as many steps or, with --minutes, as long.  Weights start as each does by itself.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from verdicts_adapters import module_of

from scratchattn.report import curve
from scratchattn.report.export import write_svg
from scratchattn.training import configure, read_log
from scratchattn.training.curriculum import tasks_of
from scratchattn.training.draws import Draws

ADDED = {"masked": "mask", "deallocate": "dealloc_content", "sharpen_links": "link_sharpness_control"}
PLAIN = dict.fromkeys(("truncate", "warmup", "clip_norm", "clip_outputs"), 0)  # what is followed here
PLAIN |= {"shards": 1, "schedule": "constant"}


def network(folder, model):
    """Their DNC in the sizes of ``model``."""
    module = module_of(folder, "Models/DNC.py")
    added = {theirs: getattr(model.cell, ours) for ours, theirs in ADDED.items()}
    sizes = model.inputs, model.outputs, model.width, model.rows, model.read_heads
    return module.DNC(*sizes, module.LSTMController([model.units] * model.layers), **added)


def optimiser_of(s, parameters):
    if s.optimiser == "adam":
        return torch.optim.Adam(parameters, s.learning_rate, (s.beta1, s.beta2), s.eps)
    return torch.optim.RMSprop(parameters, s.learning_rate, s.square_decay, s.eps, momentum=s.momentum)


def train(folder, configuration, turns, out, minutes):
    model, task, settings = configuration.model, configuration.task, configuration.settings
    torch.manual_seed(settings.seed)
    net, (_, rng) = network(folder, model), np.random.default_rng(settings.seed).spawn(2)
    optimiser, stages = optimiser_of(settings, net.parameters()), tasks_of(task, settings.curriculum)
    draws, started, seen = Draws(stages[0][1], settings, rng, model.dtype), time.perf_counter(), {}
    for step in range(1, settings.steps + 1):
        if step - 1 in turns:
            draws.turn_to(stages[turns[step - 1]][1])
        (batch,) = draws.draw()
        inputs, asked = torch.from_numpy(batch.inputs), torch.from_numpy(batch.asked[:, :, 0])
        outputs, right = net(inputs), torch.from_numpy(batch.targets.argmax(-1))
        loss = torch.nn.functional.cross_entropy(outputs[asked], right[asked], reduction="sum") / batch.size
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_value_(net.parameters(), settings.clip)
        optimiser.step()
        for name, values in task.metrics(outputs.detach().numpy(), batch).items():
            seen.setdefault(name, []).extend(values)
        seconds = time.perf_counter() - started
        if step % settings.log_every == 0:
            line = {"event": "train", "step": step, "seconds": seconds}
            means = {name: float(np.mean(seen.pop(name))) for name in list(seen)}
            print(json.dumps(line | means), file=out, flush=True)
        if minutes and seconds > 60 * minutes:
            break


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("paths", nargs=2, type=Path, metavar="PATH", help="clone and run; to draw, two logs")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=0)
    parser.add_argument("--draw", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.draw:
        logs = [[line for line in read_log(path) if line["event"] == "train"] for path in args.paths]
        ways = [tuple(zip(*[(e["step"], e["question_error"]) for e in log])) for log in logs]
        series = dict(zip(("ours", "published"), ways))
        write_svg(args.out, curve(series, title="bAbI", x_label="steps", y_label="question error"))
        return
    configuration = configure(file=args.paths[1] / "config.json")
    settings = configuration.settings
    other = [n for n, v in PLAIN.items() if getattr(settings, n) != v]
    if other or settings.optimiser not in ("adam", "rmsprop") or not settings.clip:
        raise SystemExit(f"here it must be adam or rmsprop, clip above 0 and {PLAIN}, got {settings}")
    turns = {e["step"]: e["stage"] for e in read_log(args.paths[1] / "log.jsonl") if e["event"] == "stage"}
    with open(args.out, "w") as out:
        train(args.paths[0], configuration, turns, out, args.minutes)


if __name__ == "__main__":
    main()
