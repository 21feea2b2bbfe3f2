"""Which output or gradient of a failing op is wrong, and where first: sentences for a person."""

import math


def diagnose(op, label, seed):
    """Sentences on the case ``label`` of ``op``, its cases drawn with ``seed``."""
    import numpy as np

    from gradcheck.subject import Subject

    case = next((case for case in op.cases(np.random.default_rng(seed)) if case.label == label), None)
    sentences = []
    try:
        subject = Subject(op, case)
        for find in (_wrong_outputs, _wrong_gradients):
            sentences += find(subject)
    except Exception:  # what it stumbles over is among the failures already
        pass
    return sentences


def _wrong_outputs(subject):
    if subject.op.loops is None:
        return
    paper = subject.transcription(math)(*subject.inputs)
    for name, found, truth in zip(subject.outputs, subject.function(*subject.inputs), paper, strict=True):
        if found.shape != truth.shape:
            yield f"{name} has shape {found.shape}, by the loops {truth.shape}"
            continue
        claim = f"{name} is not what the loops give"
        yield from _differences(claim, lambda at, name=name: _at(name, at), found, truth.astype(float), 1e-12)


def _wrong_gradients(subject):
    from gradcheck.numeric import central_jacobian, complex_step_jacobian

    f, margin = subject.differentiated(), subject.case.margin
    for i, (name, blocks) in enumerate(zip(subject.names, subject.jacobians())):
        steps = complex_step_jacobian(f, subject.inputs, i)
        for j, (output, found, truth) in enumerate(zip(subject.outputs, blocks, steps, strict=True)):
            axes = found.ndim - subject.inputs[i].ndim

            def entry(at, output=output, name=name, axes=axes):
                return f"d {_at(output, at[:axes])} / d {_at(name, at[axes:])}"

            claim = f"the gradient by {name} is wrong"
            sentences = list(_differences(claim, entry, found, truth, 1e-12))
            if sentences and margin != 0:
                slopes, _ = central_jacobian(f, subject.inputs, i, min(1e-4, 0.2 * (margin or math.inf)))
                if not list(_differences(claim, entry, truth, slopes[j], 1e-6)):
                    yield from sentences  # two witnesses against it
                elif not list(_differences(claim, entry, found, slopes[j], 1e-6)):
                    yield (
                        f"the gradient by {name} agrees with finite differences, not with the complex step: "
                        "does the forward use abs, maximum, norm, conj or .real on what is differentiated?"
                    )
                else:
                    yield from sentences
            else:
                yield from sentences


def _differences(claim, entry, found, truth, tolerance):
    """One sentence, or none, on how ``found`` differs from ``truth``: how much, where first, where most."""
    import numpy as np

    error = abs(found - truth)
    wrong = np.argwhere(~(error <= tolerance * abs(truth).max(initial=0.0)))
    if not len(wrong):
        return
    first = tuple(map(int, wrong[0]))
    worst = tuple(
        map(int, np.unravel_index(np.argmax(np.where(np.isnan(error), np.inf, error)), error.shape))
    )
    sentence = f"{claim} in {len(wrong)} of {found.size} entries; first {_given(entry, first, found, truth)}"
    yield sentence + (f"; worst {_given(entry, worst, found, truth)}" if worst != first else "")


def _given(entry, at, found, truth):
    digits = 6 if abs(found[at] - truth[at]) > 1e-5 * abs(truth[at]) else 15
    return f"{entry(at)} = {found[at]:.{digits}g}, should be {truth[at]:.{digits}g}"


def _at(name, index):
    return f"{name}[{', '.join(map(str, index))}]" if index else name
