"""SageMaker's and the gateway's limits, as the front door and the containers have them.

Not to be imported by what runs in a container's place: its `sd_contract` is the image's.
"""

import sys

from local_cloud.settings import REPOSITORY

sys.path.append(str(REPOSITORY / "model_assets"))

from sd_contract.limits import GATEWAY_S, INVOCATION_BYTES, INVOCATION_S

__all__ = ["GATEWAY_S", "INVOCATION_BYTES", "INVOCATION_S"]
