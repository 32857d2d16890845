"""What each config.json and the weights' headers have to say of a Stable Diffusion 2.

Only what would fail or draw something else: widths, depths and heads are the model's own affair.
Every function gives problems, each of which begins with the file's name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sd_contract.model_layout import CONFIGS, INDEX, SCHEDULER_CONFIG, WEIGHTS
from sd_contract.model_weights import laid_out_name
from sd_contract.tensor_file import Header, Tensor

# Library and classes by component, as model_index.json has them. Of the scheduler only the noise
# schedule is used, so its class makes no difference.
CLASSES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "scheduler": ("diffusers", ()),
    "text_encoder": ("transformers", ("CLIPTextModel",)),
    "tokenizer": ("transformers", ("CLIPTokenizer", "CLIPTokenizerFast")),
    "unet": ("diffusers", ("UNet2DConditionModel",)),
    "vae": ("diffusers", ("AutoencoderKL",)),
}
# By component and key: what the libraries take where the key is absent, which is the one value that
# fits where no others are given. The UNet's that are null would be conditions that nobody gives
# (unCLIP, XL, a distilled guidance); inpainting, depth and upscaling have more channels.
FIXED: Mapping[str, Mapping[str, object]] = {
    "unet": {
        "_class_name": "UNet2DConditionModel",
        "in_channels": 4,
        "out_channels": 4,
        "transformer_layers_per_block": 1,
        "class_embed_type": None,
        "num_class_embeds": None,
        "addition_embed_type": None,
        "encoder_hid_dim": None,
        "time_cond_proj_dim": None,
    },
    "vae": {
        "_class_name": "AutoencoderKL",
        "in_channels": 3,
        "out_channels": 3,
        "latent_channels": 4,
        "shift_factor": None,
        "latents_mean": None,
        "use_post_quant_conv": True,
        "mid_block_add_attention": True,
    },
    "text_encoder": {"model_type": "clip_text_model"},
}
# What DPMSolverMultistepScheduler knows in every version from diffusers 0.16.0 on.
PREDICTIONS = ("epsilon", "sample", "v_prediction")
BETA_SCHEDULES = ("linear", "scaled_linear", "squaredcos_cap_v2")
# Every library turns these into the dtype that is served; 8-bit weights need their own code.
FLOATS = ("F16", "BF16", "F32", "F64")
# CLIPTextConfig's own, where a config.json doesn't say.
TEXT_DEFAULTS = {
    "hidden_size": 512,
    "vocab_size": 49408,
    "max_position_embeddings": 77,
    "num_hidden_layers": 12,
}

Config = Mapping[str, Any]


def index_problems(index: Config) -> list[str]:
    problems = []
    for name, (library, classes) in CLASSES.items():
        found = index.get(name)
        if found is None or found == [None, None]:
            problems.append(f"{INDEX} has no {name}")
        elif (
            not isinstance(found, list)
            or found[:1] != [library]
            or (classes and found[1:] not in [[one] for one in classes])
        ):
            wanted = " or ".join(classes) or "a scheduler"
            problems.append(f"{INDEX} has {found} as {name}; {wanted} of {library} is needed")
    return problems


def config_problems(configs: Mapping[str, Config | None], scheduler: Config | None) -> list[str]:
    """Those that couldn't be read are None, and a problem already."""
    problems = []
    for component, fixed in FIXED.items():
        config = configs[component]
        for key, needed in fixed.items():
            found = needed if config is None else config.get(key, needed)
            if found != needed:
                problems.append(
                    f"{CONFIGS[component]}: {key} is {found!r}; Stable Diffusion 2 has {needed!r}"
                )
    for component in ("unet", "vae"):
        for key in ("block_out_channels", "down_block_types", "up_block_types"):
            config = configs[component]
            if config is not None and not (isinstance(config.get(key), list) and config[key]):
                problems.append(f"{CONFIGS[component]}: {key} is {config.get(key)!r}, not a list")
    unet, text_encoder = configs["unet"], configs["text_encoder"]
    if text_encoder is not None:
        problems += [
            f"{CONFIGS['text_encoder']}: {key} is {found!r}, not a whole number from 1"
            for key in TEXT_DEFAULTS
            if type(found := text_size(text_encoder, key)) is not int or found < 1
        ]
    if unet is not None and text_encoder is not None:
        width, hidden = unet.get("cross_attention_dim"), text_size(text_encoder, "hidden_size")
        if width != hidden:
            problems.append(
                f"{CONFIGS['unet']}: cross_attention_dim is {width}, but the text encoder's "
                f"hidden_size is {hidden}"
            )
    return problems + ([] if scheduler is None else _scheduler_problems(scheduler))


