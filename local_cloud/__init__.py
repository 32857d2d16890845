"""The local cloud: MiniStack on 127.0.0.1, plus SageMaker and a CodeBuild that runs builds here.

`python -m local_cloud serve` boots it; `up` and `smoke` deploy the app to it as well.
"""
