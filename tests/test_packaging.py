"""What is installed agrees with what is written about it."""

import ast
import re
import subprocess
from importlib import metadata
from pathlib import Path

import pytest

import scratchattn

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = {
    "gpu": "cupy-cuda12x[ctk]",
    "gpu13": "cupy-cuda13x[ctk]",
    "test": "pytest pytest-xdist hypothesis mpmath array-api-strict python-flint threadpoolctl num2words "
    "safetensors",
    "peers": "torch jax autograd ml_dtypes transformers sacrebleu threadpoolctl",
    "viz": "matplotlib",
    "progress": "tqdm",
    "mpi": "mpi4py mpich",
    "cluster": "joblib",
    "fast": "numba",
    "interop": "safetensors",
    "fonts": "Hershey-Fonts",
    "rl": "gymnasium",
    "kernels": "nvidia-cuda-nvrtc",
    "docs": "sphinx myst-parser latex2mathml jupytext nbclient",
    "dev": "ruff mypy coverage",
}


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def setup():
    """The keywords of setup.py's call and the names it gives to values before, read without running it."""
    tree = ast.parse(read("setup.py"))
    names = {n.targets[0].id: ast.literal_eval(n.value) for n in tree.body if isinstance(n, ast.Assign)}
    call = next(n.value for n in tree.body if isinstance(n, ast.Expr) and isinstance(n.value, ast.Call))
    for keyword in call.keywords:
        if not any(isinstance(n, (ast.Call, ast.Name)) for n in ast.walk(keyword.value)):
            names[keyword.arg] = ast.literal_eval(keyword.value)
    return names


def test_the_version_is_the_same_everywhere():
    version = setup()["version"]
    assert scratchattn.__version__ == version
    assert re.search(r"^version: (.+)$", read("CITATION.cff"), re.M).group(1) == version
    assert re.search(r"^## (\S+)", read("CHANGELOG.md"), re.M).group(1) == version
    assert metadata.version("scratchattn") == version


def test_the_extras_are_those_of_the_design():
    declared = setup()["EXTRAS"]
    assert {name: [p.partition(">")[0] for p in needs] for name, needs in declared.items()} == {
        name: needs.split() for name, needs in EXTRAS.items()
    }


def test_the_core_needs_numpy_and_scipy_alone():
    required = setup()["install_requires"]
    assert [name.partition(">=")[0] for name in required] == ["numpy", "scipy"]
    assert setup()["python_requires"] == ">=3.11"


def test_the_doctor_has_a_word_on_every_extra():
    from scratchattn.cli import doctor

    assert set(doctor.PURPOSES) == set(EXTRAS)


def test_both_commands_are_installed():
    found = {e.name: e.value for e in metadata.distribution("scratchattn").entry_points}
    assert found == {"scratchattn": "scratchattn.cli:main", "gradcheck": "scratchattn.cli:gradcheck_main"}


@pytest.mark.parametrize("package", ["scratchattn", "gradcheck"])
def test_packages_are_typed(package):
    assert (ROOT / package / "py.typed").is_file()
    assert package in setup()["package_data"]


def test_every_folder_of_python_is_a_package_and_so_gets_installed():
    for package in ("scratchattn", "gradcheck"):
        for folder in {path.parent for path in (ROOT / package).rglob("*.py")}:
            assert (folder / "__init__.py").is_file(), folder


def test_the_licence_and_the_authors():
    assert "Copyright (c) 2026, The scratchattn authors" in read("LICENSE")
    assert "Redistributions in binary form" in read("LICENSE")
    assert setup()["author"] == "The scratchattn authors" and setup()["license"] == "BSD-3-Clause"
    assert "- name: The scratchattn authors" in read("CITATION.cff")
    assert "http" not in read("CITATION.cff") and "http" not in read("setup.py")


def test_contributing_is_short():
    assert len(read("CONTRIBUTING.md").splitlines()) < 60


def test_nothing_names_a_machine():
    """No path of somebody's machine, no host, no address, in what is tracked."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a checkout")
    suspicious = re.compile(
        "|".join(["/" + "(?:root|home|work|Users|tmp)/", "local" + "host", r"\b\d+\.\d+\.\d+\.\d+:\d+"])
    )
    for name in listed.stdout.splitlines():
        path = ROOT / name
        if path.suffix in (".py", ".md", ".toml", ".cff", ".cfg", ".txt", "") and path.is_file():
            found = suspicious.search(path.read_text(encoding="utf-8"))
            assert not found, f"{name}: {found.group()}"


def test_the_ci_script_is_executable_and_takes_its_test_command_from_the_readme():
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    assert 'grep -m1 pytest "$clone/README.md"' in script.read_text(encoding="utf-8")
