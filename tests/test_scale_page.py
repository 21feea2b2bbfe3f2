"""docs/scale.md: its tables are those of the simulation, and the simulation does what the text says."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from scratchattn.report.export import write_svg

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def simulation():
    place = importlib.util.spec_from_file_location(
        "scale_simulation", ROOT / "examples" / "scale_simulation.py"
    )
    module = importlib.util.module_from_spec(place)
    place.loader.exec_module(module)
    return module


def test_the_page_and_its_picture_are_those_of_the_simulation(simulation, tmp_path):
    page = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
    shown = page.partition(simulation.START)[2].partition(simulation.END)[0]
    assert shown == "\n" + "\n".join(simulation.tables()) + "\n\n"
    write_svg(tmp_path / "scale.svg", simulation.picture())
    assert (ROOT / "docs" / "scale.svg").read_bytes() == (tmp_path / "scale.svg").read_bytes()


@pytest.mark.parametrize("processes", [1, 2, 16, 1024])
def test_a_process_sends_8n_bytes_less_its_share(simulation, processes, monkeypatch):
    sent = []
    monkeypatch.setattr(simulation, "swap", lambda size, distance, network: sent.append(size) or 0.0)
    simulation.step(processes, 1_000, "10 Gb/s", trials=1)
    assert sum(sent) == pytest.approx(8_000 * (1 - 1 / processes))
    assert len(sent) == 2 * np.log2(processes)


def test_one_process_waits_for_nobody_and_all_wait_for_the_slowest(simulation, monkeypatch):
    own = [0.010] * 19 + [0.020]
    monkeypatch.setitem(simulation.MEASURED, "steps", {"16": own})
    monkeypatch.setattr(simulation, "swap", lambda size, distance, network: 0.0)
    monkeypatch.setitem(simulation.MEASURED, "add_seconds_per_byte", 0.0)
    alone, _ = simulation.step(1, 1_000, "10 Gb/s", trials=2_000)
    assert alone == pytest.approx(np.mean(own), rel=0.05)
    whole, waiting = simulation.step(256, 1_000, "10 Gb/s")
    assert whole == pytest.approx(0.020) and waiting == pytest.approx(0.010)
    gathered, _ = simulation.step(256, 1_000, "10 Gb/s", way="gather")
    assert gathered == pytest.approx(0.020 + 256 * (30e-6 + 4_000 / 1.25e9))
