"""Every example prints what its README says."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.harness.processes import Process
from tests.harness.servers import geartrain, require

from .readme import README, ROOT, sections, stage, steps

TESTED_BELOW = {"background", "unique", "images", "signals", "tested"}
"""Examples with more to show than their output, or with an output that is a matter of time."""


def test_every_folder_is_in_the_readme_and_none_besides() -> None:
    folders = {
        path.name for path in (ROOT / "examples").iterdir() if path.is_dir() and path.name[0] not in "._"
    }
    assert set(sections()) == folders - {"languages"}
    index = re.findall(r"^\| \[(\w+)\]\(#(\w+)\)", README.read_text(), re.MULTILINE)
    assert [name for name, _ in index] == [anchor for _, anchor in index] == sections()


@pytest.mark.parametrize("section", [name for name in sections() if name not in TESTED_BELOW])
def test_an_example_prints_what_the_readme_shows(section: str, tmp_path: Path) -> None:
    with geartrain() as server, stage(tmp_path, server.address) as scene:
        if section == "typed":
            require("php", "PHP is missing: apt-get install php-cli php-gearman")
            require("perl", "Perl is missing")
        for step, output in scene.follow(steps(section)):
            assert output == step.output, step.command


def test_background_is_queued_and_then_goes_on_page_by_page(tmp_path: Path) -> None:
    with geartrain() as server, stage(tmp_path, server.address) as scene:
        worker, client = steps("background")
        done = scene.start(f"{client.command} > client.txt")
        seen = tmp_path / "client.txt"
        done.wait_until(lambda: "queued" in seen.read_text() if seen.exists() else False, "it was queued")
        scene.start(worker.command)
        assert done.wait(30) == 0, done.report()
    *lines, last = seen.read_text().splitlines()
    assert last == client.output.splitlines()[-1] == "report.txt has 4 pages"
    # Nothing goes back, and what is shown in the README was among it.
    pages = [line for index, line in enumerate(lines) if line != lines[index - 1] or index == 0]
    assert pages == sorted(pages, key=client.output.splitlines().index)
    assert (tmp_path / "report.txt").read_text() == "Page 1\nPage 2\nPage 3\nPage 4\n"


def test_the_tests_of_the_tested_program_pass(tmp_path: Path) -> None:
    with stage(tmp_path, "127.0.0.1:1") as scene:
        (step,) = steps("tested")
        last = scene.run(f"{step.command} -p no:cacheprovider").splitlines()[-1]
    assert last.startswith(f"{step.output.strip()} in ")


def test_unique_is_rendered_once(tmp_path: Path) -> None:
    with geartrain() as server, stage(tmp_path, server.address) as scene:
        worker, client = steps("unique")
        running = scene.start(worker.command)
        assert scene.run(client.command) == client.output
        assert running.stdout == "rendering for front-page\n"


def test_images_are_pictures_of_the_promised_size(tmp_path: Path) -> None:
    with geartrain() as server, stage(tmp_path, server.address) as scene:
        for step, output in scene.follow(steps("images")):
            assert output == step.output
    with Image.open(tmp_path / "evening.png") as original:
        assert original.size == (1200, 800)
        assert len(original.resize((60, 40)).getcolors(2400) or ()) > 100, "a picture, not a plain colour"
    for width, height in ((600, 400), (300, 200), (100, 67)):
        with Image.open(tmp_path / f"evening-{width}.png") as scaled:
            assert scaled.size == (width, height)
            assert scaled.format == "PNG"


def test_the_greeting_arrives_though_its_worker_is_told_to_stop(tmp_path: Path) -> None:
    with geartrain() as server, stage(tmp_path, server.address) as scene:
        prepare, worker, client = steps("signals")
        scene.run(prepare.command)
        running = scene.start(worker.command)
        waiting = scene.start(client.command)
        running.wait_for_output("greeting\n")
        running.signal(signal.SIGTERM)
        assert waiting.wait() == 0, waiting.report()
        assert waiting.stdout == client.output
        assert running.wait() == 0
        assert running.stdout.splitlines()[-1] == "jobs done: 1"


def test_the_worker_reads_its_greeting_again_when_asked(tmp_path: Path) -> None:
    with geartrain() as server, stage(tmp_path, server.address) as scene:
        prepare, worker, client = steps("signals")
        scene.run(prepare.command)
        running = scene.start(worker.command)
        assert scene.run(client.command) == "Hello, world!\n"
        (tmp_path / "greeting.txt").write_text("Goodbye\n")
        running.signal(signal.SIGHUP)
        running.wait_for_output("greeting read again\n")
        assert scene.run(client.command) == "Goodbye, world!\n"


def test_the_monitor_fails_when_too_many_jobs_wait(tmp_path: Path) -> None:
    with geartrain() as server, stage(tmp_path, server.address) as scene:
        submit, monitor = steps("monitoring")
        for _ in range(3):
            scene.run(submit.command)
        done = scene.start(monitor.command)
        assert done.wait() == 1
        assert done.stdout == "nobody_does_this: 3 queued, 0 running, 0 workers\n"
        assert done.stderr == "more than 2 jobs wait: nobody_does_this\n"


def test_failover_loses_no_job_when_the_first_server_is_killed(tmp_path: Path) -> None:
    with (
        geartrain() as first,
        geartrain() as second,
        stage(tmp_path, f"{first.address},{second.address}") as scene,
    ):
        worker, _ = steps("failover")
        scene.start(worker.command)
        client = scene.start("python examples/failover/client.py 40")
        client.wait_for_output("2 x 5 = 10\n")
        first.process.kill()
        assert client.wait(30) == 0, client.report()
        assert client.stdout.splitlines() == [f"2 x {n} = {2 * n}" for n in range(40)]


def test_each_example_is_short() -> None:
    for path in (ROOT / "examples").glob("*/*.py"):
        assert len(path.read_text().splitlines()) <= 50, path


def test_the_demo_prints_what_the_main_readme_shows() -> None:
    readme = (ROOT / "README.md").read_text()
    typed, shown = re.search(r"\$ echo '(.*)' \| make demo\n(.*?)```", readme, re.DOTALL).groups()  # type: ignore[union-attr]
    done = subprocess.run(
        [sys.executable, "-m", "geartrain", "demo"], input=typed, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == shown
    assert done.returncode == 0


def test_the_ten_lines_of_the_main_readme_run(tmp_path: Path) -> None:
    section = (ROOT / "README.md").read_text().partition("## Ten lines")[2].partition("\n## ")[0]
    worker, client = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    with geartrain() as server:
        for name, text in (("worker.py", worker), ("client.py", client)):
            # As printed, but for the port: somebody may listen on the usual one.
            assert text.count("127.0.0.1:4730") == 1
            (tmp_path / name).write_text(text.replace("127.0.0.1:4730", server.address))
        with (
            Process(sys.executable, "-m", "geartrain", "work", "worker:worker", cwd=tmp_path),
            Process(sys.executable, "client.py", cwd=tmp_path) as running,
        ):
            assert running.wait(30) == 0, running.report()
            first, second = running.stdout.splitlines()
            assert first == "b'olleh'"
            assert re.fullmatch(r"JobStatus\(known=.*\)", second)
