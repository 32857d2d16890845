"""AWS's limits that more than one side has to know, each with its source."""

# InvokeEndpoint: botocore's sagemaker-runtime model, BodyBlob; API reference: 60 seconds.
INVOCATION_BYTES = 6_291_456
INVOCATION_S = 60
# Of SageMaker's custom attributes: who asks waits for longer, as only callers of an asynchronous
# endpoint can.
PATIENT = "patient"
# API Gateway's integration time-out for a regional REST API; more needs a quota change.
GATEWAY_S = 29
# Lambda's, of a request and of a response (docs: Lambda quotas). It refuses a longer response, and
# the gateway then gives a 502 that explains nothing.
LAMBDA_BYTES = 6_291_456
# ContainerStartupHealthCheckTimeoutInSeconds, ModelDataDownloadTimeoutInSeconds.
STARTUP_S = (60, 3_600)
# A parameter of the standard tier (SSM, PutParameter).
PARAMETER_CHARS = 4_096
# How long S3 honours a presigned URL at most (docs: Sharing objects with presigned URLs).
PRESIGNED_URL_S = 604_800
