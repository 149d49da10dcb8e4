"""What all figures share: the same bytes anywhere, text that stays text, ink that can be read,
notes that fit.
"""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib import rc_context
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hybrid_sweep.report.figures import style
from tests.report.figures.figure_words import legible, words
from tests.waiting import alive, wait_for


def plain() -> Figure:
    with style.styled():
        handles = [Line2D([], [], label="a line")]
        figure = style.sheet(style.WIDE, 2.0, "Lines of r = 0. " * 20, "toy · 0123abcd", handles)
        axes = figure.add_subplot()
        axes.plot([0, 1, 2], [3, 1, 2], marker="o", clip_on=True)
        axes.fill_between([0, 1, 2], [2, 0, 1], [4, 2, 3], hatch="///", alpha=0.2)
        axes.set_title("a title")
    return figure


def test_bytes_are_the_same_whatever_the_settings_of_a_session(tmp_path: Path) -> None:
    foreign = {
        "lines.linewidth": 9,
        "font.family": "serif",
        "axes.facecolor": "red",
        "svg.fonttype": "path",
    }
    foreign |= {
        "svg.hashsalt": None,
        "pdf.fonttype": 3,
        "savefig.facecolor": "red",
        "xtick.direction": "in",
    }
    first = style.save(plain(), tmp_path / "a", "one")
    with rc_context(foreign):
        second = style.save(plain(), tmp_path / "b", "one")
    assert [path.name for path in first] == ["one.png", "one.pdf", "one.svg"]
    for a, b in zip(first, second, strict=True):
        content = a.read_bytes()
        assert content == b.read_bytes(), a.name
        assert (
            b"Date" not in content
            and b"atplotlib v" not in content
            and b"Matplotlib" not in content
        )
        assert len(content) > 3000


def test_a_format_takes_one_drawing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing is most of the time that a report takes: once to lay out, then once for each
    format.
    """
    figure, drawn, draw = plain(), [], Figure.draw
    monkeypatch.setattr(
        Figure, "draw", lambda self, renderer: drawn.append(renderer) or draw(self, renderer)
    )
    style.save(figure, tmp_path, "one")
    assert len(drawn) == 4


def test_text_stays_text_in_pdf_and_svg(tmp_path: Path) -> None:
    _, pdf, svg = style.save(plain(), tmp_path, "one")
    assert b"/Type3" not in pdf.read_bytes() and b"/FontFile2" in pdf.read_bytes()
    text = svg.read_text(encoding="utf-8")
    assert ">a title</text>" in text and "'DejaVu Sans', 'Verdana', 'Arial', sans-serif" in text


def test_ids_of_two_figures_do_not_meet_in_one_page(tmp_path: Path) -> None:
    texts = [
        style.save(plain(), tmp_path, name)[2].read_text(encoding="utf-8")
        for name in ("one", "two")
    ]
    ids = [{part.split('"')[0] for part in text.split('<clipPath id="')[1:]} for text in texts]
    assert ids[0] and not ids[0] & ids[1]


def test_a_file_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Figure.savefig

    def breaks(self: Figure, path: Any, **options: Any) -> None:
        whole(self, path, **options)
        if Path(path).suffix == ".svg":
            Path(path).write_text("<svg", encoding="utf-8")
            raise OSError("disk full")

    monkeypatch.setattr(Figure, "savefig", breaks)
    with pytest.raises(OSError, match="disk full"):
        style.save(plain(), tmp_path, "one")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.pdf", "one.png"]


@pytest.mark.slow
def test_several_at_once_are_what_each_alone_is_and_what_breaks_one_is_raised(
    tmp_path: Path,
) -> None:
    alone = [
        path
        for name in ("one", "two", "three")
        for path in style.save(plain(), tmp_path / "alone", name)
    ]
    together = style.save_all(
        {name: plain() for name in ("one", "two", "three")}, tmp_path / "together"
    )
    assert [path.name for path in together] == [path.name for path in alone]
    assert [path.read_bytes() for path in together] == [path.read_bytes() for path in alone]
    assert style.save_all({}, tmp_path) == []
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"Not a directory|File exists"):
        style.save_all({"one": plain(), "two": plain()}, tmp_path / "file")


SLOW = """
import os, sys, time
from pathlib import Path
from hybrid_sweep.report.figures import style

