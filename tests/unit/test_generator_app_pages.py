"""Each page against the API of tests/fakes, by Streamlit's AppTest: without a browser."""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from generator_app import session
from generator_app.picture_file import source
from tests.fakes.public_api import KEY, MODEL_ID, PublicApi, model, png, served

APP = Path(__file__).parents[2] / "generator_app" / "app.py"
FIELDS: dict[str, Any] = {
    "model": "g5", "prompt": "a green star", "negative_prompt": "blurry", "size": "96x64",
    "num_inference_steps": 30, "guidance_scale": 4.0, "seed": 4294967295, "quality": "fast",
}  # fmt: skip


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[PublicApi]:
    fake = PublicApi()
    with served(fake) as url:
        monkeypatch.setenv(session.URL, url)
        monkeypatch.setenv(session.KEY, KEY)
        st.cache_data.clear()
        yield fake


def page(path: str = session.CREATE) -> AppTest:
    opened = AppTest.from_file(APP, default_timeout=20).run()
    return shown(opened.switch_page(path).run() if path != session.CREATE else opened)


def shown(opened: AppTest) -> AppTest:
    assert not opened.exception
    return opened


def button(opened: AppTest, label: str) -> Any:
    return next(each for each in opened.button if each.label == label)


def said(opened: AppTest) -> str:
    every = (*opened.caption, *opened.warning, *opened.error, *opened.info, *opened.markdown)
    return "\n".join(each.value for each in every)


def bodies(api: PublicApi, path: str = "POST /images/generations") -> list[dict[str, Any]]:
    return [body for asked, body in api.asked if asked == path]


def draw(opened: AppTest, prompt: str, label: str = "Draw") -> AppTest:
    opened.text_input(key="create.prompt").set_value(prompt)
    shown(opened.run())
    button(opened, label).click()
    return shown(opened.run())


def test_a_prompt_becomes_a_picture_with_its_time_cost_and_lines(api: PublicApi) -> None:
    opened = draw(page(), "a red heart")
    (sent,) = bodies(api)
    assert sent == {
        "model": "g5", "prompt": "a red heart", "n": 1, "size": "64x64", "store": True,
        "quality": "standard", "num_inference_steps": 25, "guidance_scale": 7.5,
    }  # fmt: skip
    assert "seed 1 · g5 · 0.5 s · $0.000196" in said(opened)
    lines = [each.value for each in opened.code]
    assert lines[0].startswith(f"curl -s {api.url}/images/generations")
    assert "client.images.generate(" in lines[1]
    assert "await client.images.generate({" in lines[2]


@pytest.mark.usefixtures("api")
def test_the_models_licence_is_passed_on() -> None:
    for path in (session.CREATE, session.EDIT):
        assert "[openrail++](https://example.com)" in said(page(path))


def test_nothing_is_drawn_without_a_prompt(api: PublicApi) -> None:
    assert button(page(), "Draw").disabled
    assert not bodies(api)


def test_tokens_are_counted_while_one_types(api: PublicApi) -> None:
    opened = page()
    assert opened.text_input(key="create.prompt").proto.live_debounce_ms == 400
    opened.text_input(key="create.prompt").set_value("a red heart")
    assert "5 of 77 tokens" in said(shown(opened.run()))
    opened.text_input(key="create.prompt").set_value("many words " * 50)
    assert "102 tokens of 77" in said(shown(opened.run()))
    assert bodies(api, "POST /embeddings")[0] == {"model": "g5", "input": "a red heart"}


def test_a_variant_brings_its_own_defaults_price_and_time(api: PublicApi) -> None:
    modes = {"standard": {"steps": 40, "seconds_per_step": 0.04}}
    api.models[2] |= {"modes": modes, "sizes": ["96x64"], "max_images": 2}
    opened = page()
    assert "g5 · ml.g5.xlarge · $1.41 an hour · about 1.0 s a picture" in (
        opened.selectbox(key="create.model").options
    )
    opened.selectbox(key="create.model").set_value("inf2").run()
    assert opened.slider(key="create.num_inference_steps.inf2.standard").value == 40
    assert opened.number_input(key="create.n.Now.inf2").max == 2
    assert "About 1.6 s and $0.000440 of ml.inf2.xlarge." in said(shown(opened))


