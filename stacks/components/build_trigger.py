"""The Lambda behind a stack's build steps: it starts their builds, hears how each ended, and stops
what they leave running."""

from aws_cdk import CustomResource, Duration, Stack
from aws_cdk import aws_codebuild as codebuild
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from constructs import Construct

from stacks.components.alarms import Trouble, alarm_of_letters
from stacks.components.grants import LIST_TRAINING_JOBS, grant, grant_named, grant_unscoped
from stacks.components.python_function import PythonFunction
from stacks.components.queue import Queue
from stacks.settings import Names

# A deploy waits for a build no longer, so nobody needs the event any more.
EVENT_LIVES = Duration.hours(12)


class BuildTrigger(PythonFunction):
    """One serves all steps of a stack; `BuildTrigger.of` finds or makes it.

    `ready` is everything that must be in place before it is asked for a build. An event it couldn't
    be given or couldn't handle waits in a dead-letter queue for someone to look at it.
    """

    @classmethod
    def of(cls, scope: Construct, *, log_group: logs.ILogGroup, names: Names) -> "BuildTrigger":
        """`log_group` is that of all builds."""
        stack = Stack.of(scope)
        found = stack.node.try_find_child("BuildTrigger")
        return found if isinstance(found, BuildTrigger) else cls(stack, log_group, names)

    def __init__(self, stack: Stack, log_group: logs.ILogGroup, names: Names) -> None:
        self._dead_letters = Queue(stack, "LostBuildEvents")
        alarm_of_letters(
            self._dead_letters,
            names,
            Trouble(
                f"{stack.stack_name}: the end of a build was not heard of, and its deploy may wait "
                "for it in vain",
                (
                    "See whether the build has ended (CodeBuild's console) and whether the deploy "
                    "waits still",
                    "Read the build trigger's log at that time: what went wrong with the event",
                    "Cancel the deploy (aws cloudformation cancel-update-stack, or delete-stack "
                    "of a first one), mend that and deploy again: what is built stays; then purge "
                    "the queue LostBuildEvents",
                ),
            ),
        )
        super().__init__(
            stack,
            "BuildTrigger",
            package="build_trigger",
            uses=["cfn_requests"],
            # As long as Lambda allows: a build may have to wait for a quota.
            timeout=Duration.minutes(15),
            memory_mb=256,
            log_days=30,
            dead_letters=self._dead_letters,
        )
        grant(self.role, ["cloudformation:DescribeStackResource"], stack.stack_id)
        # What a build that failed has said last.
        grant(self.role, ["logs:GetLogEvents"], log_group.log_group_arn)
        # Apart from the role, which the function waits for.
        itself = iam.Policy(
            self,
            "HandOver",
            roles=[self.role],
            statements=[
                iam.PolicyStatement(
                    actions=["lambda:InvokeFunction"], resources=[self.function.function_arn]
                )
            ],
        )
        self.ready = [self.role, itself]
        self._last: CustomResource | None = None

    def may_build(self, project: codebuild.CfnProject) -> None:
        calls = ("StartBuild", "StopBuild", "BatchGetBuilds", "ListBuildsForProject")
        grant(self.role, [f"codebuild:{call}" for call in calls], project.attr_arn)

    def may_stop_jobs(self, pattern: str) -> None:
        """`pattern` must not change with a key: a rollback takes policies back to what they were
        before it deletes what the update made, and then the new key's job has to be stopped."""
        grant_named(
            self.role,
            ["sagemaker:DescribeTrainingJob", "sagemaker:StopTrainingJob"],
            f"training-job/{pattern}",
            why="a job's name ends in its key and its build's number; the app's own jobs begin so",
        )
        grant_unscoped(self.role, LIST_TRAINING_JOBS)

    def hears_of(self, scope: Construct, project: codebuild.CfnProject) -> events.Rule:
        """Every end of the project's builds."""
        return events.Rule(
            scope,
            "Ended",
            event_pattern=events.EventPattern(
                source=["aws.codebuild"],
                detail_type=["CodeBuild Build State Change"],
                detail={
                    "project-name": [project.ref],
                    "build-status": ["SUCCEEDED", "FAILED", "FAULT", "STOPPED", "TIMED_OUT"],
                },
            ),
            targets=[
                targets.LambdaFunction(
                    self.function,
                    dead_letter_queue=self._dead_letters,
                    max_event_age=EVENT_LIVES,
                    # EventBridge's own most.
                    retry_attempts=185,
                )
            ],
        )

    def in_turn(self, run: CustomResource) -> None:
        """Has the stack's builds started in the order of their steps, so that where the account may
        have one at a time, a short one that comes first doesn't wait for a long one."""
        if self._last:
            run.node.add_dependency(self._last)
        self._last = run
