"""pyproject.toml names what is needed, requirements*.txt pin it, and the library installs."""

import ast
import re
import shutil
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, call
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
FILES = {extra: ROOT / f"requirements-{extra}.txt" for extra in EXTRAS} | {"": ROOT / "requirements.txt"}


def requirements(extra: str) -> list[Requirement]:
    """What pyproject.toml names for the library with an extra ("": with none)."""
    named = [Requirement(line) for line in PROJECT["dependencies"] + EXTRAS.get(extra, [])]
    others = [other for requirement in named if requirement.name == "tagstudy" for other in requirement.extras]
    direct = [requirement for requirement in named if requirement.name != "tagstudy"]
    return direct + [requirement for other in others for requirement in requirements(other)]


def pins(extra: str) -> dict[str, str]:
    """The version of every package in a requirements file. Raises if a line is anything but a pin."""
    versions = {}
    for line in FILES[extra].read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        requirement = Requirement(line)
        [specifier] = requirement.specifier
        assert specifier.operator == "==" and requirement.url is None, line
        assert requirement.name not in versions, line
        versions[canonicalize_name(requirement.name)] = specifier.version
    return versions


def test_each_extra_has_its_file() -> None:
    assert set(FILES.values()) == set(ROOT.glob("requirements*.txt"))


@pytest.mark.parametrize("extra", FILES)
def test_requirements_are_pinned(extra: str) -> None:
    versions = pins(extra)
    for requirement in requirements(extra):
        assert versions[canonicalize_name(requirement.name)] in requirement.specifier, requirement


def test_files_agree_on_what_they_share() -> None:
    versions: dict[str, str] = {}
    for extra in FILES:
        for name, version in pins(extra).items():
            assert versions.setdefault(name, version) == version, name


@pytest.mark.parametrize("extra", FILES)
def test_files_suit_every_index_and_build_of_torch(extra: str) -> None:
    """No address of the index that they were compiled with, and nothing that only torch's build for GPUs needs."""
    assert "://" not in FILES[extra].read_text(encoding="utf-8")
    gpu = {name for name in pins(extra) if re.match("nvidia-|cuda-|triton", name)}
    assert gpu <= {"nvidia-ml-py"}  # dvclive's, on every platform


def test_all_imports_are_named() -> None:
    """Every distribution that src/ imports stands in pyproject.toml; DVC runs as a command besides."""
    imported = set()
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {name.name.split(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                imported.add(node.module.split(".")[0])
    local = {path.stem for path in (ROOT / "src").iterdir()}
    distributions = packages_distributions()
    used = {distributions.get(module, [module])[0] for module in imported - local - set(sys.stdlib_module_names)}
    shipped = FILES.keys() - {"dev", "bench"}  # what these two bring, a study need not have
    named = {canonicalize_name(requirement.name) for extra in shipped for requirement in requirements(extra)}
    assert {canonicalize_name(name) for name in used} <= named


def test_one_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert PROJECT["version"] == citation["version"]


def files(folder: Path) -> set[Path]:
    """All files of a package."""
    return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"}


def test_the_library_installs(tmp_path: Path) -> None:
    """All of the package, none of the stages; importing it from anywhere is quick."""
    source, target = tmp_path / "source", tmp_path / "target"
    shutil.copytree(ROOT / "src", source / "src")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    options = ("--no-deps", "--no-build-isolation", "--no-index", "--target", target)
    done = call(sys.executable, "-m", "pip", "install", *options, source, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert files(target / "tagstudy") == files(ROOT / "src" / "tagstudy")
    assert {path.name.split("-")[0] for path in target.iterdir()} == {"tagstudy"}
    program = "import sys; sys.path.insert(0, sys.argv[1]); import tagstudy; print(tagstudy.__file__, *sys.modules)"
    done = call(sys.executable, "-c", program, target, cwd=tmp_path)
    place, *imported = done.stdout.split()
    assert Path(place) == target / "tagstudy" / "__init__.py"
    assert not {"numpy", "pandas", "torch"} & set(imported)
