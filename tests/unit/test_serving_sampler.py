"""Our sampler against the newest diffusers'."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DPMSolverMultistepScheduler
from diffusers.schedulers import AysSchedules

from sd_contract.sampling import SIGMAS, Sampling
from sd_serving.model_unusable import ModelUnusable
from sd_serving.sampler import AYS_TIMESTEPS, NoiseSchedule, Sampler

SD2: dict[str, Any] = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
CONFIGS = {
    "epsilon": SD2,
    "v": {**SD2, "prediction_type": "v_prediction"},
    "sample": {**SD2, "prediction_type": "sample"},
    "linear": {"beta_schedule": "linear", "beta_start": 0.0001, "beta_end": 0.02},
    "cosine": {"beta_schedule": "squaredcos_cap_v2"},
    "trained": {"trained_betas": [0.0001 + 0.0001 * step for step in range(200)],
                "num_train_timesteps": 200},
    "zero_snr": {**SD2, "prediction_type": "v_prediction", "rescale_betas_zero_snr": True},
}  # fmt: skip
LATENTS = torch.randn((2, 4, 8, 8), generator=torch.Generator().manual_seed(3))
NOISE = torch.randn((2, 4, 8, 8), generator=torch.Generator().manual_seed(4))


def schedule(tmp_path: Path, config: dict[str, Any]) -> NoiseSchedule:
    path = tmp_path / "scheduler_config.json"
    path.write_text(json.dumps(config))
    return NoiseSchedule.read(path)


def theirs(config: dict[str, Any], sampling: Sampling) -> Any:
    made = DPMSolverMultistepScheduler.from_config(
        config,
        algorithm_type="dpmsolver++",
        solver_order=2,
        lower_order_final=True,
        timestep_spacing="linspace",
        final_sigmas_type="zero" if sampling.sigmas == "ays" else "sigma_min",
        use_karras_sigmas=sampling.sigmas == "karras",
    )
    if sampling.sigmas == "ays":
        made.set_timesteps(timesteps=list(AYS_TIMESTEPS))
    else:  # of Karras's the last does nothing, and ours has none such
        made.set_timesteps(sampling.steps + (sampling.sigmas == "karras"))
    return made


def network(latents: torch.Tensor, t: int) -> torch.Tensor:
    """Whose answer depends on all it gets, and stays in a network's range."""
    return torch.sin(3 * latents) * 0.7 + t / 3000


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize(
    "sampling",
    [
        *(Sampling(steps, sigmas) for sigmas in SIGMAS[:2] for steps in (1, 2, 10, 14, 15, 25)),
        Sampling(10, "ays"),
    ],
    ids=str,
)
@pytest.mark.parametrize("first", [0, 4])
def test_it_steps_as_diffusers_does(
    config: dict[str, Any], sampling: Sampling, first: int, tmp_path: Path
) -> None:
    if "trained_betas" in config and sampling.sigmas == "ays":
        pytest.skip("the table is of 1000 time steps")
    first = min(first, sampling.steps - 1)
    other = theirs(config, sampling)
    other.set_begin_index(first)
    ours = Sampler(schedule(tmp_path, config), sampling)
    # With a cosine theirs are fractions, of float32; a UNet gets whole ones here.
    most_off = 1 if config.get("beta_schedule") == "squaredcos_cap_v2" else 0
    apart = torch.tensor(ours.timesteps) - other.timesteps[: sampling.steps].round()
    assert apart.abs().max() <= most_off
    mine = ours.noisy(LATENTS, NOISE, first)
    start = other.add_noise(LATENTS, NOISE, other.timesteps[first : first + 1])
    assert torch.allclose(mine, start, atol=2e-5)
    for number in range(first, sampling.steps):
        predicted = network(mine, ours.timesteps[number])
        expected = other.step(predicted, other.timesteps[number], mine, return_dict=False)[0]
        mine = ours.step(predicted, number, mine)
        # Theirs has its coefficients in float32.
        error = (mine - expected).abs().max() / expected.abs().max()
        assert error < 2e-4, (number, error)
    if sampling.sigmas == "karras":
        idle = other.step(LATENTS, other.timesteps[-1], mine, return_dict=False)[0]
        assert torch.allclose(idle, mine)


def test_the_table_is_the_published_one() -> None:
    assert list(AYS_TIMESTEPS) == AysSchedules["StableDiffusionTimesteps"]


@pytest.mark.parametrize("steps", [1, 5, 20, 100])
def test_aligned_steps_of_any_number_lie_between_those_of_the_table(
    steps: int, tmp_path: Path
) -> None:
    sampler = Sampler(schedule(tmp_path, SD2), Sampling(steps, "ays"))
    assert sampler.timesteps[0] == 999
    assert sampler.timesteps[-1] == (24 if steps > 1 else 999)
    assert sorted(set(sampler.timesteps), reverse=True) == list(sampler.timesteps)


def test_a_model_of_pixels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelUnusable, match="thresholding"):
        schedule(tmp_path, {**SD2, "thresholding": True})
