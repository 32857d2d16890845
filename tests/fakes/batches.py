"""What the batch functions' tests share: the table and the bucket in moto, records, and the API
with all its surroundings."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from botocore.session import Session
from moto import mock_aws

from batches.api.files import Files
from batches.api.handler import serve
from batches.api.operations import BatchApi
from batches.checker.checking import Checker
from batches.checker.ending import Ending
from batches.checker.finishing import Finisher
from batches.checker.handler import perform
from batches.checker.planning import Planner
from batches.fleets import Fleets
from batches.links import link_maker
from batches.objects import Objects
from batches.records import Batch
from batches.store import Store
from batches.tasks import Tasks
from front_door.clients import make_s3
from front_door.variants import VariantRegistry
from sd_contract.batch import BatchKeys, Unit, UnitResult, WorkLine
from sd_contract.registration import SERVES
from tests.fakes.front_door import NOW, PNG, REQUEST_ID, FakeClock, generation_request, registration
from tests.fakes.front_door import World as FrontDoorWorld

BUCKET, TABLE = "batches", "sd-batches"
REGION = "us-east-1"
# Reading the services' models takes longer than the tests.
_LOADER = Session().get_component("data_loader")


@contextmanager
def aws() -> Iterator[Session]:
    """botocore's session in an account with the bucket and the table."""
    with mock_aws():
        session = Session()
        session.register_component("data_loader", _LOADER)
        session.set_credentials("AKIDEXAMPLE", "secret", "token")
        session.set_config_variable("region", REGION)
        session.create_client("s3").create_bucket(Bucket=BUCKET)
        session.create_client("dynamodb").create_table(
            TableName=TABLE,
            KeySchema=[
                {"AttributeName": "pk", "KeyType": "HASH"},
                {"AttributeName": "sk", "KeyType": "RANGE"},
            ],
            AttributeDefinitions=[
                {"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")
            ],
            BillingMode="PAY_PER_REQUEST",
        )
        yield session


def store(session: Session, table: Any = None) -> Store:
    return Store(
        table or session.create_client("dynamodb"), TABLE, now=lambda: NOW, sleep=lambda _: None
    )


def batch(id: str = "batch_1", **changes: Any) -> Batch:
    values: dict[str, Any] = {
        "created_at": int(NOW),
        "expires_at": int(NOW) + 7 * 86_400,
        "deadline": int(NOW) + 86_400,
        "completion_window": "24h",
        "endpoint": "/v1/images/generations",
        "input_file_id": "file-1",
    }
    return Batch(id, **{**values, **changes})


def units(line: int = 1, images: int = 1, seed: int = 7) -> list[Unit]:
    asked = generation_request(num_images=images, seed=seed).invocation
    return list(WorkLine.of(line, f"line {line}", asked, str).units)


def drawn(unit: Unit, key: str = "a key") -> UnitResult:
    engine = {"images_in_batch": 1, "prompt_tokens": 5, "negative_prompt_tokens": 2}
    return UnitResult(
        unit.line, unit.image, unit.seed, key=key, timings_ms={"denoise": 20.4}, engine=engine
    )


def failed(unit: Unit) -> UnitResult:
    return UnitResult.failed(unit, "The picture could not be drawn.", "engine_error")


@dataclass
class FakeEvents:
    """EventBridge; `refuses` so many entries first."""

    refuses: int = 0
    told: list[dict[str, Any]] = field(default_factory=list)

    def put_events(self, Entries: list[dict[str, Any]]) -> dict[str, Any]:
        if self.refuses:
            self.refuses -= 1
            return {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "ThrottlingException"}]}
        self.told += [{**entry, "Detail": json.loads(entry["Detail"])} for entry in Entries]
        return {"FailedEntryCount": 0, "Entries": [{"EventId": "1"} for _ in Entries]}


@dataclass
class FakeFunctions:
    """Lambda, to which nothing but the checker's tasks comes; they wait in `asked`."""

    asked: list[tuple[str, str]] = field(default_factory=list)

    def invoke(self, FunctionName: str, InvocationType: str, Payload: bytes) -> None:
        assert (FunctionName, InvocationType) == ("sd-batches-checker", "Event")
        task = json.loads(Payload)
        self.asked.append((task["action"], task["batch_id"]))


@dataclass
class FakeRunner:
    """Draws when it's told to; a prompt that begins with "fails" does."""

    started: list[str] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    at_hand_s: float | None = 70.0
    fails: Exception | None = None

    def start(self, batch: Batch) -> None:
        if self.fails:
            raise self.fails
        self.started.append(batch.id)

    def stop(self, batch: Batch) -> float | None:
        self.stopped.append(batch.id)
        return self.at_hand_s


FLEET: dict[str, Any] = {
    "serve": ["real-time", "bulk"],
    "async_endpoint_name": None,
    "bulk": {
        "image_uri": "an image",
        "role_arn": "a role",
        "instance_type": "ml.g5.xlarge",
        "instance_count": 2,
        "spot": True,
        "max_seconds": 86_400,
        "volume_gb": 50,
        "model_uri": "s3://models/g5/9f2c/",
        "environment": {"SD_VARIANT": "g5"},
        "price_usd_per_hour": 1.2,
        "kms_key_arn": "a key",
    },
}


