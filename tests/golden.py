"""What the tests of golden vectors share: a few documents, our own answers to them, the command."""

from dataclasses import replace
from functools import cache

import numpy as np

from gradcheck import vector_formats, vectors
from gradcheck.certificates import results
from gradcheck.subject import Subject
from scratchattn import REGISTRY, cli
from scratchattn.whole_file import write_whole

OPS = "add concat divide dropout embedding index minimum".split()  # quick; every kind of input and param
FORMATS = list(vector_formats.FORMATS)


@cache
def documents():
    """{op's name: its document}."""
    attention = REGISTRY["softmax_attention"]
    few = lambda rng: [case for case in attention.cases(rng) if not case.params][:9]
    ops = {name: REGISTRY[name] for name in OPS} | {"softmax_attention": replace(attention, cases=few)}
    return {name: vectors.vectors_of(op) for name, op in ops.items()}


def document(name):
    return documents()[name]


def answered(document, dtype, change=lambda name, x: x):
    """Our own answers, computed in ``dtype``; ``change`` may plant something."""
    op = REGISTRY[document["op"]]
    cases = {case.label: case for case in op.cases(np.random.default_rng(0))}
    found = []
    for vector in document["cases"]:
        case = cases[vector["label"]]
        inputs = [
            x if x is None or np.asarray(x).dtype.kind != "f" else np.float32(x).astype(float)
            for x in case.inputs
        ]
        subject = Subject(op, replace(case, inputs=tuple(inputs)))
        cotangents = [u.astype(dtype) for u in vector["cotangents"].values()]
        values = results(subject, cotangents, [x.astype(dtype) for x in subject.inputs])
        answers = {name: change(name, np.asarray(x)) for name, x in zip(vector["truth"], values, strict=True)}
        found.append({"id": vector["id"], "answers": answers})
    return {**document, "kind": "answers", "cases": found}


def write(directory, documents, format="json"):
    directory.mkdir(exist_ok=True)
    for each in documents:
        write_whole(directory / f"{each['op']}.{format}", vector_formats.encoded(each, format))
    return directory


def command(capsys, *words):
    """Exit status, stdout and stderr of ``gradcheck vectors``, run in this process."""
    status = cli.gradcheck_main(["vectors", *[str(word) for word in words]])
    captured = capsys.readouterr()
    return status, captured.out, captured.err
