"""The front door: the Lambda behind the REST API.

A request goes `handler` → `service` → `request_body` → `generation` (what is asked for) →
`variants` (who serves it) → `edit_pictures` (what an edit starts from) → `time_limit` (can it be
done in time, by `picture_time`) → `endpoint` (SageMaker) → `picture_bucket` (S3) →
`gallery` (where they are to be kept) → `response_body`. Texts to embed go by `embedding` and the
endpoint alone; what is asked of kept pictures by `gallery` alone.
`errors` is what can go wrong, `api_gateway` is what that means in HTTP, `request_log` what is kept
of it. `openapi` and `served_openapi` write the API's document.
"""
