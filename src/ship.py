"""A model for use, from a finished study: each arm trained again on all posts, and what it needs in one folder.

    python src/ship.py                                     both arms and their fusion, in shipped/
    python src/ship.py --arm sparse --output models/mine   TF-IDF alone
    python src/predict.py --model shipped "How do I sort a list?"

Epochs, calibration and thresholds are those that the study found on valid; the study's own models and scores stay as
they are. The folder does not need the study, but it does need the encoder that it names, if any.
"""

import argparse
from pathlib import Path

import tagstudy.core.processor  # noqa: F401 - before numpy and torch

# isort: split
from tagstudy.core.config import read_params
from tagstudy.core.errors import UserError, user_errors
from tagstudy.core.files import atomic_folder, check_replaceable
from tagstudy.core.paths import ARMS, embedding_cache
from tagstudy.core.printing import print_visible
from tagstudy.core.repository import changed_stages
from tagstudy.inference.models import SHIPPED
from tagstudy.inference.ship import Study, ship


def main() -> None:
    options = arguments()
    check_replaceable(options.output, SHIPPED, "a shipped folder")
    check_study()
    study = Study.open(read_params(), embedding_cache(), all_posts=not options.spare_test)
    with atomic_folder(options.output, made_from=[]) as folder:
        trained = ship(folder, study, [options.arm] if options.arm else list(ARMS), options.licence)
    print_visible(f"ship: {options.output}: {trained}; its README.md is the model card")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arm", choices=list(ARMS), help="one arm; without it both, and their fusion")
    parser.add_argument("--spare-test", action="store_true", help="train on train and valid of the first fold alone")
    parser.add_argument("--licence", metavar="NAME", help="licence of the models, such as cc-by-sa-4.0")
    parser.add_argument("--output", type=Path, default=Path("shipped"), help="the folder (shipped)")
    return parser.parse_args()


def check_study() -> None:
    """Raise :class:`UserError` where data, parameters or code have changed since the study."""
    if changed := changed_stages():
        raise UserError(f"the study is not up to date ({', '.join(changed)}); run `dvc repro`")


if __name__ == "__main__":
    with user_errors("ship"):
        main()
