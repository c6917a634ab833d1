"""Makefile: `make help` leaves no target out and says what each installs."""

import re

import pytest
from conftest import ROOT, call

MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
INSTALLS = dict(re.findall(r"^([a-z-]+): \$\(VENV\)/([a-z]+) ##", MAKEFILE, re.MULTILINE))


@pytest.fixture(scope="module")
def explained() -> dict[str, str]:
    """What `make help` says of each target."""
    lines = call("make", "--no-print-directory", "help", cwd=ROOT).stdout.splitlines()[1:]
    return dict(line.split(maxsplit=1) for line in lines)


def test_help_lists_every_target(explained: dict[str, str]) -> None:
    [phony] = re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)
    assert list(explained) == phony.split()


@pytest.mark.parametrize("target", INSTALLS)
def test_help_says_what_a_target_installs(explained: dict[str, str], target: str) -> None:
    [requirements] = re.findall(rf"^\$\(VENV\)/{INSTALLS[target]}: (\S+)", MAKEFILE, re.MULTILINE)
    assert f"({requirements}; " in explained[target]
