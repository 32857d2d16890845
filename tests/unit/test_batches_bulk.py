"""Batches as training jobs: started once, tried again, stopped, and paid for."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.session import Session as BotocoreSession
from botocore.validate import ParamValidator

from batches.records import CANCELLING, Batch
from sd_contract.registration import BULK
from tests.fakes.batch_engines import BULK_FLEET, FLEET, World, world
from tests.fakes.batch_queue import Killed

CREATE = (
    BotocoreSession()
    .get_service_model("sagemaker")
    .operation_model("CreateTrainingJob")
    .input_shape
)


def error(code: str, message: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "CreateTrainingJob")


def over_quota(limit: int, used: int, wanted: int = 2) -> ClientError:
    return error(
        "ResourceLimitExceeded",
        "The account-level service limit 'ml.g5.xlarge for spot training job usage' is "
        f"{limit} Instances, with current utilization of {used} Instances and a request delta of "
        f"{wanted} Instances. Please use AWS Service Quotas to request an increase for this quota.",
    )


@dataclass
class FakeTraining:
    """SageMaker's training jobs; they end by `end` alone."""

    refusals: list[ClientError] = field(default_factory=list)
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    stopped: list[str] = field(default_factory=list)

    def create_training_job(self, **request: Any) -> None:
        report = ParamValidator().validate(request, CREATE)
        assert not report.has_errors(), report.generate_report()
        assert len(request["TrainingJobName"]) <= 63
        stopping = request["StoppingCondition"]
        assert stopping.get("MaxWaitTimeInSeconds", 10**9) >= stopping["MaxRuntimeInSeconds"]
        if self.refusals:
            raise self.refusals.pop(0)
        if request["TrainingJobName"] in self.jobs:
            raise error("ResourceInUse", "Training job names must be unique")
        self.jobs[request["TrainingJobName"]] = {
            **request,
            "TrainingJobStatus": "InProgress",
            "SecondaryStatus": "Starting",
        }

    def describe_training_job(self, TrainingJobName: str) -> dict[str, Any]:
        if TrainingJobName not in self.jobs:
            raise error("ValidationException", "Requested resource not found.")
        return self.jobs[TrainingJobName]

    def stop_training_job(self, TrainingJobName: str) -> None:
        job = self.describe_training_job(TrainingJobName)
        if job["TrainingJobStatus"] != "InProgress":
            raise error("ValidationException", "The request was rejected because …")
        self.stopped.append(TrainingJobName)
        job["TrainingJobStatus"] = "Stopping"

    def end(self, name: str, status: str = "Completed", billable_s: int | None = 100) -> None:
        self.jobs[name] |= {"TrainingJobStatus": status, "SecondaryStatus": status}
        if billable_s is not None:
            self.jobs[name]["BillableTimeInSeconds"] = billable_s


@pytest.fixture
def it() -> Iterator[World]:
    with world() as made:
        made.clients["sagemaker"] = FakeTraining()
        yield made


def training(it: World) -> FakeTraining:
    client = it.clients["sagemaker"]
    assert isinstance(client, FakeTraining)
    return client


def launch(it: World, **changes: Any) -> Batch:
    batch = it.add(1200, engine=BULK, **changes)
    it.engines.runner(BULK).start(batch)
    it.run()
    return it.store.batch(batch.id)


JOB = "sd-bulk-1-1"


def test_a_job_is_the_serving_image_on_the_fleet_with_the_batchs_work(it: World) -> None:
    batch = launch(it)
    assert (batch.job, batch.tries) == (JOB, 1)
    job = training(it).jobs[JOB]
    assert job["AlgorithmSpecification"] == {
        "TrainingImage": BULK_FLEET.image_uri,
        "TrainingInputMode": "File",
        "ContainerEntrypoint": ["python3", "-m", "sd_serving.bulk"],
    }
    assert job["RoleArn"] == BULK_FLEET.role_arn
    assert job["Environment"] == {
        "SD_VARIANT": "g5",
        "SD_BATCH_BUCKET": "batches",
        "SD_BATCH_ID": "batch_1",
    }
    sources = {
        channel["ChannelName"]: channel["DataSource"]["S3DataSource"]
        for channel in job["InputDataConfig"]
    }
    assert sources == {
        "model": {
            "S3DataType": "S3Prefix",
            "S3Uri": BULK_FLEET.model_uri,
            "S3DataDistributionType": "FullyReplicated",
        },
        "work": {
            "S3DataType": "S3Prefix",
            "S3Uri": "s3://batches/batches/batch_1/work/",
            "S3DataDistributionType": "ShardedByS3Key",
        },
    }
    assert job["ResourceConfig"]["InstanceCount"] == 2
    assert job["EnableManagedSpotTraining"]
    assert not job["EnableNetworkIsolation"]
    assert "VpcConfig" not in job
    assert job["StoppingCondition"] == {
        "MaxRuntimeInSeconds": 86_400,
        "MaxWaitTimeInSeconds": 86_400,
    }


