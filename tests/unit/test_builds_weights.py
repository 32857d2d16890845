"""The weights' import: what is taken, that it arrives whole, and what is said when it can't."""

import hashlib
import json
import urllib.error
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
from safetensors.numpy import load, save

from sd_contract.model_folder import NotAModel
from stacks.build_scripts.hub import Hub, HubError
from stacks.build_scripts.import_weights import Folder
from stacks.build_scripts.retry import ATTEMPTS, MAX_WAIT_S, TransferError
from tests.fakes.model_repository import (
    BESIDES,
    COMMIT,
    NEEDED,
    SHAPES,
    UNET,
    VAE,
    VOCAB,
    Import,
    as_json,
    lone_tokenizer,
    sharded,
    tensors,
    without,
)

INDEX = "model_index.json"


@pytest.fixture
def job() -> Import:
    return Import({**NEEDED, **BESIDES})


def test_it_takes_what_a_pipeline_needs_and_nothing_else(job: Import) -> None:
    job.run()
    assert job.stored == NEEDED


def test_the_manifest_comes_last_and_lists_every_file_with_its_digest(job: Import) -> None:
    manifest = job.run()
    assert list(job.s3.objects)[-1] == "weights/k/manifest.json"
    assert manifest == {
        "key": "k" * 64,
        "kind": "weights",
        "model_id": "owner/model",
        "revision": COMMIT,
        "license": "openrail++",
        "files": {
            path: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            for path, data in NEEDED.items()
        },
    }


def test_an_interrupted_import_goes_on_where_it_ended(job: Import) -> None:
    job.run()
    del job.s3.objects["weights/k/manifest.json"]
    del job.s3.objects["weights/k/vae/config.json"]
    job.hub.asked.clear()
    manifest = job.run()
    said = [line for line in job.said if not line.endswith("there already")]
    assert said[-1] == f"vae/config.json: {len(NEEDED['vae/config.json'])} bytes"
    assert len(said) == len(NEEDED) + 1
    assert len(manifest["files"]) == len(NEEDED)


def test_an_object_that_came_from_another_file_is_not_taken_for_this_one(job: Import) -> None:
    job.run()
    job.hub.files[UNET] = NEEDED[UNET][:-1] + b"?"
    job.run()
    assert job.stored == {k: job.hub.files[k] for k in NEEDED}


@pytest.mark.parametrize("path", [UNET, "vae/config.json"])
@pytest.mark.parametrize("how", ["damage", "break_off"])
def test_a_file_that_comes_damaged_is_fetched_again(job: Import, path: str, how: str) -> None:
    getattr(job.hub, how)[path] = 2  # the first was to look into it
    job.run()
    assert job.stored == NEEDED
    assert any("damaged" in line for line in job.said)


def test_a_file_that_stays_damaged_is_never_stored_and_leaves_no_manifest(job: Import) -> None:
    job.hub.always_damaged = UNET
    with pytest.raises(TransferError, match=r"unet/diffusion.*damaged"):
        job.run()
    assert UNET not in job.stored
    assert job.waited == [2, 4, 8, 16]
    assert "weights/k/manifest.json" not in job.s3.objects


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_model_that_was_taken_down_is_said_to_be(job: Import, status: int) -> None:
    job.hub.status = status
    with pytest.raises(HubError, match=r"in sd\.models, by id"):
        job.run()


def test_a_hub_out_of_order_is_said_to_be(job: Import) -> None:
    job.hub.status = 500
    with pytest.raises(HubError, match=rf"answered {ATTEMPTS} times with HTTP 500; try again"):
        job.run()
    assert len(job.hub.asked) == ATTEMPTS


def test_a_hub_out_of_reach_is_said_to_be() -> None:
    def transport(url: str) -> BinaryIO:
        raise urllib.error.URLError(f"no route to {url}")

    waited: list[float] = []
    hub = Hub("https://hub.test", "owner/model", COMMIT, transport, print, waited.append)
    with pytest.raises(HubError, match="can't be reached"):
        hub.files()
    assert len(waited) == ATTEMPTS - 1


@pytest.mark.parametrize("path", ["", INDEX, "vae/config.json", UNET])
@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_hub_is_asked_again_after_what_it_asks_for(
    job: Import, path: str, status: int
) -> None:
    """The file list as well as the files."""
    job.hub.refusals = [(path, status, {"Retry-After": "7"}), (path, status, {})]
    job.run()
    assert job.stored == NEEDED
    assert job.waited == [7, 4]
    assert any(line.endswith("once more in 7 s, as asked") for line in job.said)


def test_a_wait_is_capped_and_the_log_says_so(job: Import) -> None:
    """The hub counts in windows of five minutes; a date is passed over."""
    job.hub.refusals = [
        ("", 429, {"Retry-After": "86400"}),
        ("", 429, {"Retry-After": "Wed, 25 Nov 2026 07:28:00 GMT"}),
        ("", 429, {"RateLimit": '"api";r=0;t=55'}),
    ]
    job.run()
    assert job.waited == [MAX_WAIT_S, 4, 56]
    assert any("once more in 300 s, as asked (86400 s)" in line for line in job.said)


def test_what_isn_t_there_is_asked_for_once(job: Import) -> None:
    job.hub.refusals = [(UNET, 404, {})]
    with pytest.raises(TransferError, match="404"):
        job.run()
    assert job.waited == []


