"""What the container runs: `python -m generator_app.serve`.

ECS gives it the API's address and key; the sign-in it looks up itself. At the first start there is
nothing to find yet: a client of the user pool needs the service's address, which is there when the
service is. Pages ask again (sign_in.py), and let nobody in until then.
"""

from __future__ import annotations

import os
import sys

from generator_app.open_id import SECRETS, NoSignIn, set_up
from generator_app.sign_in import USER_POOL


def main() -> None:
    pool = os.environ.get(USER_POOL)
    if not pool:
        # Without it every page would be open to whoever finds the address.
        sys.exit(f"{USER_POOL} is empty: it names the user pool whose users may come in")
    try:
        set_up(pool)
    except NoSignIn as error:
        # The load balancer has to see the app alive; each page tries again.
        print(f"Pages wait: {error}", flush=True)
    command = ["streamlit", "run", "generator_app/gated.py", "--secrets.files", str(SECRETS)]
    os.execv(sys.executable, [sys.executable, "-m", *command])


if __name__ == "__main__":
    main()
