import json
import re
import stat

import pytest

from flows.job import new_run_id, open_job
from flows.progress import Silent
from flows.references import Reference
from pipeline.artifact import stage
from pipeline.errors import ArtifactError, ConfigError, PublishError, RefusedError, SchemaError


def open_silently(config):
    return open_job(config, Silent())


def test_run_ids_tell_the_time_and_differ(config):
    first, second = new_run_id(config), new_run_id(config)
    assert re.fullmatch(r"\d{8}T\d{6}-[0-9a-f]{8}", first) and first != second


def test_the_time_of_a_job_is_that_of_its_run_id(config):
    with open_silently(config) as job:
        assert job.created.replace("-", "").replace(":", "").startswith(job.run_id.split("-")[0])
        assert job.created.endswith("+00:00")


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
    with open_silently(config):
        assert not job.folder.exists()


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
