"""``scratchattn show``: the report of a run as one HTML file."""

from . import runs, verb


def add_parser(verbs):
    parser = verb.add(
        verbs,
        "show",
        run,
        "draw the report of a run",
        "One HTML file that needs nothing else.  JSON keys: run, report.",
    )
    parser.add_argument("directory", metavar="DIR", help="a run's directory")
    parser.add_argument("--out", metavar="FILE", help="DIR/report.html without it")
    parser.add_argument(
        "--previous", action="store_true", help="skip a damaged checkpoint for the one before"
    )


def run(args, screen):
    page = runs.write_report(args.directory, args.out, args.previous)
    screen.say(f"the report is {page}; open it in a browser")
    return {"run": args.directory, "report": str(page)}, 0