def test_a_job_whose_pictures_are_to_be_signed_knows_by_whom() -> None:
    with world(signing_function="signer") as it:
        it.clients["sagemaker"] = FakeTraining()
        launch(it)
        told = training(it).jobs[JOB]["Environment"]
        assert told["SD_SIGNING_FUNCTION"] == "signer"
        assert told["SD_PICTURE_BUCKET"] == "pictures"


def test_a_job_runs_in_the_fleets_network_if_it_has_one(it: World) -> None:
    bulk = replace(BULK_FLEET, subnets=("subnet-1", "subnet-2"), security_groups=("sg-1",))
    it.parameters.documents["/sd/fleets"]["g5"] = replace(FLEET, bulk=bulk).to_json()
    launch(it)
    assert training(it).jobs[JOB]["VpcConfig"] == {
        "Subnets": ["subnet-1", "subnet-2"],
        "SecurityGroupIds": ["sg-1"],
    }


def test_no_instance_goes_without_a_part(it: World) -> None:
    it.add(1, engine=BULK)
    it.engines.bulk.start(it.store.batch("batch_1"))
    it.run()
    assert training(it).jobs[JOB]["ResourceConfig"]["InstanceCount"] == 1


def test_a_job_ends_with_its_batchs_time(it: World) -> None:
    launch(it, deadline=int(it.queue.now) + 7200)
    assert training(it).jobs[JOB]["StoppingCondition"] == {
        "MaxRuntimeInSeconds": 7200,
        "MaxWaitTimeInSeconds": 7200,
    }


def test_a_second_batch_waits_for_the_firsts_instances(it: World) -> None:
    training(it).refusals = [over_quota(2, 2), over_quota(2, 2), over_quota(2, 2)]
    launch(it)
    assert it.queue.delays_s == [5, 10, 20]
    assert list(training(it).jobs) == [JOB]


def test_a_fleet_beyond_the_quota_ends_the_batch_with_awss_sentence(it: World) -> None:
    training(it).refusals = [over_quota(1, 0)]
    batch = launch(it)
    assert training(it).jobs == {}
    assert batch.errors[0]["code"] == "quota_too_low"
    assert "ml.g5.xlarge for spot training job usage" in batch.errors[0]["message"]
    assert it.tasks.asked == [("finish", "batch_1")]


