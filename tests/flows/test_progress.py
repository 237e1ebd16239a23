import io

from rich.console import Console
from rich.progress import Progress

from flows.progress import Bars, Lines, show_progress


def test_lines_are_written_at_most_every_few_seconds():
    stream = io.StringIO()
    with Lines(stream, every_s=3600).step("fit") as move:
        for i in range(100):
            move(i / 100, f"step {i}")
    assert len(stream.getvalue().splitlines()) == 2
    assert "done in" in stream.getvalue() and "step 99" in stream.getvalue()


def test_a_moving_line_shows_the_share():
    stream = io.StringIO()
    with Lines(stream, every_s=0).step("fit") as move:
        move(0.25, "step 1")
        move(None, "step 2")
    lines = stream.getvalue().splitlines()
    assert " 25%  step 1" in lines[1] and lines[2].endswith("fit        step 2")


def test_a_failed_step_is_not_called_done():
    stream = io.StringIO()
    try:
        with Lines(stream).step("fit"):
            raise RuntimeError
    except RuntimeError:
        pass
    assert "done" not in stream.getvalue()


def test_bars_end_full_and_keep_the_last_words():
    progress = Progress(console=Console(file=io.StringIO()))
    with Bars(progress).step("fit") as move:
        move(0.5, "half")
        assert (progress.tasks[0].completed, progress.tasks[0].total) == (0.5, 1.0)
        move(1.0, "all")
        assert not progress.tasks[0].finished
    assert progress.tasks[0].finished and progress.tasks[0].fields["words"] == "all"


def test_the_stream_decides_between_bars_and_lines(monkeypatch):
    with show_progress(io.StringIO()) as display:
        assert isinstance(display, Lines)
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setenv("TERM", "xterm")
    with show_progress(terminal) as display:
        assert isinstance(display, Bars)