class World:
    """The API and the checker's steps before moto's S3, DynamoDB and SSM. What the API asks of the
    checker waits until `work`; `draw` is the engine."""

    def __init__(self, session: Session, bulk_pictures: int = 1000) -> None:
        self.session = session
        self.clock = FakeClock()
        self.events, self.functions = FakeEvents(), FakeFunctions()
        self.runners = {name: FakeRunner() for name in SERVES}
        self.slept_s: list[float] = []
        self.logged: list[dict[str, Any]] = []
        self.s3 = make_s3(session)
        self.objects = Objects(self.s3, BUCKET, 3600)
        self.store = Store(session.create_client("dynamodb"), TABLE, self.clock, lambda _: None)
        self.ssm = session.create_client("ssm")
        self.deploy("g5")
        files = Files(self.store, self.objects, 7)
        tasks = Tasks(self.functions, "sd-batches-checker")
        self.api = BatchApi(files, tasks, lambda: link_maker(self.objects, session))
        ending = Ending(self.store, self.events, "sd.batches")
        self.registry = VariantRegistry(
            self.ssm,
            prefix="/sd/variants",
            default_model="g5",
            ttl_s=0,
            clock=self.clock,
            log=self.logged.append,
        )
        self.front_door = FrontDoorWorld()
        checker = Checker(self.registry, self.front_door.front_door.pictures, True)
        fleets = Fleets(self.ssm, "/sd/fleets")
        self.planner = Planner(
            self.store,
            self.objects,
            checker,
            fleets,
            self.runners.__getitem__,
            ending,
            bulk_pictures,
        )
        self.finisher = Finisher(
            self.store, self.objects, tasks, ending, self.runners.__getitem__, self.slept_s.append
        )
        self.left_s: Callable[[], float] = lambda: 900.0

    def deploy(self, name: str, fleet: dict[str, Any] | None = None, **changes: Any) -> None:
        written = {
            f"/sd/variants/{name}": registration(name, **changes),
            f"/sd/fleets/{name}": FLEET if fleet is None else fleet,
        }
        for path, document in written.items():
            value = json.dumps(document)
            self.ssm.put_parameter(Name=path, Value=value, Type="String", Overwrite=True)

    def work(self) -> None:
        """What the checker is asked, until there is nothing more."""
        while self.functions.asked:
            action, id = self.functions.asked.pop(0)
            perform(action, id, self.planner, self.finisher, self.left_s)

    def units(self, id: str) -> list[Unit]:
        keys = BatchKeys(id)
        parts = sorted(self.objects.keys(keys.work))
        lines = [line for part in parts for line in self.objects.read(part).splitlines()]
        return [unit for line in lines for unit in WorkLine.from_json(line).units]

    def draw(self, id: str, most: int = 1_000_000) -> None:
        """As many units, in order; asks for the finish as an engine does."""
        keys = BatchKeys(id)
        for unit in self.units(id)[:most]:
            result = drawn(unit, keys.picture(unit))
            if unit.invocation["prompt"].startswith("fails"):
                result = failed(unit)
            else:
                self.objects.put(keys.picture(unit), PNG + unit.name.encode(), "image/png")
            self.objects.put(keys.result(unit), result.to_json().encode(), "application/json")
            self.store.count(self.store.batch(id), unit, result)
        if self.store.batch(id).all_counted:
            self.functions.asked.append(("finish", id))

    def respond(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """The gateway's routes: batches' and the front door's."""
        if event["resource"].split("/")[1] not in ("files", "batches"):
            return self.front_door.respond(event)

        def emit(line: str) -> None:
            self.logged.append(json.loads(line))

        return serve(event, "invocation", lambda: self.api.answer, tuple, emit, lambda: 5.0)

    def send(
        self, method: str, path: str, body: Any = None, **changes: Any
    ) -> tuple[int, dict[str, str], Any]:
        """Status, headers and body of the response, parsed if it is JSON."""
        first, _, rest = path.strip("/").partition("/")
        event = {
            "resource": f"/{first}/{{proxy+}}" if rest else f"/{first}",
            "pathParameters": {"proxy": rest} if rest else None,
            "httpMethod": method,
            "headers": {"Content-Type": "application/json"},
            "queryStringParameters": None,
            "requestContext": {"requestId": REQUEST_ID, "identity": {"apiKeyId": "key-1"}},
            "body": body if isinstance(body, str | None) else json.dumps(body),
            "isBase64Encoded": False,
        }
        response = self.respond({**event, **changes})
        text = response["body"]
        is_json = response["headers"].get("Content-Type") == "application/json"
        return response["statusCode"], response["headers"], json.loads(text) if is_json else text

    def create(self, *bodies: Mapping[str, Any], **more: Any) -> dict[str, Any]:
        """A batch whose lines have these bodies, checked and started."""
        url = more.pop("url", "/v1/images/generations")
        requests = [
            {"custom_id": f"line {number}", "url": url, "body": body}
            for number, body in enumerate(bodies, 1)
        ]
        status, _, batch = self.send("POST", "/batches", {"requests": requests, **more})
        assert status == 200, batch
        self.work()
        return self.get(batch["id"])

    def get(self, id: str) -> dict[str, Any]:
        status, _, batch = self.send("GET", f"/batches/{id}")
        assert status == 200, batch
        return dict(batch)

    def lines(self, file_id: str) -> list[dict[str, Any]]:
        status, _, text = self.send("GET", f"/files/{file_id}/content")
        assert status == 200, text
        return [json.loads(line) for line in text.splitlines()]
