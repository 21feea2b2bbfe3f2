"""How often the conformance kit is right, measured on the implementations that its tests hold: from a clone.

python examples/kit_figures.py honest timed     parts; without, everything: some minutes

honest    runs of torch, jax and NumPy in float32 and float64: those that were refused, of how many
planted   one float32 gradient off by a relative 1e-5 and 1e-6: the share that is found
bfloat16  torch's attention, LayerNorm and LSTM: those refused; one gradient off by 1, 3, 10 %: those found
timed     seconds for each op with a NumPy candidate of our own text, the slowest first
"""

import sys
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np

import gradcheck
from scratchattn import REGISTRY

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "tests")]


def honest(starts=(0, 3, 6, 9)):
    from test_conformance_honest import FRAMEWORKS

    told = []
    for framework, functions in FRAMEWORKS.items():
        for name, (function, backward) in functions().items():
            for dtype, start in product(("float32", "float64"), starts):
                settings = {"dtype": dtype, "backward": backward, "seeds": range(start, start + 3)}
                report = gradcheck.verify(function, name, framework=framework, **settings)
                told.append("" if report.conforms else report.sentence())
    print(f"honest: {sum(map(bool, told))} of {len(told)} refused", *filter(None, told), sep="\n  ")


def slipping(backward, place, factor):
    """``backward`` with one gradient longer; its first argument has the name that the kit looks at."""

    def off(*given):
        grads = backward(*given)
        grads = [*grads] if type(grads) is tuple else [grads]
        grads[place] = (grads[place] * np.float64(factor)).astype(grads[place].dtype)
        return tuple(grads)

    return off if backward.__code__.co_varnames[0] != "saved" else lambda saved, dout: off(saved, dout)


def planted():
    from test_conformance_honest import in_numpy

    for size in (1e-5, 1e-6):
        found = []
        for name, (function, backward) in in_numpy().items():
            report = gradcheck.verify(function, name, framework="numpy", backward=backward)
            for place in range(sum(key.startswith("d") for key in report.distances)):
                wrong = slipping(backward, place, 1 + size)
                found.append(not gradcheck.verify(function, name, framework="numpy", backward=wrong))
        print(f"planted: {size:g} found in {sum(found)} of {len(found)}")


def bfloat16(sets=20):
    from verify_attention_torch import math as attention
    from verify_layer_norm_torch import torchs as norm
    from verify_lstm_torch import step as lstm

    def longer(function, place, factor, *given):
        given = [x.clone() for x in given]
        if given[place].requires_grad:
            given[place].register_hook(lambda g: (g.double() * factor).to(g.dtype))
        return function(*given)

    kinds = {"softmax_attention": (attention, 3), "layer_norm": (norm, 3), "lstm_cell": (lstm, 6)}
    for percent in (0, 1, 3, 10):
        found = []
        for name, (function, count) in kinds.items():
            settings = {"framework": "torch", "dtype": "bfloat16", "arguments": REGISTRY[name].inputs[:count]}
            for n in range(sets):
                wrong = partial(longer, function, n % count, 1 + percent / 100)
                report = gradcheck.verify(wrong, name, seeds=range(3 * n, 3 * n + 3), **settings)
                together = all(line.ok for line in report.lines.values())  # a case may crash, by name
                found.append(not together or any(c["outcome"] == "differs" for c in report.cases))
        print(f"bfloat16: {percent} % refused in {sum(found)} of {len(found)}")


def timed():
    seconds = []
    for name, op in REGISTRY.items():
        if op.equals is None and not op._signature.variadic_out:
            backward = lambda saved, dout, op=op: op.backward(saved, dout)
            report = gradcheck.verify(op.forward, name, framework="numpy", backward=backward)
            seconds.append((report.seconds, name, report.verdict))
    for taken, name, verdict in sorted(seconds, reverse=True):
        print(f"timed: {name} {taken:.2f} s, {verdict}")


if __name__ == "__main__":
    for part in sys.argv[1:] or ("honest", "planted", "bfloat16", "timed"):
        globals()[part]()