def text_size(config: Config, key: str) -> Any:
    """One of TEXT_DEFAULTS, by a text encoder's config."""
    return config.get(key, TEXT_DEFAULTS[key])


def tensor_problems(component: str, config: Config, files: Mapping[str, Header]) -> list[str]:
    """Of a component's weights, by file; `config` is its config.json, free of problems."""
    problems = []
    tensors: dict[str, Tensor] = {}
    for path, header in files.items():
        saved_for = header.metadata.get("format", "pt")
        if saved_for != "pt":
            problems.append(f"{path} was saved for {saved_for!r}, not for PyTorch")
        strange = [
            f"{path} has {name} in {tensor.dtype}; {', '.join(FLOATS)} can be served"
            for name, tensor in header.tensors.items()
            # A buffer of old files, which no library reads any more.
            if tensor.dtype not in FLOATS and not name.endswith("position_ids")
        ]
        problems += strange[:1]
        named = {laid_out_name(component, name): header.tensors[name] for name in header.tensors}
        problems += [f"{path} has {name} once more" for name in named if name in tensors][:1]
        tensors |= named
    where = next(iter(files)) if len(files) == 1 else f"{WEIGHTS[component]} (in shards)"
    for name, shape in _needed(component, config).items():
        found = [tensors[name].shape] if name in tensors else []
        if not found and not any(other.startswith(name) for other in tensors):
            problems.append(f"{where} lacks {name}")
        elif shape and found and not _fits(found[0], shape):
            wanted = "×".join("?" if side is None else str(side) for side in shape)
            problems.append(
                f"{where}: {name} is {'×'.join(map(str, found[0]))}, but by "
                f"{CONFIGS[component]} it should be {wanted}"
            )
    return problems


Shape = tuple[Any, ...]


def _needed(component: str, config: Config) -> dict[str, Shape]:
    """Shapes, None for any side, by a tensor's name; () by the beginning of names."""
    if component == "text_encoder":
        hidden = text_size(config, "hidden_size")
        embeddings = "text_model.embeddings"
        return {
            f"{embeddings}.token_embedding.weight": (text_size(config, "vocab_size"), hidden),
            f"{embeddings}.position_embedding.weight": (
                text_size(config, "max_position_embeddings"),
                hidden,
            ),
            **{
                f"text_model.encoder.layers.{layer}.": ()
                for layer in range(text_size(config, "num_hidden_layers"))
            },
            "text_model.final_layer_norm.weight": (hidden,),
        }
    widths = config["block_out_channels"]
    if component == "vae":
        return {
            "post_quant_conv.weight": (4, 4, None, None),
            "decoder.conv_in.weight": (widths[-1], 4, None, None),
            "decoder.mid_block.": (),
            **{f"decoder.up_blocks.{block}.": () for block in range(len(config["up_block_types"]))},
            "decoder.conv_out.weight": (3, widths[0], None, None),
        }
    return {
        "conv_in.weight": (widths[0], 4, None, None),
        **{f"down_blocks.{block}.": () for block in range(len(config["down_block_types"]))},
        "mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight": (
            widths[-1],
            config["cross_attention_dim"],
        ),
        **{f"up_blocks.{block}.": () for block in range(len(config["up_block_types"]))},
        "conv_out.weight": (4, widths[0], None, None),
    }


def _fits(shape: tuple[int, ...], wanted: Shape) -> bool:
    return len(shape) == len(wanted) and all(
        side in (None, found) for found, side in zip(shape, wanted, strict=True)
    )


def _scheduler_problems(config: Config) -> list[str]:
    problems = []
    prediction = config.get("prediction_type", "epsilon")
    if prediction not in PREDICTIONS:
        problems.append(f"prediction_type is {prediction!r}; known: {', '.join(PREDICTIONS)}")
    if not isinstance(config.get("trained_betas"), list):
        schedule = config.get("beta_schedule")
        start, end = (config.get(name) for name in ("beta_start", "beta_end"))
        if schedule not in BETA_SCHEDULES:
            known = ", ".join(BETA_SCHEDULES)
            problems.append(f"beta_schedule is {schedule!r}; known: {known}")
        if not (isinstance(start, float) and isinstance(end, float) and 0 < start <= end < 1):
            problems.append(
                f"beta_start and beta_end are {start!r} and {end!r}; between 0 and 1, in this order"
            )
    steps = config.get("num_train_timesteps", 1000)
    if type(steps) is not int or steps < 1:
        problems.append(f"num_train_timesteps is {steps!r}; a whole number from 1")
    return [f"{SCHEDULER_CONFIG}: {problem}" for problem in problems]
