"""``gradcheck verify`` and ``gradcheck.parametrize``: the kit as a command and as tests."""

import json
import runpy
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import gradcheck
from scratchattn import REGISTRY, cli

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"
WRONG = EXAMPLES / "verify_wrong.py"


def command(capsys, *words):
    try:
        status = cli.gradcheck_main(["verify", *map(str, words)])
    except SystemExit as stopped:  # argparse
        status = stopped.code
    said = capsys.readouterr()
    return status, said.out, said.err


def test_a_function_that_conforms_ends_with_zero_and_one_object(capsys):
    words = (f"{WRONG}:attention", "--against", "softmax_attention", "--seeds", 1)
    status, out, _ = command(capsys, *words, "--json")
    report = json.loads(out)
    assert status == 0 and report["conforms"] is True and report["variant"] is None
    assert set(report["distances"]) == {"out", "dquery", "dkey", "dvalue"}  # its backward was found beside it
    assert {"case", "seed", "ok", "outcome", "what"} <= set(report["cases"][0])
    status, out, _ = command(capsys, *words)
    assert status == 0 and "conforms to softmax_attention" in out and "\033" not in out


def test_a_convention_of_others_ends_with_one_and_is_named(capsys, tmp_path):
    page, paste = tmp_path / "report.html", tmp_path / "report.md"
    words = (f"{WRONG}:mirrored_shift", "--against", "circular_shift", "--html", page, "--markdown", paste)
    status, out, _ = command(capsys, *words, "--dtype", "float64")
    assert status == 1 and "follows the variant pytorch_ntm" in out
    assert "follows the variant pytorch_ntm" in paste.read_text() and "| case |" in paste.read_text()
    text = page.read_text()
    assert text.startswith("<!DOCTYPE html>") and "pytorch_ntm" in text and "<script" not in text
    for which in ("--variant", "--convention"):
        status, out, _ = command(capsys, *words[:3], which, "pytorch_ntm")
        assert status == 0 and out.startswith(
            f"{WRONG}:mirrored_shift conforms to circular_shift (pytorch_ntm)"
        )


def test_a_backward_may_be_named(capsys):
    words = ("--against", "softmax_attention", "--backward", f"{WRONG}:one_in_a_hundred_thousand", "--json")
    status, out, _ = command(capsys, f"{WRONG}:attention", *words)
    report = json.loads(out)
    assert status == 1 and report["verdict"] == "differs"
    assert report["distances"]["dvalue"] > 6 > max(v for k, v in report["distances"].items() if k != "dvalue")


def test_outputs_arguments_and_ops_in_files(capsys, tmp_path):
    (tmp_path / "theirs.py").write_text(
        "def back(y, x):\n    return None, x - y\n"
        "def subtract(a, b):\n    return a - b\n"
        "def linkage(link, precedence, w):\n    return 0, (1 - w.sum(-1, keepdims=True)) * precedence + w\n"
        "def wait(a):\n    import time\n    time.sleep(60)\n"
    )
    theirs = tmp_path / "theirs.py"
    assert command(capsys, f"{theirs}:subtract", "--against", "subtract")[0] == 0
    swapped = (f"{theirs}:back", "--against", "subtract", "--arguments", "b,a", "--outputs", "_,out")
    assert command(capsys, *swapped)[0] == 0
    words = (f"{theirs}:linkage", "--against", "dnc_linkage", "--outputs", "_,new_precedence")
    assert command(capsys, *words)[0] == 0
    status, out, _ = command(capsys, f"{theirs}:wait", "--against", "exp", "--time-limit", "0.2")
    assert status == 1 and "hangs" in out
    own = ("--against", f"{EXAMPLES / 'own_op.py'}:additive_score")
    status, out, _ = command(capsys, f"{EXAMPLES / 'own_op.py'}:additive_score_forward", *own)
    assert status == 0 and "dvector" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nowhere.py:f", "--against", "exp"), "there is no file nowhere.py"),
        (("no.such.module:f", "--against", "exp"), "no.such.module cannot be imported"),
        ((f"{WRONG}:atention", "--against", "exp"), "did you mean attention"),
        ((f"{WRONG}", "--against", "exp"), "must be module:function"),
        ((f"{WRONG}:gradcheck", "--against", "exp"), "is no function but module"),
        ((f"{WRONG}:attention", "--against", "softmax_atention"), "did you mean softmax_attention"),
        ((f"{WRONG}:attention", "--against", "exp", "--dtype", "int8"), "dtype must be one of"),
        ((f"{WRONG}:attention", "--against", "exp", "--framework", "lisp"), "framework must be one of"),
        ((f"{WRONG}:attention", "--against", "exp", "--seeds", "0"), "--seeds must be at least 1"),
        ((f"{WRONG}:attention", "--against", "exp", "--variant", "x"), "has no variant 'x'"),
        (
            (f"{WRONG}:mirrored_shift", "--against", "circular_shift", "--html", "/no/such/place"),
            "cannot be written",
        ),
        ((f"{WRONG}:attention", "--against", "exp", "--plan", "score=float16"), "no stage is called 'score'"),
        ((f"{WRONG}:attention", "--against", "exp", "--plan", "scores=float16"), "exp has no scores"),
        ((f"{WRONG}:attention",), "--against"),
    ],
)
def test_wrong_use_ends_with_two(capsys, words, message):
    status, out, err = command(capsys, *words)
    assert status == 2 and out == "" and message in err and "Traceback" not in err


