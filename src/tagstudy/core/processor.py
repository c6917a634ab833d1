"""Holds numpy and torch to instructions that nearly all x86-64 processors of the last ten years have.

Wider instructions sum in another order: the same study would end with different last digits, and after some epochs with
different scores. The libraries read these variables on import, so scripts import this module first.
`compute.instructions: native` turns this off.
"""

import os
import platform
from pathlib import Path

from tagstudy.core.config import read_params
from tagstudy.core.errors import UserError

COMMON = {
    "ATEN_CPU_CAPABILITY": "avx2",  # torch's own operations
    "ONEDNN_MAX_CPU_ISA": "AVX2",  # matrix products of the MLP
    "OPENBLAS_CORETYPE": "Haswell",  # matrix products of numpy
    "OPENBLAS_NUM_THREADS": "1",  # several sum in another order
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",  # numpy's own operations
}


def instructions() -> str:
    """The value of `compute.instructions`; the default where params.yaml cannot be read, which the script will say."""
    try:
        return read_params().compute.instructions
    except UserError:
        return "common"


def has_avx2() -> bool:
    """Whether this is an x86-64 processor with AVX2, as far as its system tells."""
    cpuinfo = Path("/proc/cpuinfo")
    return platform.machine() in ("x86_64", "AMD64") and (not cpuinfo.exists() or " avx2 " in cpuinfo.read_text())


os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # torch then takes large blocks in large pages, which is faster
if instructions() == "common" and has_avx2():
    os.environ |= {name: value for name, value in COMMON.items() if name not in os.environ}