def test_a_mode_brings_its_steps_and_time_and_is_asked_for(api: PublicApi) -> None:
    opened = page()
    assert opened.radio(key="create.quality.g5").options == [
        "standard: 25 steps",
        "fast: 10 steps",
    ]
    opened.slider(key="create.num_inference_steps.g5.standard").set_value(50)
    opened.radio(key="create.quality.g5").set_value("fast").run()
    assert "About 0.3 s and $0.000117 of ml.g5.xlarge." in said(draw(opened, "a red heart"))
    (sent,) = bodies(api)
    assert (sent["quality"], sent["num_inference_steps"]) == ("fast", 10)
    assert "seed 1 · g5 · fast · 0.5 s" in said(opened)
    # What one has set of another stays.
    opened.radio(key="create.quality.g5").set_value("standard").run()
    assert opened.slider(key="create.num_inference_steps.g5.standard").value == 50


def test_a_stack_older_than_modes_has_one(api: PublicApi) -> None:
    del api.models[0]["modes"]
    opened = page()
    assert opened.radio(key="create.quality.g5").options == ["standard: 25 steps"]
    assert opened.radio(key="create.quality.g5").disabled


def test_variants_are_compared_in_a_mode_that_all_have(api: PublicApi) -> None:
    api.models[1]["modes"] = None
    assert page(session.COMPARE).radio(key="compare.quality.g5").options == ["standard: 25 steps"]
    api.models[1]["modes"] = api.models[0]["modes"]
    st.cache_data.clear()
    opened = page(session.COMPARE)
    opened.radio(key="compare.quality.g5").set_value("fast")
    opened.text_input(key="compare.prompt").set_value("a red heart").run()
    button(opened, "Draw on 3 variants").click()
    shown(opened.run())
    sent = bodies(api)
    assert [(each["quality"], each["num_inference_steps"]) for each in sent] == [("fast", 10)] * 3


def test_the_die_rolls_a_seed_that_is_sent(api: PublicApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "randbelow", lambda _end: 4294967295)
    opened = page()
    button(opened, "Roll").click()
    draw(shown(opened.run()), "a red heart")
    assert bodies(api)[0]["seed"] == 4294967295


def test_a_png_brings_its_settings_back(api: PublicApi) -> None:
    opened = page()
    opened.file_uploader(key="create.dropped").upload("a.png", png(FIELDS, FIELDS["seed"]))
    draw(shown(opened.run()), FIELDS["prompt"])
    assert bodies(api) == [{**FIELDS, "n": 1, "store": True}]


def test_a_png_of_what_isnt_deployed_says_so(api: PublicApi) -> None:
    opened = page()
    api.models = [model("g6", model_id="another/model", modes=None)]
    fields = FIELDS | {"size": "512x512", "strength": 0.6}
    opened.file_uploader(key="create.dropped").upload("a.png", png(fields, 3))
    st.cache_data.clear()
    told = said(shown(opened.run()))
    assert f"{MODEL_ID} isn't deployed; g6 takes its place." in told
    assert "g6 has no size of 512x512." in told
    assert "g6 has no quality of fast." in told
    assert "drawn from another picture" in told


@pytest.mark.usefixtures("api")
@pytest.mark.parametrize("strength", [1.5, math.nan])
def test_a_strength_that_no_edit_can_have_leaves_the_page_as_it_is(strength: float) -> None:
    opened = page()
    opened.session_state["brought"] = {"prompt": "a heart", "strength": strength}
    opened.run()
    opened = shown(opened.switch_page(session.EDIT).run())
    assert opened.slider(key="edit.strength").value == 0.75