def test_a_module_on_the_path_of_the_caller(tmp_path):
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").write_text("")
    (tmp_path / "package" / "ops.py").write_text(
        "import numpy as np\nprint('chatty')\ndef f(a): return np.exp(a)\n"
    )
    words = ["-m", "gradcheck", "verify", "package.ops:f", "--against", "exp", "--json"]
    environment = {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, cwd=tmp_path, timeout=120, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["conforms"] and "chatty" in done.stderr


def test_examples_are_short_and_the_wrong_one_runs(capsys):
    for file in EXAMPLES.glob("verify_*.py"):
        assert len(file.read_text(encoding="utf-8").splitlines()) < 100, file
    runpy.run_path(str(WRONG), run_name="__main__")
    said = capsys.readouterr().out
    for words in (
        "attention conforms",
        "in dvalue (",
        "variant t5",
        "variant pytorch_ntm",
        "differs from circular_shift",
    ):
        assert words in said


@pytest.mark.peers
@pytest.mark.parametrize(
    ("name", "function", "op", "variant"),
    [
        ("layer_norm_torch", "torchs", "layer_norm", None),
        ("lstm_torch", "step", "lstm_cell", None),
        ("cosine_torch", "addressing", "cosine_addressing", "torch"),
        ("attention_jax", "attention", "softmax_attention", None),
    ],
)
def test_examples_of_frameworks_say_what_they_promise(name, function, op, variant):
    pytest.importorskip(guessed_of(name))
    example = runpy.run_path(str(EXAMPLES / f"verify_{name}.py"))
    report = gradcheck.verify(example[function], op, framework=guessed_of(name), seeds=1)
    assert max(report.distances.values()) < 6
    assert report.variant == variant


def guessed_of(name):
    return name.rpartition("_")[2]


@pytest.mark.peers
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("backend", ["math", "flash"])
def test_each_backend_of_pytorchs_attention_conforms_by_its_plan(backend, dtype):
    pytest.importorskip("torch")
    example = runpy.run_path(str(EXAMPLES / "verify_attention_torch.py"))
    verify = partial(gradcheck.verify, example[backend], dtype=dtype, plan=example["plan"](backend, dtype))
    for report in (verify("softmax_attention"), verify(example["LONG"], seeds=1)):
        assert report.conforms and report.framework == "torch", report
        assert set(report.distances) == {"out", "dquery", "dkey", "dvalue"}
        assert max(report.distances.values()) < 4


@pytest.mark.peers
def test_the_flash_backend_rounds_more_than_the_plain_one():
    pytest.importorskip("torch")
    example = runpy.run_path(str(EXAMPLES / "verify_attention_torch.py"))
    verify = partial(gradcheck.verify, example["flash"], against="softmax_attention")
    assert not verify(dtype="bfloat16", plan=example["plan"]("math", "bfloat16")).conforms


# ---- as tests ---------------------------------------------------------------


def normal(x, scale=None, shift=None):
    centred = x - x.mean(-1, keepdims=True)
    out = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + x.dtype.type(1e-5))
    out = out if scale is None else out * scale
    return out if shift is None else out + shift


@gradcheck.parametrize("layer_norm", framework="numpy", seeds=1)
def test_as_a_user_would_write_it(judge):
    if judge.label == "no feature":
        pytest.skip("its mean of nothing is NaN")
    assert judge(normal).conforms


def test_every_case_has_an_id():
    mark = gradcheck.parametrize("layer_norm", dtypes="float32")
    labels = [c.label for c in REGISTRY["layer_norm"].cases(np.random.default_rng(0))]
    assert mark.mark.args[0] == "judge"
    assert [p.id for p in mark.mark.args[1]] == [f"layer_norm-{label}-float32" for label in labels]


FILE = """
import numpy as np
import gradcheck

@gradcheck.parametrize("circular_shift", dtypes="float32", seeds=1, expected_failures={expected})
def test_shift(judge):
    judge(lambda weights, shift: np.roll(weights, 1, -1) * shift[..., -1:], framework_of_nobody)
""".replace(", framework_of_nobody", "")


@pytest.mark.parametrize(
    ("expected", "outcome"),
    [
        ({}, {"failed": 7, "passed": 1}),
        ({"three offsets": "only the last offset"}, {"failed": 6, "xfailed": 1, "passed": 1}),
        ({"one offset": "wrongly expected"}, {"failed": 8}),
    ],
)
def test_expected_failures_that_pass_are_failures(tmp_path, expected, outcome):
    text = FILE.replace("{expected}", repr(expected))
    text = text.replace(
        "np.roll(weights, 1, -1) * shift[..., -1:]",
        "np.roll(weights, shift.shape[-1] // 2, -1) * shift[..., -1:]",
    )
    (tmp_path / "test_theirs.py").write_text(text)
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_theirs.py"]
    done = subprocess.run(
        words, capture_output=True, text=True, cwd=tmp_path, timeout=120, env={"PYTHONPATH": str(ROOT)}
    )
    last = [line for line in done.stdout.splitlines() if " in " in line][-1]
    skipped = 20  # of other params, which the function does not have
    for word, count in {**outcome, "skipped": skipped}.items():
        assert f"{count} {word}" in last, done.stdout[-2000:]


def test_parametrize_used_wrongly_says_so():
    with pytest.raises(ValueError, match="did you mean 'three offsets'"):
        gradcheck.parametrize("circular_shift", expected_failures={"three offset": "typo"})
    with pytest.raises(ValueError, match="needs a reason"):
        gradcheck.parametrize("circular_shift", expected_failures={"three offsets": ""})
    with pytest.raises(ValueError, match="no op or cell is called"):
        gradcheck.parametrize("circular_shit")
