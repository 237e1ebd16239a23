"""`tabmint rollback`, `tabmint verify` and `tabmint prune`: looking after what was published."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from .options import Flag, Root
from .outcome import Outcome, shown


def rollback(name: str, run: str, /, *, root: Root = Path("out")) -> Outcome:
    """Make an earlier release current again. Its files are verified first; newer releases stay, and are withdrawn.

    As in:

    ```console
    $ tabmint rollback flights 2026-11-24-9be01c7a52d4
    ```

    Args:
        name: The output.
        run: The id of the release that is to be current.
        root: The output folder, as `output.root` in the config.
    """
    from flows.history import histories
    from pipeline.publish import open_output

    (history,) = histories(root, name)
    with open_output(root, name) as output:
        folder = output.roll_back(run)
    was = f"Was        {history.current}" if history.current not in ("", run) else "Was        the same"
    return Outcome(
        "done", (f"Current    {shown(folder.resolve())}", was), {"folder": str(folder), "was": history.current}
    )


def verify(folder: Path, /) -> Outcome:
    """Compare every file of a release, or of a model, with the hashes in its manifest; exits with 2 if one differs.

    As in:

    ```console
    $ tabmint verify out/current/flights
    ```

    Args:
        folder: The folder of a release or model; a link to it will do.
    """
    from pipeline.artifact import Sealed, file_hashes, read_manifest, verify
    from pipeline.errors import ArtifactError
    from pipeline.manifest import Manifest, verify_release

    try:
        kind: type[Sealed] = type(read_manifest(folder, Manifest))
    except ArtifactError:
        kind = Sealed
    if kind is Manifest:
        manifest = verify_release(folder)
        what = f"release {manifest.run_id} of {manifest.name}, verdict {manifest.verdict}, {manifest.n_rows:,} rows"
    else:
        verify(folder, Sealed)
        what = "sealed folder"
    n_files = len(file_hashes(folder))
    line = f"Whole      {what}: {n_files} file{'s' if n_files != 1 else ''} as the manifest says"
    return Outcome("done", (line,), {"folder": str(folder), "n_files": n_files})


def prune(
    name: str,
    /,
    *,
    keep: Annotated[int, Parameter(validator=Number(gte=1))],
    root: Root = Path("out"),
    forget_tables: Flag = False,
    dry_run: Flag = False,
) -> Outcome:
    """Remove old releases, quarantined reports, and the models that no release needs that is left.

    The current release stays. The tables of removed releases are kept where the privacy tests of later runs see them.

    As in:

    ```console
    $ tabmint prune flights --keep 30 --dry-run
    ```

    Args:
        name: The output.
        keep: How many of the newest releases, and of the newest quarantined reports, to keep.
        root: The output folder, as `output.root` in the config.
        forget_tables: Remove the tables too; the privacy tests of later runs then no longer count them.
        dry_run: Only say what would be removed.
    """
    from flows.history import histories, remove, unused
    from pipeline.publish import open_output

    histories(root, name)
    with open_output(root, name) as output:
        folders = tuple(folder.name for folder in output.surplus(keep))
        leftovers = unused(root, output, pruned=folders)
        if not dry_run:
            output.prune(keep, forget_tables=forget_tables)
            remove(leftovers)
    verb = "Would go" if dry_run else "Removed"
    lines = (f"{verb:<10} {len(folders)} runs{': ' if folders else ''}{', '.join(folders)}",
             f"{verb:<10} {len(leftovers)} models and remembered sources")  # fmt: skip
    return Outcome("done", lines, {"runs": folders, "other": [str(path) for path in leftovers], "dry_run": dry_run})
