"""The README: its two commands, its links, its code."""

import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
LINES = TEXT.splitlines()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", TEXT, re.S | re.M)


def first_line_with(word):
    return next(i for i, line in enumerate(LINES) if word in line)


@pytest.mark.parametrize("word", ["scratchattn demo", "pytest"])
def test_the_first_mention_is_a_whole_command_in_a_virtual_environment(word):
    line = LINES[first_line_with(word)]
    assert line.startswith("python3 -m venv .venv && .venv/bin/pip install ") and not line.endswith("\\")
    assert all(step.split()[0] in ("python3",) or ".venv/bin/" in step for step in line.split(" && "))


def test_the_two_commands_are_on_the_first_screen_each_a_block_of_its_own():
    assert first_line_with("scratchattn demo") < first_line_with("pytest") < 24
    for block in [text for _, text in BLOCKS[:2]]:
        assert len(block.splitlines()) == 1


def test_the_test_command_installs_what_the_tests_need():
    assert '-e ".[test]"' in LINES[first_line_with("pytest")]


def test_a_picture_stands_before_the_commands():
    assert "](docs/ntm_copy.png)" in "\n".join(LINES[: first_line_with("scratchattn demo")])


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)]+)\)", TEXT))))
def test_a_link_leads_to_a_file(target):
    assert not target.startswith("http")
    assert (ROOT / target).exists()


def test_the_python_of_the_readme_runs():
    names = {}
    for language, text in BLOCKS:
        if language == "python":
            exec(compile(text, "README.md", "exec"), names)
    assert names["dkey"].shape == names["key"].shape


def test_the_error_that_the_readme_quotes_is_the_one_given():
    import numpy as np

    import scratchattn

    quoted = re.search(r"`(cosine_addressing: w is both[^`]*)`", TEXT).group(1)
    with pytest.raises(ValueError) as refusal:
        scratchattn.cosine_addressing(np.zeros((1, 4)), np.zeros((6, 3)), np.ones(1))
    assert str(refusal.value) == quoted


def test_every_verb_in_the_readme_exists():
    from scratchattn import cli

    commands = [
        shlex.split(step)
        for language, text in BLOCKS
        if language == "sh"
        for line in text.replace("\\\n", "").splitlines()
        for step in line.split(" && ")
    ]
    for words in commands:
        command = words[0].removeprefix(".venv/bin/")
        if command in cli.VERBS:
            cli.parser(command).parse_args(words[1:])


def test_the_errors_that_the_readme_quotes_are_the_worst_of_the_table():
    from gradcheck.errors import quoted, worst_lines

    published = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8").splitlines()
    worst = worst_lines([line for line in published if line.startswith("|")])
    assert 5 <= len(worst) <= 8 and TEXT == quoted(TEXT, worst)
