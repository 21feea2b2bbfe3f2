"""``scratchattn doctor``: what is installed here, and what to do about what is not."""

import os
import platform
import re
import shlex
import shutil
import sys
from importlib import metadata

from ..report.environment import blas, in_words, version
from . import verb

VARIABLES = (
    "OPENBLAS_CORETYPE",
    "OPENBLAS_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "CUDA_VISIBLE_DEVICES",
    "SCRATCHATTN_DATA",
)
PURPOSES = {
    "gpu": "arrays on a GPU, CUDA 12",
    "gpu13": "arrays on a GPU, CUDA 13",
    "test": "the tests and all checks",
    "peers": "comparison with other libraries",
    "viz": "plots",
    "progress": "progress bars",
    "mpi": "several machines",
    "cluster": "several processes",
    "fast": "compiled recurrent cells at batch one",
    "interop": "weights from and to safetensors",
    "fonts": "strokes for the handwriting tasks",
    "rl": "environments",
    "kernels": "compile checks of kernels without a GPU",
    "docs": "the book",
    "dev": "work on this project",
}


def add_parser(verbs):
    verb.add(
        verbs,
        "doctor",
        run,
        "say what is installed and what to do about what is not",
        "JSON keys: ok, python, numpy, scipy, cpus, blas, environment, gpu, torch, jax, extras, warnings.\n"
        "Exit status 1 if something that the core needs is missing or too old.",
    )


def run(args, screen):
    core, extras = requirements()
    report = {
        "ok": all(package["fine"] for package in core.values()),
        "scratchattn": version("scratchattn"),
        "python": {
            "version": platform.python_version(),
            "executable": sys.executable,
            "system": platform.platform(),
        },
        "numpy": version("numpy"),
        "scipy": version("scipy"),
        "cpus": cpus(),
        "blas": blas(),
        "environment": {name: os.environ.get(name) for name in VARIABLES},
        "gpu": gpu(),
        "torch": version("torch"),
        "jax": version("jax"),
        "core": core,
        "extras": extras,
    }
    report["warnings"] = warnings(report)
    _say(report, screen)
    return report, int(not report["ok"])


def requirements():
    """What the core and each extra need, from the installed metadata, and how far it is there."""
    try:
        required = metadata.requires("scratchattn") or []
    except metadata.PackageNotFoundError:  # a checkout that is only on the path
        required = ["numpy", "scipy"]
    core, extras = {}, {}
    for requirement in required:
        name, least, extra = re.match(
            r"""([\w.-]+)(?:\[[^]]*\])?\s*(?:>=\s*([\d.]+))?[^;]*(?:;.*extra\s*==\s*['"]([\w-]+)['"])?""",
            requirement,
        ).groups()
        found = version(name)
        install = requirement.partition(";")[0].strip()
        package = {
            "requirement": install,
            "version": found,
            "least": least,
            "fine": bool(found) and not _older(found, least),
        }
        if extra is None:
            core[name] = package
        else:
            entry = extras.setdefault(extra, {"purpose": PURPOSES.get(extra, ""), "packages": {}})
            entry["packages"][name] = package
    for entry in extras.values():
        entry["installed"] = all(package["fine"] for package in entry["packages"].values())
        missing = [p["requirement"] for p in entry["packages"].values() if not p["fine"]]
        entry["install"] = shlex.join(["pip", "install", *missing]) if missing else ""
    return core, extras


