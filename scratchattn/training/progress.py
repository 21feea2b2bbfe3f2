"""Progress of long work: a bar on a terminal (tqdm, if installed), plain lines in a log."""

import sys
import time
from contextlib import contextmanager


@contextmanager
def progress(steps, quiet=False, start=0):
    """Yield ``shown(step, metrics)``: where we are, how fast, how long still; on standard error.

    ``start``: the steps that were made before, by a run that this one resumes.
    """
    if quiet:
        yield lambda step, metrics: None
        return
    started, bar, last = time.perf_counter(), _bar(steps, start), [start]

    def shown(step, metrics):
        told = "  ".join(f"{name} {value:.3g}" for name, value in metrics.items())
        if bar is not None:
            bar.set_postfix_str(told, refresh=False)
            bar.update(step - bar.n)
            return
        if step < steps and step - last[0] < steps / 20:  # a log wants twenty lines, not two hundred
            return
        last[0] = step
        rate = (step - start) / (time.perf_counter() - started)
        left = (steps - step) / rate
        print(f"step {step}/{steps}  {told}  {rate:.0f}/s  {left:.0f} s left", file=sys.stderr, flush=True)

    try:
        yield shown
    finally:
        if bar is not None:
            bar.close()


def _bar(steps, start):
    if not sys.stderr.isatty():
        return None
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    return tqdm(total=steps, initial=start, unit="step", file=sys.stderr)
