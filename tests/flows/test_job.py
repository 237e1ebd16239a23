import datetime
import errno
import json
import os
import stat

import pytest

from flows.job import open_job
from flows.progress import Silent
from flows.references import Reference
from pipeline.artifact import stage
from pipeline.errors import ArtifactError, ConfigError, PreflightError, PublishError, RefusedError, SchemaError
from pipeline.ledger import Ledger


def open_silently(config):
    return open_job(config, Silent())


def test_an_undated_job_is_todays_and_takes_the_root_seed(config):
    with open_silently(config) as job:
        assert (job.date, job.seed) == (job.began.date(), config.seed)
        assert job.created.endswith("+00:00")


def test_nights_have_seeds_of_their_own_and_each_has_the_same_again(config):
    def seed(day):
        with open_job(config, Silent(), on=datetime.date(2026, 11, day)) as job:
            return job.seed

    assert seed(1) == seed(1) != seed(2)


def test_the_working_folder_is_private_and_goes_after_success(config):
    with open_silently(config) as job:
        assert stat.S_IMODE(job.folder.stat().st_mode) == 0o700
    assert not job.folder.exists()


def test_after_an_error_the_working_folder_stays_until_the_next_run(config):
    with pytest.raises(ValueError, match="broken") as caught, open_silently(config) as job:
        raise ValueError("broken")
    assert str(job.folder) in caught.value.__notes__[0]
    failure = json.loads((job.folder / "failure.json").read_text())
    assert (failure["error"], failure["message"]) == ("ValueError", "broken")
    with open_silently(config) as again:
        assert again.folder == job.folder and not any(job.folder.iterdir())


def test_the_working_folder_of_another_date_goes(config):
    with pytest.raises(ValueError, match="broken"), open_job(config, Silent(), on=datetime.date(2026, 11, 1)) as job:
        raise ValueError("broken")
    with open_job(config, Silent(), on=datetime.date(2026, 11, 2)):
        assert not job.folder.exists()


def test_a_failure_has_a_line_in_the_ledger_and_a_foreign_message_is_not_in_it(config):
    with pytest.raises(ValueError, match="hunter2"), open_silently(config):
        raise ValueError("hunter2")
    with pytest.raises(SchemaError), open_silently(config):
        raise SchemaError("columns must differ")
    notes = [entry.note for entry in Ledger(config.output.root, config.name).entries()]
    assert notes == ["ValueError", "SchemaError: columns must differ"]


@pytest.mark.parametrize("error", [RefusedError("no"), SchemaError("no")])
def test_a_refusal_and_bad_input_keep_no_working_folder(config, error):
    with pytest.raises(type(error)), open_silently(config) as job:
        raise error
    assert not job.folder.exists()


def test_one_job_at_a_time_holds_an_output(config):
    with open_silently(config), pytest.raises(PublishError, match="one run at a time"), open_silently(config):
        pass


def test_an_output_that_cannot_be_written_is_refused_at_once(config, tmp_path):
    (tmp_path / "file").write_text("")
    output = config.output.model_copy(update={"root": tmp_path / "file" / "out"})
    with pytest.raises(ConfigError, match="writable"), open_silently(config.model_copy(update={"output": output})):
        pass


def test_a_reference_notices_change_and_absence(tmp_path):
    path = tmp_path / "a"
    path.write_text("1")
    reference = Reference.to(path)
    path.write_text("2")
    with pytest.raises(ArtifactError, match="unchanged"):
        reference.verified()
    path.unlink()
    with pytest.raises(ArtifactError, match="must exist"):
        reference.verified()


def test_a_reference_to_a_folder_notices_a_changed_file(tmp_path):
    with stage(tmp_path / "folder") as folder:
        (folder / "a").write_text("1")
    reference = Reference.to(tmp_path / "folder")
    assert reference.verified() == tmp_path / "folder"
    (tmp_path / "folder" / "a").write_text("2")
    with pytest.raises(ArtifactError, match='changed "a"'):
        reference.verified()


def test_the_end_of_the_memory_is_a_refusal_with_a_remedy(config):
    with pytest.raises(PreflightError, match="more memory"), open_silently(config) as job:
        raise MemoryError
    assert not job.folder.exists()
    (entry,) = Ledger(config.output.root, config.name).entries()
    assert entry.note.startswith("PreflightError")


def test_the_end_of_the_disk_is_named_and_the_working_folder_stays_to_go_on_from(config):
    with pytest.raises(PublishError, match="make room"), open_silently(config) as job:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert job.folder.exists()
    with pytest.raises(PermissionError), open_silently(config):
        raise PermissionError(errno.EACCES, "no")
