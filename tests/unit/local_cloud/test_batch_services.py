"""What batches need of DynamoDB, S3 and the API's gateway, as AWS has it."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx
import pytest
from botocore.exceptions import ClientError

from local_cloud.child import ChildCloud
from sd_contract.limits import LAMBDA_BYTES
from tests.fakes.local_account import allow, arn, client_of_user, fault
from tests.fakes.local_function import LocalFunction

TABLE = "batches"
TABLE_ARN = arn("dynamodb", f"table/{TABLE}")
BUCKET = "batch-files"


@pytest.fixture(scope="module", autouse=True)
def stores(cloud: ChildCloud) -> None:
    dynamodb = cloud.client("dynamodb")
    names = ("pk", "sk")
    dynamodb.create_table(
        TableName=TABLE,
        KeySchema=[
            {"AttributeName": name, "KeyType": kind}
            for name, kind in zip(names, ("HASH", "RANGE"), strict=True)
        ],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in names],
        BillingMode="PAY_PER_REQUEST",
    )
    dynamodb.update_time_to_live(
        TableName=TABLE,
        TimeToLiveSpecification={"Enabled": True, "AttributeName": "expires_at"},
    )
    cloud.client("s3").create_bucket(Bucket=BUCKET)


def key(pk: str, sk: str) -> dict[str, Any]:
    return {"pk": {"S": pk}, "sk": {"S": sk}}


def marker(batch: str, unit: str) -> dict[str, Any]:
    put = {"TableName": TABLE, "Item": key(batch, unit)}
    return {"Put": {**put, "ConditionExpression": "attribute_not_exists(pk)"}}


def one_more(batch: str) -> dict[str, Any]:
    return {
        "Update": {
            "TableName": TABLE,
            "Key": key("batch", batch),
            "UpdateExpression": "ADD pictures :one",
            "ExpressionAttributeValues": {":one": {"N": "1"}},
        }
    }


def counted(cloud: ChildCloud, batch: str) -> int:
    found = cloud.client("dynamodb").get_item(
        TableName=TABLE, Key=key("batch", batch), ConsistentRead=True
    )
    return int(found["Item"]["pictures"]["N"])


def reasons(error: ClientError) -> list[str]:
    found: Sequence[Any] = error.response["CancellationReasons"]
    return [reason["Code"] for reason in found]


def test_a_unit_counts_once_however_often_and_from_wherever_it_is_counted(
    cloud: ChildCloud,
) -> None:
    """Marker and counter go together or not at all. The actions are those of their parts."""
    writes = allow("dynamodb:PutItem dynamodb:UpdateItem", TABLE_ARN)
    dynamodb = client_of_user(cloud, "counter", "dynamodb", writes)

    def count(unit: int) -> list[str]:
        for _ in range(20):
            try:
                dynamodb.transact_write_items(TransactItems=[marker("b", str(unit)), one_more("b")])
            except dynamodb.exceptions.TransactionCanceledException as error:
                if "TransactionConflict" not in (refused := reasons(error)):
                    return refused
            else:
                return []
        raise AssertionError

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(count, [*range(10)] * 3))
    assert answers.count([]) == 10
    assert {tuple(answer) for answer in answers} == {(), ("ConditionalCheckFailed", "None")}
    assert counted(cloud, "b") == 10


def test_a_transaction_that_meets_another_s_can_be_done_again(cloud: ChildCloud) -> None:
    dynamodb = cloud.client("dynamodb")
    writes = [marker("m", "1"), one_more("m")]
    with fault(cloud, "transaction-conflict"):
        with pytest.raises(dynamodb.exceptions.TransactionCanceledException) as caught:
            dynamodb.transact_write_items(TransactItems=writes)
        assert reasons(caught.value) == ["None", "TransactionConflict"]
        # So does another's write of the item, meanwhile.
        with pytest.raises(dynamodb.exceptions.TransactionConflictException):
            dynamodb.update_item(**one_more("m")["Update"])
        dynamodb.transact_write_items(TransactItems=writes)
    assert counted(cloud, "m") == 1


def test_a_transaction_takes_leave_for_each_of_its_parts(cloud: ChildCloud) -> None:
    puts = client_of_user(cloud, "putter", "dynamodb", allow("dynamodb:PutItem", TABLE_ARN))
    with pytest.raises(ClientError, match=r"AccessDenied.*dynamodb:UpdateItem"):
        puts.transact_write_items(TransactItems=[marker("c", "1"), one_more("c")])


@pytest.mark.parametrize("times", [2, 101])
def test_a_transaction_has_an_item_once_and_a_hundred_at_most(
    cloud: ChildCloud, times: int
) -> None:
    items = [marker("d", "1")] * 2 if times == 2 else [marker("d", str(n)) for n in range(times)]
    with pytest.raises(ClientError, match="ValidationException"):
        cloud.client("dynamodb").transact_write_items(TransactItems=items)


def test_a_condition_that_fails_changes_nothing(cloud: ChildCloud) -> None:
    dynamodb = cloud.client("dynamodb")
    item = {**key("batch", "e"), "status": {"S": "cancelled"}}
    dynamodb.put_item(TableName=TABLE, Item=item)
    change = {
        "TableName": TABLE,
        "Key": key("batch", "e"),
        "UpdateExpression": "SET #status = :new",
        "ConditionExpression": "#status IN (:old)",
        "ExpressionAttributeNames": {"#status": "status"},
        "ExpressionAttributeValues": {":new": {"S": "completed"}, ":old": {"S": "in_progress"}},
    }
    with pytest.raises(dynamodb.exceptions.ConditionalCheckFailedException):
        dynamodb.update_item(**change)
    assert dynamodb.get_item(TableName=TABLE, Key=key("batch", "e"))["Item"] == item
    # Reserved: it takes a placeholder.
    with pytest.raises(ClientError, match="reserved keyword"):
        dynamodb.update_item(
            TableName=TABLE,
            Key=key("batch", "e"),
            UpdateExpression="SET status = :new",
            ExpressionAttributeValues={":new": {"S": "completed"}},
        )


def test_what_has_expired_is_still_there_until_dynamodb_comes_to_it(cloud: ChildCloud) -> None:
    dynamodb = cloud.client("dynamodb")
    item = {**key("idempotency", "old"), "expires_at": {"N": "1"}}
    dynamodb.put_item(TableName=TABLE, Item=item)
    assert dynamodb.get_item(TableName=TABLE, Key=key("idempotency", "old"))["Item"] == item


def test_a_query_gives_a_megabyte_and_where_it_goes_on(cloud: ChildCloud) -> None:
    dynamodb = cloud.client("dynamodb")
    for number in range(12):
        item = {**key("big", f"{number:02d}"), "data": {"S": "x" * 100_000}}
        dynamodb.put_item(TableName=TABLE, Item=item)
    asked = {
        "TableName": TABLE,
        "KeyConditionExpression": "pk = :pk",
        "ExpressionAttributeValues": {":pk": {"S": "big"}},
    }
    answer = dynamodb.query(**asked)
    assert len(answer["Items"]) < 12
    more = dynamodb.query(**asked, ExclusiveStartKey=answer["LastEvaluatedKey"])
    assert len(answer["Items"]) + len(more["Items"]) == 12


def put_url(s3: Any, name: str, seconds: int = 60, **signed: Any) -> str:
    parameters = {"Bucket": BUCKET, "Key": name, **signed}
    return str(s3.generate_presigned_url("put_object", Params=parameters, ExpiresIn=seconds))


def uploader(cloud: ChildCloud, name: str, actions: str = "s3:PutObject") -> Any:
    """May put files, and no more."""
    return client_of_user(cloud, name, "s3", allow(actions, f"arn:aws:s3:::{BUCKET}/files/*"))


def test_a_file_goes_where_its_url_says_and_as_it_was_signed(cloud: ChildCloud) -> None:
    s3, body = uploader(cloud, "uploader"), b'{"custom_id": "1"}\n'
    url = put_url(s3, "files/one.jsonl", ContentLength=len(body), ContentType="application/jsonl")
    headers = {"content-type": "application/jsonl"}
    elsewhere = urlunsplit(urlsplit(url)._replace(path=f"/{BUCKET}/files/two.jsonl"))

    assert httpx.put(elsewhere, content=body, headers=headers).status_code == 403
    assert httpx.put(url, content=body + body, headers=headers).status_code == 403
    assert httpx.put(url, content=body, headers={"content-type": "text/html"}).status_code == 403
    assert httpx.get(url).status_code == 403
    found = cloud.client("s3").list_objects_v2(Bucket=BUCKET, Prefix="files/")
    assert "Contents" not in found

    assert httpx.put(url, content=body, headers=headers).status_code == 200
    stored = cloud.client("s3").get_object(Bucket=BUCKET, Key="files/one.jsonl")
    assert stored["Body"].read() == body
    assert stored["ContentType"] == "application/jsonl"


def test_a_url_may_no_more_than_who_has_signed_it(cloud: ChildCloud) -> None:
    reader = uploader(cloud, "reader", "s3:GetObject")
    assert httpx.put(put_url(reader, "files/three.jsonl"), content=b"{}").status_code == 403
    writer = uploader(cloud, "writer")
    assert httpx.put(put_url(writer, "results/1.json"), content=b"{}").status_code == 403


def test_a_url_ends_with_its_time(cloud: ChildCloud) -> None:
    writer = uploader(cloud, "late")
    url = put_url(writer, "files/late.jsonl", seconds=0)
    answer = httpx.put(url, content=b"{}")
    assert answer.status_code == 403
    assert "Request has expired" in answer.text
    with pytest.raises(ClientError):
        cloud.client("s3").head_object(Bucket=BUCKET, Key="files/late.jsonl")


ANSWERS = """
import json
def handler(event, context):
    asked = (event["queryStringParameters"] or {}).get("as")
    if asked == "redirect":
        return {"statusCode": 302, "headers": {"Location": "https://bucket/key?a=1&b=2"}}
    if asked == "large":
        return {"statusCode": 200, "body": "x" * 7_000_000}
    if asked == "error":
        raise RuntimeError("the secret ingredient")
    body = event["body"] or ""
    return {"statusCode": 200, "body": json.dumps([event["isBase64Encoded"], len(body)])}