def save(figure, folder, name):
    (folder / name).write_text(str(os.getpid()))
    time.sleep(60)

style.save = save
style.save_all({"one": None}, Path(sys.argv[1]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is of Linux")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGTERM, -15)])
def test_who_writes_figures_ends_with_who_asked(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    asked = subprocess.Popen([sys.executable, "-c", SLOW, str(tmp_path)])
    wait_for(lambda: (tmp_path / "one").exists() and (tmp_path / "one").read_text())
    writer = int((tmp_path / "one").read_text())
    asked.send_signal(number)
    assert asked.wait(30) == code
    wait_for(lambda: not alive(writer), 30)


def luminance(colour: Any) -> float:
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in to_rgb(colour)
    ]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


@pytest.mark.parametrize("colours", [style.LEVEL, style.CHANGE])
def test_numbers_can_be_read_on_every_ground(colours: Any) -> None:
    for value in np.linspace(0, 1, 101):
        ground, ink = luminance(colours(value)), luminance(style.ink(colours(value)))
        assert (max(ground, ink) + 0.05) / (min(ground, ink) + 0.05) >= 4.5


def test_levels_keep_their_order_in_grey_and_changes_are_darker_the_larger() -> None:
    assert (np.diff([luminance(style.LEVEL(value)) for value in np.linspace(0, 1, 33)]) < 0).all()
    change = np.array([luminance(style.CHANGE(value)) for value in np.linspace(0, 1, 33)])
    assert (np.diff(change[:17]) > 0).all() and (np.diff(change[16:]) < 0).all()


def test_notes_are_wrapped_between_words_but_not_within_a_quantity() -> None:
    text = "The change to r = 0.25 at 5 % of all, and r = 0 as well."
    for width in (60.0, 90.0, 140.0, 500.0):
        lines = style.wrapped(text, width)
        assert " ".join(lines).replace("\u00a0", " ") == text
        assert all(style.width_of(line) <= width for line in lines)
        assert not any(
            line.startswith(("=", "0", "%")) or line.endswith(("r", "=", "5")) for line in lines
        )


@pytest.mark.parametrize("width", [style.WIDE, style.NARROW])
@pytest.mark.parametrize(
    "notes", ["", "Short.", "Some words of r = 0. " * 5, "Some words of r = 0. " * 40]
)
def test_the_foot_has_room_for_what_it_says(width: float, notes: str) -> None:
    handles = [Line2D([], [], label=f"the meaning of mark {i}") for i in range(7)]
    figure = style.sheet(
        width, 1.5, notes, "reproduce · 3 seeds · 2,604 questions · 0123abcd", handles
    )
    with style.styled():
        figure.add_subplot().set_xlabel("the x axis")
    assert legible(figure) == []
    said = " ".join(text for text, *_ in words(figure)).replace("\u00a0", " ")
    assert all(handle.get_label() in said for handle in handles) and notes.strip()[-40:] in said


def test_no_figure_needs_pyplot_or_torch() -> None:
    names = sorted(
        path.stem for path in Path(style.__file__).parent.glob("*.py") if path.stem != "__init__"
    )
    assert {"curve", "pairs", "front", "training_curves"} <= set(names)
    script = (
        f"import sys\nfor name in {names}:\n    __import__('hybrid_sweep.report.figures.' + name)\n"
    )
    script += (
        "print([name for name in ('matplotlib.pyplot', 'torch', 'lightning', 'hydra') if name in"
        " sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