def test_a_file_that_says_nothing_is_no_failure(api: PublicApi) -> None:
    opened = page()
    opened.file_uploader(key="create.dropped").upload("a.png", source(png(FIELDS, 1)).png)
    assert "doesn't say how it was drawn" in said(shown(opened.run()))
    assert not bodies(api)


def test_a_batch_shows_how_far_it_is_and_then_its_pictures(api: PublicApi) -> None:
    opened = page()
    opened.radio(key="create.when.g5").set_value("As a batch").run()
    opened.number_input(key="create.n.As a batch.g5").set_value(8)
    draw(opened, "a red heart")
    ((line,),) = (body["requests"] for body in bodies(api, "POST /batches"))
    assert line["body"]["n"] == 8
    assert "store" not in line["body"]
    assert "The batch is completed: 8 pictures, $0.002000." in said(shown(opened.run()))
    assert len(opened.session_state["history"]) == 8


def test_a_batchs_pictures_are_asked_for_until_they_have_come(api: PublicApi) -> None:
    api.draw = lambda _body, _seed: b""  # which is not there
    opened = page()
    opened.radio(key="create.when.g5").set_value("As a batch").run()
    draw(opened, "a red heart")
    assert "is completed" not in said(opened)
    api.files = dict.fromkeys(api.files, png(FIELDS, 1))
    assert "The batch is completed: 1 pictures" in said(shown(opened.run()))
    assert len(opened.session_state["history"]) == 1


@pytest.mark.usefixtures("api")
def test_a_variant_without_batches_draws_now_alone() -> None:
    opened = page()
    opened.selectbox(key="create.model").set_value("inf2").run()
    assert opened.radio(key="create.when.inf2").options == ["Now"]


@pytest.mark.usefixtures("api")
def test_what_is_similar_is_shown_while_one_types() -> None:
    draw(page(), "a blue moon")
    draw(page(), "a red heart")
    opened = page()
    opened.text_input(key="create.prompt").set_value("a red star").run()
    assert opened.text[0].value == "a red heart"
    next(each for each in opened.button if each.label == "Use settings").click()
    shown(opened.run())
    assert opened.text_input(key="create.prompt").value == "a red heart"


def test_without_gallery_and_embeddings_the_page_says_how(api: PublicApi) -> None:
    api.gallery = api.embeddings = False
    opened = draw(page(), "a red heart")
    assert "npx cdk deploy SdGalleryStack" in said(opened)
    assert "Tokens aren't counted: /embeddings: no such path" in said(opened)
    assert opened.checkbox(key="create.keep").disabled
    assert "store" not in bodies(api)[0]
    assert "SdGalleryStack" in said(page(session.GALLERY))


def test_a_refusal_is_shown_in_the_apis_words(api: PublicApi) -> None:
    api.broken.add("g5")
    assert "the endpoint of g5 is not in service" in said(draw(page(), "a red heart"))


def test_without_the_api_every_page_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(session.URL, "http://127.0.0.1:9/v1")
    monkeypatch.setenv(session.KEY, KEY)
    st.cache_data.clear()
    for path in (session.CREATE, session.EDIT, session.COMPARE, session.GALLERY):
        assert "can't be reached" in said(page(path))


def test_a_stopped_variant_says_how_it_starts(api: PublicApi) -> None:
    stopped = {"since": "2026-11-25", "why": "nobody used it", "start": "endpoints.py start g5"}
    api.models[:] = [model("g5", stopped=stopped)]
    assert "nobody used it; endpoints.py start g5" in said(page())


