"""cluster.py: workers of Ray do what processes of this machine do, also where they are killed."""

import os
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from conftest import ROOT
from test_shards import fail, killed

from tagstudy.core.config import Compute
from tagstudy.core.errors import UserError
from tagstudy.core.shards import RETRIES, map_in_order

RAY = Compute(engine="ray", workers=2)


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """What one test starts, the next one uses; it ends here."""
    ray = pytest.importorskip("ray")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "src"), str(Path(__file__).parent)]))
        yield
        ray.shutdown()


def test_without_ray_a_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"compute\.engine: ray needs ray, .* pip install -r requirements-ray\.txt"):
        list(map_in_order(abs, range(2), RAY))


def test_an_address_without_a_cluster_is_an_error() -> None:
    with pytest.raises(UserError, match=r"compute\.address: no cluster at '127\.0\.0\.1:1'"):
        list(map_in_order(abs, range(2), Compute(engine="ray", address="127.0.0.1:1")))


@pytest.mark.slow  # seconds until Ray has started
@pytest.mark.usefixtures("cluster")
def test_ray_gives_results_in_order_and_errors_as_they_are(tmp_path: Path) -> None:
    assert list(map_in_order(abs, range(-50, 0), RAY)) == list(range(50, 0, -1))
    with pytest.raises(UserError, match=r"^number 0 cannot be used$"):
        list(map_in_order(fail, range(10), RAY))
    assert list(map_in_order(partial(killed, tmp_path, RETRIES), range(20), RAY)) == list(range(20))
    assert len(list(tmp_path.iterdir())) == RETRIES


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_a_task_of_ray_that_is_killed_each_time_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a Ray worker failed"):
        list(map_in_order(partial(killed, tmp_path, 1000), range(20), RAY))
