"""The front door: the Lambda behind the REST API.

A request goes `handler` → `request_body` → `generation` (what is asked for) → `variants` (who
serves it) → `time_limit` (can it be done in time, by `picture_time`) → `endpoint` (SageMaker) →
`pictures` (S3).
`errors` is what can go wrong, `api_gateway` is what that means in HTTP.
"""