def cpus():
    """Cores of the machine, and how many of them this process may use."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:  # a container's share of the processor, which NumPy does not see
        with open("/sys/fs/cgroup/cpu.max", encoding="ascii") as file:
            quota, period = file.read().split()
        allowed = allowed if quota == "max" else min(allowed, max(1, int(quota) // int(period)))
    except (OSError, ValueError):
        pass
    return {"machine": os.cpu_count(), "allowed": allowed}


def gpu():
    """CuPy, the devices that it sees, and what stands in the way."""
    packages = [
        name
        for name in ("cupy", "cupy-cuda11x", "cupy-cuda12x", "cupy-cuda13x", "cupy-rocm-7-0")
        if version(name) is not None
    ]
    found = {
        "cupy": version(packages[0]) if packages else None,
        "packages": packages,
        "devices": [],
        "problem": "",
    }
    found["driver"] = shutil.which("nvidia-smi") is not None or os.path.exists("/dev/nvidiactl")
    if not packages:
        found["problem"] = "CuPy is not installed"
        return found
    try:
        import cupy

        for i in range(cupy.cuda.runtime.getDeviceCount()):
            properties = cupy.cuda.runtime.getDeviceProperties(i)
            name, memory = properties["name"].decode(), properties["totalGlobalMem"]
            found["devices"].append({"name": name, "gib": round(memory / 2**30, 1)})
        with cupy.cuda.Device(0):  # a device that cannot compute is none
            assert float(cupy.exp(cupy.zeros(3)).sum()) == 3.0
    except Exception as failure:  # CuPy raises its own kinds, and OSError for a missing library
        found["problem"] = f"{type(failure).__name__}: {str(failure).strip().splitlines()[0]}"
    return found


def warnings(report):
    """Sentences about what in this environment costs speed or comes out wrong, and what to do."""
    found = []
    for name, package in report["core"].items():
        if not package["fine"]:
            found.append(f"{name} {package['version']} is below {package['least']}: pip install -U {name}")
    environment, allowed = report["environment"], report["cpus"]["allowed"]
    if environment["OPENBLAS_CORETYPE"]:
        found.append(
            f"OPENBLAS_CORETYPE={environment['OPENBLAS_CORETYPE']} holds OpenBLAS to that processor's "
            "kernels; timings are not those of this machine. Unset it unless you mean it."
        )
    for pool in report["blas"]:
        if pool["architecture"] in ("Prescott", "Core2", "Nehalem", "generic", "armv8"):
            found.append(
                f"{pool['library']} uses its {pool['architecture']} kernels, which are old; "
                "pip install -U numpy scipy, or set OPENBLAS_CORETYPE to what the processor is"
            )
        if pool["threads"] and pool["threads"] > allowed:
            found.append(
                f"{pool['library']} has {pool['threads']} threads for {allowed} allowed core(s): "
                f"set OPENBLAS_NUM_THREADS={allowed} before Python starts"
            )
    if all(pool["threads"] is None for pool in report["blas"]):
        found.append("threads and kernels of the BLAS are unknown: pip install threadpoolctl")
    if len(report["gpu"]["packages"]) > 1:
        packages = " and ".join(report["gpu"]["packages"])
        found.append(f"{packages} are both installed and overwrite each other: uninstall all, install one")
    if report["gpu"]["driver"] and not report["gpu"]["packages"]:
        found.append(
            "there is an NVIDIA driver but no CuPy: pip install 'cupy-cuda12x[ctk]', or cupy-cuda13x"
        )
    data = environment["SCRATCHATTN_DATA"]
    if data and not os.path.isdir(data):
        found.append(f"SCRATCHATTN_DATA names {data}, which is no directory")
    return list(dict.fromkeys(found))


def _older(found, least):
    def numbers(text):
        return [int(part) for part in re.findall(r"\d+", text.partition("+")[0])[:3]]

    return least is not None and numbers(found) < numbers(least)


def _say(report, screen):
    def line(name, text):
        screen.say(f"  {name:14} {text}")

    python, gpu_found = report["python"], report["gpu"]
    line("scratchattn", report["scratchattn"] or "not installed, running from a checkout")
    line("Python", f"{python['version']}   {python['executable']}")
    line(
        "system",
        f"{python['system']}, {report['cpus']['allowed']} of {report['cpus']['machine']} cores allowed",
    )
    line("numpy, scipy", f"{report['numpy']}, {report['scipy']}")
    for pool in report["blas"]:
        line(f"BLAS of {pool['of']}" if pool["of"] else "BLAS", in_words(pool))
    line(
        "environment", ", ".join(f"{k}={v}" for k, v in report["environment"].items() if v is not None) or "-"
    )
    devices = ", ".join(f"{device['name']} ({device['gib']} GiB)" for device in gpu_found["devices"])
    cupy = f"CuPy {gpu_found['cupy']}: " if gpu_found["cupy"] else ""
    line("GPU", f"{cupy}{devices}{'; ' * bool(devices and gpu_found['problem'])}{gpu_found['problem']}")
    line("torch, jax", f"{report['torch'] or 'not installed'}, {report['jax'] or 'not installed'}")
    screen.say(f"\n{screen.paint('bold', 'Extras')}")
    for extra, entry in report["extras"].items():
        mark = screen.paint("green", "yes") if entry["installed"] else screen.paint("dim", "no ")
        screen.say(f"  {mark} {extra:10} {entry['purpose']:42} {entry['install']}".rstrip())
    if not report["extras"]:
        screen.say("  unknown: scratchattn is not installed here; pip install -e . in the checkout")
    if report["warnings"]:
        screen.say(f"\n{screen.paint('yellow', 'Worth a look')}")
        for warning in report["warnings"]:
            screen.say(f"  - {warning}")
