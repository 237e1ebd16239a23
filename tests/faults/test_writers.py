import os

import pytest

from tests.faults.warm import run_script

N_WRITERS, N_ROUNDS = (8, 50) if os.environ.get("TABMINT_FAULTS") == "long" else (4, 8)


@pytest.mark.slow
def test_readers_see_only_whole_releases_while_processes_race(tmp_path):
    found = run_script("writers", tmp_path, N_WRITERS, N_ROUNDS)
    n_reads, n_versions = sum(n for n, _ in found["reads"]), max(n for _, n in found["reads"])
    print(f"\n{N_WRITERS} writers x {N_ROUNDS} rounds, turned away {sum(found['held'])} times", end="; ")
    print(f"{n_reads} reads of {n_versions} versions, every one verified")
    assert found["said"] == []
    assert found["wrote"] == [0] * N_WRITERS
    assert found["read"] == [0, 0]
    everything = sorted(f"w{writer}-{number}" for writer in range(N_WRITERS) for number in range(N_ROUNDS))
    assert found["lines"] == found["folders"] == everything, "one line and one folder for each release"
    assert found["events"] == len(everything)
    assert found["current"] == found["accepted"] == found["newest"]
    assert found["staged"] == []
    assert sum(found["held"]) > 0, "writers met"
    assert all(n_reads > 0 for n_reads, _ in found["reads"])