def test_a_picture_goes_on_to_be_edited(api: PublicApi) -> None:
    opened = draw(page(), "a red heart")
    button(opened, "Edit").click()
    opened.run()
    opened = shown(opened.switch_page(session.EDIT).run())
    opened.text_input(key="edit.prompt").set_value("a blue heart").run()
    opened.slider(key="edit.strength").set_value(0.6)
    opened.radio(key="edit.quality.g5").set_value("fast").run()
    assert "About 0.2 s" in said(opened)
    button(opened, "Edit the picture").click()
    shown(opened.run())
    (sent,) = bodies(api, "POST /images/edits")
    assert (sent["prompt"], sent["strength"], "mask" in sent) == ("a blue heart", 0.6, False)
    assert (sent["quality"], sent["num_inference_steps"]) == ("fast", 10)
    assert sent["image"].startswith("data:image/png;base64,")


@pytest.mark.usefixtures("api")
def test_a_file_that_is_no_picture_is_not_sent() -> None:
    opened = page(session.EDIT)
    opened.file_uploader(key="edit.file").upload("a.png", b"nothing")
    opened.text_input(key="edit.prompt").set_value("a blue heart")
    assert "no picture that can be read" in said(shown(opened.run()))
    assert button(opened, "Edit the picture").disabled


def test_the_variants_draw_the_same_seed_side_by_side(
    api: PublicApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds = iter([7])
    monkeypatch.setattr(secrets, "randbelow", lambda _end: next(seeds))
    api.broken.add("djl")
    opened = page(session.COMPARE)
    opened.text_input(key="compare.prompt").set_value("a red heart").run()
    button(opened, "Draw on 3 variants").click()
    shown(opened.run())
    assert [each["model"] for each in bodies(api)] == ["g5", "djl", "inf2"]
    assert len({(each["seed"], each["prompt"]) for each in bodies(api)}) == 1
    assert "the endpoint of djl is not in service" in said(opened)
    assert [each.value for each in opened.header] == ["g5", "djl", "inf2"]
    assert "seed 7 · inf2 · 0.5 s · $0.000138" in said(opened)


def test_the_gallery_searches_filters_and_deletes(api: PublicApi) -> None:
    for prompt in ("a blue moon", "a red heart", "a red star"):
        draw(page(), prompt)
    opened = page(session.GALLERY)
    assert [each.value for each in opened.text] == ["a red star", "a red heart", "a blue moon"]
    opened.text_input(key="gallery.prompt").set_value("a blue moon").run()
    assert opened.text[0].value == "a blue moon"
    assert "distance 0.00" in said(opened)
    button(opened, "Delete").click()
    shown(opened.run())
    assert [each["prompt"] for each in api.kept] == ["a red star", "a red heart"]
    assert "are gone" in said(opened)
    opened.selectbox[0].set_value("djl").run()
    assert "Nothing kept is like it." in said(shown(opened))


@pytest.mark.usefixtures("api")
def test_the_gallery_finds_what_is_like_a_picture() -> None:
    for prompt in ("a blue moon", "a red heart", "a red star"):
        draw(page(), prompt)
    opened = page(session.GALLERY)
    button(opened, "Similar").click()
    shown(opened.run())
    assert [each.value for each in opened.text] == ["a red heart", "a blue moon"]
    button(opened, "All pictures").click()
    assert len(shown(opened.run()).text) == 3


def test_the_gallery_has_more_than_a_page(api: PublicApi) -> None:
    api.kept = [{**FIELDS, "id": f"pic_{at:032x}", "url": f"{api.url}/{at}"} for at in range(30)]
    opened = page(session.GALLERY)
    assert len(opened.text) == 12
    button(opened, "More").click()
    button(shown(opened.run()), "More").click()
    assert len(shown(opened.run()).text) == 30


@pytest.mark.usefixtures("api")
def test_the_history_is_the_sessions() -> None:
    opened = draw(page(), "a red heart")
    draw(opened, "a blue moon")
    opened = shown(opened.switch_page(session.HISTORY).run())
    assert "2 pictures of this session" in said(opened)
    assert "Nothing is drawn yet" in said(page(session.HISTORY))
