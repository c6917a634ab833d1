"""processor.py, model/layers.py: training gives the same bytes on processors of Intel and AMD, which qemu emulates."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ENVIRONMENT, ROOT

from tagstudy.core.processor import has_avx2

PROGRAM = """
import hashlib
import tagstudy.core.processor
from tagstudy.core.config import read_params
from tagstudy.core.paths import arm_folders
from tagstudy.model.arm import untrained
from tagstudy.model.training import Run
from tqdm import tqdm

for arm in ("dense", "sparse"):
    settings = getattr(read_params(), f"train_{arm}")
    model, _, (train, valid, _) = untrained(settings, arm_folders(arm), fold=0, seed=1)
    run = Run(model, train, valid, settings, seed=1)
    for _ in range(3):
        scores = run.next_epoch(tqdm(disable=True))
    weights = b"".join(weights.numpy().tobytes() for weights in run.model.state_dict().values())
    print(arm, hashlib.sha256(weights).hexdigest(), scores)
"""
EMULATOR = shutil.which("qemu-x86_64")


def trained(study: Path, *processor: str, **variables: str) -> str:
    """What the program prints: the checksums of both arms' weights after three epochs, and their scores."""
    environment = ENVIRONMENT | {"PYTHONPATH": str(ROOT / "src")} | variables
    command = [*processor, sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, cwd=study, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.skipif(not EMULATOR, reason="needs qemu-user")
@pytest.mark.parametrize("processor", ["Haswell", "EPYC", "Skylake-Client"])
def test_training_gives_the_same_bytes_on_processors_of_intel_and_amd(finished: Path, processor: str) -> None:
    assert trained(finished, str(EMULATOR), "-cpu", processor) == trained(finished)


@pytest.mark.parametrize("script", sorted(ROOT.glob("src/*.py")), ids=lambda script: script.stem)
def test_a_script_imports_the_processor_before_any_library(script: Path) -> None:
    imported = [
        name
        for node in ast.parse(script.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
    ]
    assert (
        next(name for name in imported if name.split(".")[0] not in sys.stdlib_module_names)
        == "tagstudy.core.processor"
    )


def test_a_script_holds_numpy_and_torch_to_common_instructions(tmp_path: Path) -> None:
    program = "import tagstudy.core.processor, os; print(os.environ.get('ATEN_CPU_CAPABILITY'))"
    shutil.copy(ROOT / "params.yaml", tmp_path)

    def held(**variables: str) -> str:
        environment = ENVIRONMENT | {"PYTHONPATH": str(ROOT / "src")} | variables
        return subprocess.check_output(
            [sys.executable, "-c", program], cwd=tmp_path, env=environment, text=True
        ).strip()

    if has_avx2():
        assert held() == "avx2"
    assert held(ATEN_CPU_CAPABILITY="default") == "default"  # a variable of the user's stays
    text = (tmp_path / "params.yaml").read_text(encoding="utf-8")
    (tmp_path / "params.yaml").write_text(
        text.replace("instructions: common", "instructions: native"), encoding="utf-8"
    )
    assert held() == "None"