"""


@pytest.fixture(scope="module")
def url(cloud: ChildCloud) -> str:
    """Of an API before a function that answers as it is asked to."""
    gateway, function = cloud.client("apigateway"), LocalFunction(cloud, "answers", ANSWERS)
    api = gateway.create_rest_api(name="answers", binaryMediaTypes=["multipart/form-data"])["id"]
    (root,) = gateway.get_resources(restApiId=api)["items"]
    method = {"restApiId": api, "resourceId": root["id"], "httpMethod": "ANY"}
    gateway.put_method(**method, authorizationType="NONE")
    invocations = f"2015-03-31/functions/{function.arn}/invocations"
    uri = f"arn:aws:apigateway:us-east-1:lambda:path/{invocations}"
    gateway.put_integration(**method, type="AWS_PROXY", integrationHttpMethod="POST", uri=uri)
    gateway.create_deployment(restApiId=api, stageName="v1")
    function.let("apigateway", arn("execute-api", f"{api}/*"))
    return f"{cloud.settings.url}/_aws/execute-api/{api}/v1/"


def test_a_redirect_reaches_the_caller(url: str) -> None:
    answer = httpx.get(url, params={"as": "redirect"})
    assert answer.status_code == 302
    assert answer.headers["location"] == "https://bucket/key?a=1&b=2"


def test_a_body_beyond_what_lambda_takes_is_refused_by_its_sentence(url: str) -> None:
    """A form's goes as base64: 4.5 MB of it are too many."""
    form = {"content-type": "multipart/form-data; boundary=b"}
    taken = httpx.post(url, content=bytes(4_500_000), headers=form, timeout=30)
    assert taken.json() == [True, len(base64.b64encode(bytes(4_500_000)))]
    for size, headers in ((4_800_000, form), (6_300_000, {"content-type": "application/json"})):
        refused = httpx.post(url, content=b" " * size, headers=headers, timeout=30)
        assert refused.status_code == 413
        assert f"must be smaller than {LAMBDA_BYTES} bytes" in refused.json()["Message"]


@pytest.mark.parametrize("kind", ["large", "error"])
def test_a_function_that_fails_or_says_too_much_is_a_502_that_says_nothing(
    url: str, kind: str
) -> None:
    answer = httpx.get(url, params={"as": kind}, timeout=30)
    assert answer.status_code == 502
    assert json.loads(answer.text) == {"message": "Internal server error"}
