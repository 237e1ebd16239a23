import subprocess
import sys

import pytest

from tests.faults.warm import run_script

FREE_KIB = (0, 4, 16, 32, 64, 96, 128, 160)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 8 MB, or a skip that says why there can be none."""
    if sys.platform != "linux":
        pytest.skip("a tmpfs needs Linux")
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", disk]
    try:
        mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        pytest.skip(str(error))
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", disk], check=True)


@pytest.mark.slow
def test_a_run_on_a_full_disk_leaves_the_last_release_and_the_next_goes_on(tmp_path, small_disk):
    found = run_script("full_disk", tmp_path, small_disk, *FREE_KIB)
    assert found["refused"] == 2, "preflight sees a disk that is too small"
    assert "of disk, and" in found["why"]
    assert found["first"] == 0
    failed = [run for run in found["runs"] if run["status"] != 0]
    assert len(failed) > 3
    for run in failed:
        assert run["status"] == 1, run
        assert "No space left on device" in run["said"], run
        assert run["found"] == run["before"], run
        assert run["faults"] == [], run
    assert "the ledger has no line of this failure" in failed[0]["said"], "what could not be noted is said"
    assert {run["before"] for run in failed} == {found["runs"][0]["before"]}
    assert found["after"] == 0
    assert found["faults"] == []
    assert found["dates"] == ["2026-01-01", "2026-01-02"]
    print(f"\n{len(failed)} runs on a full disk of 8 MB failed, 0 touched the last release; the next one published")
