from pathlib import Path
from typing import Any

import pytest
import torch


def _train(work_dir: Path, stop_before: int = 100) -> tuple[list[float], list[int]]:
    """A linear layer trained for seven steps; its weights and the steps that were made."""
    from model_assets.tiny.training import Average, Stage, run, step_generators

    torch.manual_seed(0)
    layer = torch.nn.Linear(3, 1)
    average = Average(list(layer.parameters()))
    made = []

    def loss_at(step: int) -> Any:
        if step == stop_before:
            raise KeyboardInterrupt
        made.append(step)
        step_generators(5, step)
        return layer(torch.randn(4, 3)).square().mean()

    stage = Stage(
        "layer",
        7,
        0.1,
        list(layer.parameters()),
        {"layer": layer, "average": average},
        checkpoint_every=2,
    )
    run(stage, loss_at, work_dir, resume=True, after_step=average.follow)
    average.copy_to_parameters()
    return [*layer.weight[0].tolist(), *layer.bias.tolist()], made


def test_a_stopped_run_ends_where_an_uninterrupted_one_ends(tmp_path: Path) -> None:
    for name in ("stopped", "whole"):
        (tmp_path / name).mkdir()
    with pytest.raises(KeyboardInterrupt):
        _train(tmp_path / "stopped", stop_before=5)
    resumed, made = _train(tmp_path / "stopped")
    assert made == [4, 5, 6]
    assert resumed == _train(tmp_path / "whole")[0]


def test_a_finished_run_is_not_made_again(tmp_path: Path) -> None:
    first, _ = _train(tmp_path)
    assert _train(tmp_path) == (first, [])
