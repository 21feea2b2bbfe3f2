"""A sweep whose runs are dealt out by Dask: on this machine, or on the cluster whose scheduler is named.

    python examples/sweep_dask.py sweeps/rates                          two workers here
    python examples/sweep_dask.py sweeps/rates --scheduler tcp://HOST:8786

    pip install "scratchattn[cluster]" "dask[distributed]"

joblib stands between: any of its backends does, Ray's too (``ray.util.joblib.register_ray()``, then
``parallel_config(backend="ray")``).  Workers must see the sweep's directory under the same name.
"""

import argparse

import joblib
from dask.distributed import Client, LocalCluster

from scratchattn.training import plan, sweep


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("directory")
    parser.add_argument("--scheduler", help="address of a running one; without it, two workers here")
    parser.add_argument("--steps", type=int, default=2_000)
    args = parser.parse_args()
    runs = plan(
        args.directory, "ntm", "copy", over={"learning_rate": [1e-4, 1e-3]}, seeds="0-1",
        wishes=[f"steps={args.steps}", "bits=4", "longest=5", "rows=16", "eval_batches=2"],
    )  # fmt: skip
    here = None if args.scheduler else LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
    with Client(args.scheduler or here), joblib.parallel_config(backend="dask"):
        for row in sweep(runs, engine="joblib"):
            print(row["settings"], row["seed"], row["state"], row["metrics"], row["reason"] or "")
    if here is not None:
        here.close()


if __name__ == "__main__":
    main()
