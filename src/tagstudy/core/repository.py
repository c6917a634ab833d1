"""What DVC knows of the study in the working directory."""

from typing import Any

from tagstudy.core.errors import UserError


def changed_stages(*stages: str) -> dict[str, list[Any]]:
    """Those of the stages, or of all, that have changed since dvc.lock was written, and in what.

    Raises :class:`UserError` where there is no study, and while another command of DVC's is running.
    """
    from dvc.exceptions import DvcException  # a second to import
    from dvc.lock import LockError
    from dvc.repo import Repo

    try:
        with Repo() as repo:
            return repo.status(targets=list(stages) or None)
    except LockError:
        raise UserError("another dvc command is running; wait until it is done") from None
    except DvcException as problem:
        raise UserError(f"the study cannot be read ({problem}); run it in the study's folder") from None
