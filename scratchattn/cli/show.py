"""``scratchattn show``: the report of a run as one HTML file, its pictures as files."""

from . import runs, verb


def add_parser(verbs):
    parser = verb.add(
        verbs,
        "show",
        run,
        "draw the report of a run",
        "One HTML file that needs nothing else, of a run that has ended or not.  JSON keys: run, report,\n"
        "pictures.",
    )
    parser.add_argument("directory", metavar="DIR", help="a run's directory")
    parser.add_argument("--out", metavar="FILE", help="DIR/report.html without it")
    parser.add_argument("--export", metavar="DIR", help="write every picture there too, as SVG and as PNG")
    parser.add_argument("--terminal", action="store_true", help="draw what the model does here too")
    runs.add_previous(parser)


def run(args, screen):
    from ..report import export_figures

    page, report = runs.write_report(args.directory, args.out, args.previous)
    if args.terminal:
        drawn = runs.drawing_of(args.directory, args.previous, screen.coloured)
        screen.say(drawn or "nothing can be drawn here of this model; the report has what it shows")
    pictures = list(map(str, export_figures(report, args.export))) if args.export else []
    screen.say(f"the report is {page}; open it in a browser")
    if args.export:
        screen.say(f"{len(pictures)} files with pictures are in {args.export}")
    return {"run": args.directory, "report": str(page), "pictures": pictures}, 0