def test_another_commit_than_asked_for_is_refused(job: Import) -> None:
    job.hub.commit = "f" * 40
    with pytest.raises(HubError, match="answered for"):
        job.run()


def test_a_local_folder_makes_the_same_artifact(job: Import, tmp_path: Path) -> None:
    for path, data in {**NEEDED, **BESIDES}.items():
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    from_folder = Import({}).run(Folder(tmp_path))
    assert from_folder["files"] == job.run()["files"]


def test_without_an_index_it_is_no_model() -> None:
    with pytest.raises(NotAModel, match=r"model_index\.json is missing"):
        Import({"unet/config.json": b"{}"}).run()


def test_a_text_that_comes_damaged_isn_t_taken_for_a_wrong_one(job: Import) -> None:
    job.hub.break_off["tokenizer/vocab.json"] = 1
    job.run()
    assert job.stored == NEEDED


def test_a_wrong_model_is_refused_before_anything_is_stored(job: Import) -> None:
    job.hub.files["vae/config.json"] = b'{"latent_channels": 16}'
    with pytest.raises(NotAModel, match=r"vae/config\.json: latent_channels is 16"):
        job.run()
    assert job.s3.objects == {}
    assert not [url for url in job.hub.asked if url.endswith(".safetensors")]


# One layout for the libraries of every container.


@pytest.mark.parametrize("variant", ["", "fp16"])
def test_shards_become_one_file(variant: str) -> None:
    job = Import({**without(UNET), **sharded(variant=variant)})
    job.run()
    assert job.stored.keys() == NEEDED.keys()
    joined, whole = load(job.stored[UNET]), load(NEEDED[UNET])
    assert joined.keys() == whole.keys()
    assert {name: value.shape for name, value in joined.items()} == SHAPES[UNET]
    assert b'"format":"pt"' in job.stored[UNET][:200]
    digest = hashlib.sha256(job.stored[UNET]).hexdigest()
    assert job.run()["files"][UNET] == {"size": len(job.stored[UNET]), "sha256": digest}


def test_a_variant_gets_the_plain_name() -> None:
    half = VAE.replace(".safetensors", ".fp16.safetensors")
    job = Import({**without(VAE), half: NEEDED[VAE]})
    job.run()
    assert job.stored == NEEDED


def test_the_vae_s_attention_gets_the_names_that_every_version_loads() -> None:
    old = load(NEEDED[VAE])
    new = {name.replace(".query.", ".to_q."): value for name, value in old.items()}
    out = "decoder.mid_block.attentions.0.to_out.0.weight"
    new[out] = np.ones((5, 5), np.float16)
    job = Import({**NEEDED, VAE: save(new, {"format": "pt"})})
    job.run()
    stored = load(job.stored[VAE])
    assert stored.keys() == {*old, "decoder.mid_block.attentions.0.proj_attn.weight"}
    assert all((stored[name] == value).all() for name, value in old.items())


def test_a_file_that_names_no_framework_gets_pytorch_s() -> None:
    """transformers 4 and diffusers 0.16 refuse it as it is."""
    job = Import({**NEEDED, UNET: save(load(NEEDED[UNET]))})
    job.run()
    assert b'"__metadata__":{"format":"pt"}' in job.stored[UNET][:200]
    assert {n: v.tolist() for n, v in load(job.stored[UNET]).items()} == {
        n: v.tolist() for n, v in load(NEEDED[UNET]).items()
    }


def test_a_tokenizer_json_alone_is_taken_apart() -> None:
    added = [{"id": 4, "content": "<end>"}]
    job = Import(lone_tokenizer(added_tokens=added))
    job.run()
    assert json.loads(job.stored["tokenizer/vocab.json"]) == VOCAB
    assert job.stored["tokenizer/merges.txt"] == NEEDED["tokenizer/merges.txt"]
    assert job.stored.keys() == NEEDED.keys()
    config = as_json({**json.loads(NEEDED["text_encoder/config.json"]), "vocab_size": 6})
    shapes = {**SHAPES["text_encoder/model.safetensors"]}
    shapes["text_model.embeddings.token_embedding.weight"] = (6, 3)
    more = Import(
        {
            **lone_tokenizer(added_tokens=[*added, {"id": 5, "content": "<cat>"}]),
            "text_encoder/config.json": config,
            "text_encoder/model.safetensors": tensors(shapes),
        }
    )
    more.run()
    assert json.loads(more.stored["tokenizer/added_tokens.json"]) == {"<cat>": 5}


def test_what_is_put_together_goes_on_where_it_ended_and_is_checked() -> None:
    files = {**without(UNET), **sharded()}
    job = Import(files)
    job.hub.damage[next(iter(sharded()))] = 2
    job.run()
    whole = job.stored[UNET]
    assert any("damaged" in line for line in job.said)
    del job.s3.objects["weights/k/manifest.json"]
    job.said.clear()
    job.run()
    assert f"{UNET}: there already" in job.said
    assert job.stored[UNET] == whole


def test_a_shard_that_stays_damaged_is_never_stored() -> None:
    job = Import({**without(UNET), **sharded()})
    job.hub.always_damaged = list(sharded())[1]
    with pytest.raises(TransferError, match="damaged"):
        job.run()
    assert UNET not in job.stored
