"""``scratchattn eval``: the metrics of a run's parameters."""

from pathlib import Path

from . import runs, verb


def add_parser(verbs):
    parser = verb.add(
        verbs,
        "eval",
        run,
        "measure a trained model",
        "With the parameters that the run's settings select, on the split asked for; --set changes settings\n"
        "of the task (longer sequences) or of the evaluation.  JSON keys: run, step, split, metrics.",
    )
    parser.add_argument("directory", metavar="DIR", help="a run's directory")
    parser.add_argument("--split", choices=("train", "validation", "test"), default="test")
    runs.add_set(parser)
    runs.add_previous(parser)


def run(args, screen):
    from ..training import configure, evaluate
    from ..training.configuration import differences
    from ..training.fitting import try_out

    trained, config = runs.read_run(args.directory)
    with runs.settings_in_words(), runs.run_in_words():
        wished = configure(file=config, wishes=args.set)
        if wished.model != trained.model:
            told = "; ".join(differences({"model": vars(trained.model)}, {"model": vars(wished.model)}))
            raise verb.Misuse(f"--set must leave the model as it was trained: {told}")
        try_out(wished)
    with runs.computing_on(wished.device), runs.run_in_words():
        params, step = runs.parameters_of(trained, args.directory, args.previous)
        metrics = evaluate(wished.model, wished.task, params, wished.settings, args.split)
    for name, value in metrics.items():
        screen.say(f"{name} {value:.6g}  ({args.split}, parameters of step {step})")
    return {"run": str(Path(args.directory)), "step": step, "split": args.split, "metrics": metrics}, 0
