"""Both commands: what they print, what they return, how they refuse."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from scratchattn import REGISTRY, cli
from scratchattn.cli import check, doctor, lookup, verb

ROOT = Path(__file__).resolve().parents[1]
OWN = ROOT / "examples" / "own_op.py"


def refuse(constant):
    raise AssertionError(f"{constant} is not JSON")


def command(capsys, *words):
    """Exit status, stdout and stderr of a command run in this process."""
    run = cli.gradcheck_main if words[0] == "gradcheck" else cli.main
    try:
        status = run([str(word) for word in words[1:]])
    except SystemExit as end:  # argparse
        status = end.code
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def object_of(capsys, *words, status=0):
    """The one object that ``--json`` prints, and nothing beside it."""
    got, out, _ = command(capsys, *words, "--json")
    assert got == status and out.endswith("}\n") and out.count("\n") == 1
    return json.loads(out, parse_constant=refuse)


def write(path, *lines):
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


PAIR = (
    'signature = "a(n), b(n) -> out()"',
    "def cases(rng):",
    "    yield rng.normal(size=3), rng.normal(size=3)",
    "def dot_forward(a, b):",
    "    return (a * b).sum(-1), (a, b)",
    "def dot_backward(saved, dout):",
    "    a, b = saved",
    "    return dout[..., None] * b, dout[..., None] * a",
)


# ---- list, explain, doctor --------------------------------------------------


def test_list_has_every_op_once(capsys):
    report = object_of(capsys, "scratchattn", "list")
    assert list(report) == ["ops", "fused", "models", "tasks"]
    names = [entry["name"] for entry in report["ops"] + report["fused"]]
    assert sorted(names) == sorted(REGISTRY)
    assert {e["name"] for e in report["fused"]} == {n for n, op in REGISTRY.items() if op.equals}


@pytest.mark.parametrize("room", ["ops", "fused", "models", "tasks"])
def test_everything_listed_says_what_it_is_and_where_it_comes_from(capsys, room):
    for entry in object_of(capsys, "scratchattn", "list")[room]:
        assert entry["summary"] and entry["source"], entry
        assert (ROOT / entry["file"].partition(":")[0]).is_file(), entry


def test_list_for_a_person_names_them_all_without_colour_codes(capsys):
    status, out, _ = command(capsys, "scratchattn", "list")
    assert status == 0 and "\033" not in out
    assert all(f"  {name} " in out for name in REGISTRY)


def test_explain_shows_derivation_numbers_code_and_evidence(capsys):
    report = object_of(capsys, "scratchattn", "explain", "cosine_addressing")
    op = REGISTRY["cosine_addressing"]
    assert report["signature"] == op.signature and report["source"] == op.source
    assert "Backward" in report["docstring"]
    assert {row["check"] for row in report["evidence"]} >= {
        "forward_is_the_paper",
        "backward_is_the_jacobian",
    }
    assert all(row["ok"] and row["comparisons"] > 0 for row in report["evidence"])
    for part, place in report["files"].items():
        file, _, line = place.rpartition(":")
        text = (ROOT / file).read_text(encoding="utf-8").splitlines()[int(line) - 1]
        assert text.startswith(f"def cosine_addressing_{part}")
    assert {v["name"] for v in report["variants"]} == {v.name for v in op.variants}


def test_explained_numbers_are_those_of_the_op(capsys):
    worked = object_of(capsys, "scratchattn", "explain", "multiply")["worked"]
    a, b = (np.array(worked["inputs"][name]) for name in "ab")
    given = np.array(worked["cotangents"]["out"])
    assert np.array_equal(worked["outputs"]["out"], a * b)
    assert np.array_equal(worked["gradients"]["a"], given * b)


def test_explain_for_a_person(capsys):
    status, out, _ = command(capsys, "scratchattn", "explain", "multiply")
    assert status == 0
    for word in (
        "a(), b() -> out()",
        "Code",
        "Worked numbers",
        "g(out)",
        "Evidence",
        "backward is the adjoint",
    ):
        assert word in out


def test_explain_takes_a_pair_from_a_file(capsys, tmp_path):
    file = write(tmp_path / "dots.py", *PAIR)
    report = object_of(capsys, "scratchattn", "explain", f"{file}:dot")
    assert report["name"] == "dot" and report["files"]["forward"].endswith("dots.py:4")


def test_explain_knows_models_and_tasks(capsys):
    for room in ("models", "tasks"):
        for entry in object_of(capsys, "scratchattn", "list")[room]:
            report = object_of(capsys, "scratchattn", "explain", entry["name"])
            assert report["docstring"] and set(report) >= {"name", "signature", "source", "evidence"}


def test_an_unknown_name_is_refused_with_the_nearest(capsys):
    for words in (("scratchattn", "explain", "cosine_adressing"), ("gradcheck", "check", "cosine_adressing")):
        status, out, err = command(capsys, *words)
        assert status == 2 and out == "" and "did you mean cosine_addressing" in err


def test_doctor_says_what_is_here(capsys):
    report = object_of(capsys, "scratchattn", "doctor")
    assert report["ok"] and report["numpy"] == np.__version__
    assert report["python"]["version"] == ".".join(map(str, sys.version_info[:3]))
    assert set(report["extras"]) >= {"test", "gpu", "peers"}
    for entry in report["extras"].values():
        assert entry["installed"] != bool(entry["install"])
    assert all(pool["library"] for pool in report["blas"])
    status, out, _ = command(capsys, "scratchattn", "doctor")
    assert status == 0 and np.__version__ in out and "GPU" in out


def test_doctor_warns(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Prescott")
    monkeypatch.setenv("SCRATCHATTN_DATA", str(tmp_path / "nowhere"))
    monkeypatch.setattr(doctor, "cpus", lambda: {"machine": 64, "allowed": 0})
    monkeypatch.setattr(doctor, "version", lambda name: None if name == "threadpoolctl" else "1.0")
    report = object_of(capsys, "scratchattn", "doctor", status=1)
    text = "\n".join(report["warnings"])
    for word in ("OPENBLAS_CORETYPE=Prescott", "nowhere", "numpy 1.0 is below", "overwrite each other"):
        assert word in text


# ---- gradcheck check --------------------------------------------------------


def test_check_prints_what_the_design_says(capsys):
    report = object_of(capsys, "gradcheck", "check", "add", "multiply", "--jobs", 1)
    assert report["ok"] is True
    assert {result["op"] for result in report["checks"]} == {"add", "multiply"}
    assert set(report["checks"][0]) >= {"op", "case", "check", "error", "tolerance", "ok"}
    assert set(report["summary"]) == {"ops", "cases", "checks", "failed", "seconds"}
    assert report["summary"]["ops"] == 2 and report["summary"]["checks"] == len(report["checks"])


def test_check_equals_the_function(capsys):
    import gradcheck

    report = object_of(capsys, "gradcheck", "check", "add")
    expected = json.loads(json.dumps(gradcheck.check(REGISTRY["add"])))
    assert [{k: v for k, v in r.items() if k != "seed"} for r in report["checks"]] == expected


def test_deep_repeats_with_other_seeds(capsys):
    report = object_of(capsys, "gradcheck", "check", "add", "--deep", "--seed", 5)
    assert {result["seed"] for result in report["checks"]} == {5, 6, 7}


def test_check_for_a_person_is_a_line_per_op_and_a_summary(capsys):
    status, out, _ = command(capsys, "gradcheck", "check", "add", "multiply", "--jobs", 1)
    lines = out.splitlines()
    assert status == 0 and len(lines) == 4 and "\033" not in out
    assert [line.split()[1] for line in lines[1:3]] == ["add", "multiply"]
    assert "all hold" in lines[-1] and lines[-1].endswith(" s")


@pytest.mark.parametrize("words", [("--jobs", 0), ("--seed", -1), ("--jobs", "many"), ("--nonsense",)])
def test_wrong_options_end_with_two(capsys, words):
    assert command(capsys, "gradcheck", "check", "add", *words)[0] == 2


def test_without_mpmath_it_names_the_extra(capsys, monkeypatch):
    monkeypatch.setattr(check.importlib.util, "find_spec", lambda name: None)
    status, out, err = command(capsys, "gradcheck", "check", "add")
    assert status == 2 and out == "" and "scratchattn[test]" in err


def test_the_example_of_an_own_pair_passes(capsys):
    report = object_of(capsys, "gradcheck", "check", f"{OWN}:additive_score")
    assert report["ok"] and report["summary"]["cases"] == 3
    assert {"forward_is_the_paper", "backward_is_the_papers_derivative"} <= {
        r["check"] for r in report["checks"]
    }
    assert len(OWN.read_text(encoding="utf-8").splitlines()) < 100


MISTAKES = {
    "a sign": ("vector[..., None, :] * (1 - u * u)", "vector[..., None, :] * (u * u - 1)"),
    "a forgotten factor": (" * (1 - u * u)", ""),
    "a small factor": ("dvector = ", "dvector = (1 + 1e-11) * "),
    "the wrong sum": ("np.sum(dz, axis=-2)", "np.sum(dz[..., :1, :], axis=-2)"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_wrong_sibling_of_the_example_is_found(capsys, tmp_path, mistake):
    right, wrong = MISTAKES[mistake]
    text = OWN.read_text(encoding="utf-8")
    assert text.count(right) == 1
    file = tmp_path / "own_op.py"
    file.write_text(text.replace(right, wrong), encoding="utf-8")
    assert not object_of(capsys, "gradcheck", "check", f"{file}:additive_score", status=1)["ok"]


def test_it_says_which_gradient_is_wrong_and_where_first(capsys, tmp_path):
    text = OWN.read_text(encoding="utf-8")
    right = "    summed = np.sum(dz, axis=-2)\n"
    assert text.count(right) == 1
    late = right + "    dz = np.array(dz)\n    dz[..., -1, 1] *= 1.5\n"
    file = tmp_path / "own_op.py"
    file.write_text(text.replace(right, late), encoding="utf-8")
    report = object_of(capsys, "gradcheck", "check", f"{file}:additive_score", status=1)
    sentences = [found["text"] for found in report["diagnosis"]]
    keys = np.shape(
        next(lookup.op_named(f"{file}:additive_score").cases(np.random.default_rng(0))).inputs[2]
    )[0]
    first = f"d score[{keys - 1}] / d key[{keys - 1}, 1]"
    assert "the gradient by key is wrong" in sentences[0] and first in sentences[0]
    assert not any("by query" in text or "by projection" in text for text in sentences)
    status, out, _ = command(capsys, "gradcheck", "check", f"{file}:additive_score")
    assert status == 1 and sentences[0] in out and "FAIL" in out


def test_a_forward_that_no_complex_step_can_pass_is_told_from_a_wrong_gradient(capsys, tmp_path):
    lines = [line.replace("(a * b).sum(-1)", "(a * abs(b)).sum(-1)") for line in PAIR]
    lines[-1] = "    return dout[..., None] * abs(b), dout[..., None] * a * ((b > 0) * 2.0 - 1)"
    file = write(tmp_path / "absolute.py", *lines)
    report = object_of(capsys, "gradcheck", "check", f"{file}:dot", status=1)
    assert any("agrees with finite differences" in found["text"] for found in report["diagnosis"])


def test_what_raises_fails_and_is_null_in_json(capsys, tmp_path):
    file = write(tmp_path / "raising.py", *PAIR[:-1], "    raise ValueError('no gradient today')")
    report = object_of(capsys, "gradcheck", "check", f"{file}:dot", status=1)
    failed = [result for result in report["checks"] if not result["ok"]]
    assert any("no gradient today" in result["what"] and result["error"] is None for result in failed)


def test_a_result_that_is_no_tuple_is_named(capsys, tmp_path):
    file = write(tmp_path / "bare.py", *PAIR[:-1], "    return dout[..., None] * b")
    assert "dot_backward must return a tuple" in command(capsys, "gradcheck", "check", f"{file}:dot")[1]


def test_no_case_is_no_success(capsys, tmp_path):
    lines = [line.replace("yield rng.normal(size=3), rng.normal(size=3)", "return iter(())") for line in PAIR]
    file = write(tmp_path / "empty.py", *lines)
    assert command(capsys, "gradcheck", "check", f"{file}:dot")[0] == 1


def test_an_op_object_and_several_pairs_in_one_file(capsys, tmp_path):
    file = write(
        tmp_path / "several.py",
        *PAIR,
        "from scratchattn.op import Case, Op",
        "product = Op('product', signature, dot_forward, dot_backward,",
        "             lambda rng: [Case('one', (rng.normal(size=2), rng.normal(size=2)))])",
        'twice_signature = "a() -> out()"',
        "twice_cases = [(__import__('numpy').ones(3),)]",
        "def twice_forward(a): return 2 * a, None",
        "def twice_backward(saved, dout): return (2 * dout,)",
    )
    report = object_of(
        capsys, "gradcheck", "check", *[f"{file}:{name}" for name in ("dot", "product", "twice")]
    )
    assert report["ok"] and report["summary"]["ops"] == 3


@pytest.mark.parametrize(
    ("lines", "name", "message"),
    [
        (PAIR, "dott", "did you mean dot"),
        (PAIR[1:], "dot", "needs a string 'signature'"),
        (("signature = 'a(n)'", *PAIR[1:]), "dot", "a signature has an arrow"),
        (("import nothing_of_this_name",), "dot", "ModuleNotFoundError"),
        (None, "dot", "there is no file"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(capsys, tmp_path, lines, name, message):
    file = tmp_path / "given.py"
    if lines:
        write(file, *lines)
    status, out, err = command(capsys, "gradcheck", "check", f"{file}:{name}")
    assert status == 2 and out == "" and message in err


# ---- the commands as others see them ----------------------------------------


def process(*words, **options):
    return subprocess.run(
        [sys.executable, "-W", "ignore", *words],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=120,
        **options,
    )


def test_modules_run_as_commands_and_print_one_object(tmp_path):
    chatty = write(tmp_path / "chatty.py", "print('hello from a library')", *PAIR)
    done = process("-m", "gradcheck", "check", f"{chatty}:dot", "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["ok"] and "hello" in done.stderr
    assert json.loads(process("-m", "scratchattn", "list", "--json").stdout)["ops"]
    assert process("-m", "scratchattn").returncode == 2


def test_several_processes_find_what_one_finds():
    def found(jobs):
        done = process("-m", "gradcheck", "check", "add", "multiply", "divide", "--json", "--jobs", jobs)
        return json.loads(done.stdout)["checks"]

    assert found("1") == found("2")


def test_a_reader_that_leaves_early_sees_no_traceback():
    done = subprocess.run(
        f"{sys.executable} -m scratchattn list | head -n 1",
        shell=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
    )
    assert done.returncode == 0 and "Traceback" not in done.stderr


def test_every_verb_has_help_and_json(capsys):
    for name in cli.VERBS:
        verbs = cli.parser(name)._subparsers._group_actions[0].choices
        for each, parser in verbs.items():
            assert "--json" in parser.format_help(), each
            assert command(capsys, name, each, "--help")[0] == 0


def test_numbers_that_json_lacks_become_null():
    given = {
        "a": [float("nan"), np.float32(2), np.array([1.0, np.inf])],
        "b": (True, None, 3),
        "c": np.bool_(1),
    }
    assert verb.valid_json(given) == {"a": [None, 2.0, [1.0, None]], "b": [True, None, 3], "c": True}