@pytest.mark.parametrize("call", ["create_training_job", "update_item"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_worker_killed_as_it_starts_a_job_starts_one(it: World, call: str, when: str) -> None:
    kills = iter([True])

    def kill() -> None:
        if next(kills, False):
            raise Killed

    getattr(it, when)[call] = kill
    batch = launch(it)
    assert list(training(it).jobs) == [JOB]
    assert (batch.job, batch.tries) == (JOB, 1)


def test_an_end_that_comes_before_the_start_was_noted_counts(it: World) -> None:
    it.before["update_item"] = lambda: (_ for _ in ()).throw(Killed)
    it.add(200, engine=BULK)
    it.engines.bulk.start(it.store.batch("batch_1"))
    it.queue.deliver(it.work)
    del it.before["update_item"]
    training(it).end(JOB)
    it.engines.bulk.ended(JOB)
    assert it.store.batch("batch_1").job == JOB
    assert it.tasks.asked == [("finish", "batch_1")]


def test_a_completed_job_is_billed_and_the_batch_finished(it: World) -> None:
    launch(it, price_usd_per_hour=1.8)
    training(it).end(JOB, billable_s=1000)
    for _ in range(2):
        it.engines.bulk.ended(JOB)
    batch = it.store.batch("batch_1")
    assert batch.billed_s == 2000
    assert batch.cost_usd == 1.0
    assert set(it.tasks.asked) == {("finish", "batch_1")}


def test_a_failed_job_is_tried_again_and_all_tries_are_billed(it: World) -> None:
    launch(it)
    for tries in (1, 2, 3):
        name = f"sd-bulk-1-{tries}"
        assert it.store.batch("batch_1").job == name
        training(it).end(name, "Failed", 10 * tries)
        for _ in range(2):
            it.engines.bulk.ended(name)
        it.run()
    assert len(training(it).jobs) == 3
    assert it.store.batch("batch_1").billed_s == 2 * 60
    assert it.tasks.asked == [("finish", "batch_1")] * 2
    assert [line["status"] for line in it.log("job_ended")] == ["Failed"] * 6


def test_the_end_of_an_earlier_try_told_late_is_nothing_new(it: World) -> None:
    launch(it)
    training(it).end(JOB, "Failed")
    it.engines.bulk.ended(JOB)
    it.run()
    training(it).jobs[JOB]["BillableTimeInSeconds"] = 7
    it.queue.now += 1000
    it.engines.bulk.ended(JOB)
    it.run()
    assert len(training(it).jobs) == 2
    assert it.tasks.asked == []


def test_what_is_not_an_end_or_not_ours_is_left_alone(it: World) -> None:
    launch(it)
    it.engines.bulk.ended(JOB)
    training(it).jobs["other"] = {"TrainingJobStatus": "Completed", "Environment": {}}
    it.engines.bulk.ended("other")
    training(it).jobs["sd-bulk-9-1"] = {
        "TrainingJobStatus": "Completed",
        "Environment": {"SD_BATCH_BUCKET": "batches", "SD_BATCH_ID": "batch_9"},
    }
    it.engines.bulk.ended("sd-bulk-9-1")
    assert it.tasks.asked == []


def test_a_cancel_stops_the_job_and_waits_for_its_end(it: World) -> None:
    launch(it)
    it.store.change("batch_1", ("in_progress",), status=CANCELLING)
    assert it.engines.bulk.stop(it.store.batch("batch_1")) is None
    assert training(it).stopped == [JOB]
    training(it).end(JOB, "Stopped")
    it.engines.bulk.ended(JOB)
    assert it.tasks.asked == [("finish", "batch_1")]


def test_a_failure_of_a_cancelled_batch_is_not_tried_again(it: World) -> None:
    launch(it)
    it.store.change("batch_1", ("in_progress",), status=CANCELLING)
    training(it).end(JOB, "Failed")
    it.engines.bulk.ended(JOB)
    it.run()
    assert len(training(it).jobs) == 1
    assert it.tasks.asked == [("finish", "batch_1")]


def test_a_cancel_before_the_start_needs_no_waiting(it: World) -> None:
    it.add(200, engine=BULK)
    it.engines.bulk.start(it.store.batch("batch_1"))
    it.store.change("batch_1", ("in_progress",), status=CANCELLING)
    assert it.engines.bulk.stop(it.store.batch("batch_1")) == 0
    it.run()
    assert training(it).jobs == {}


def test_a_cancel_while_the_job_is_started_stops_it(it: World) -> None:
    def cancel() -> None:
        it.store.change("batch_1", ("in_progress",), status=CANCELLING)

    it.after["create_training_job"] = cancel
    launch(it)
    assert training(it).stopped == [JOB]


def test_a_cancel_after_the_jobs_end_needs_no_waiting(it: World) -> None:
    launch(it)
    training(it).end(JOB)
    it.store.change("batch_1", ("in_progress",), status=CANCELLING)
    assert it.engines.bulk.stop(it.store.batch("batch_1")) == 0


def test_a_job_stopped_by_its_batchs_deadline_expires_it(it: World) -> None:
    launch(it, deadline=int(it.queue.now) + 7200)
    it.queue.now += 7201
    training(it).end(JOB, "Stopped")
    it.engines.bulk.ended(JOB)
    assert it.tasks.asked == [("stop", "batch_1")]


def test_a_job_stopped_by_max_hours_ends_the_batch_with_what_is_done(it: World) -> None:
    launch(it, deadline=int(it.queue.now) + 7 * 86_400)
    assert training(it).jobs[JOB]["StoppingCondition"]["MaxRuntimeInSeconds"] == 86_400
    it.queue.now += 86_401
    training(it).end(JOB, "Stopped")
    it.engines.bulk.ended(JOB)
    assert it.tasks.asked == [("finish", "batch_1")]


def test_a_batch_that_waited_past_its_deadline_is_told_to_stop(it: World) -> None:
    launch(it, deadline=int(it.queue.now) - 1)
    assert training(it).jobs == {}
    assert it.tasks.asked == [("stop", "batch_1")]


def test_without_its_variants_fleet_a_batch_waits(it: World) -> None:
    fleets = it.parameters.documents["/sd/fleets"]
    fleet = fleets.pop("g5")
    it.add(200, engine=BULK)
    it.engines.bulk.start(it.store.batch("batch_1"))
    it.queue.deliver(it.work)
    assert training(it).jobs == {}
    fleets["g5"] = fleet
    it.run()
    assert list(training(it).jobs) == [JOB]


def test_a_launch_that_waited_too_often_is_said_again(it: World) -> None:
    it.queue.max_receives = 3
    training(it).refusals = [over_quota(2, 2)] * 5
    launch(it)
    assert list(training(it).jobs) == [JOB]
    assert len(it.log("dead_letter")) == 1
