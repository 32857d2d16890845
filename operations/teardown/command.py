"""`python -m operations teardown [--remove app|all]`."""

from collections.abc import Collection, Iterable, Sequence

from operations.account import Clients
from operations.teardown.kinds import KEY_DAYS, KINDS, NotRemoved
from operations.teardown.left import STACK, TOOLKIT, Left, left, shared, standing
from stacks.settings import Names

# CloudFormation is asked so often, for so long, whether it has deleted the bootstrap stack.
POLL_S, POLLS = 1, 600


def teardown(
    clients: Clients, names: Names, variants: Collection[str], region: str, remove: str
) -> int:
    """Lists what is left, and takes away the app's own (`remove` "app") or what other apps may use
    as well ("all"). The exit status: 1 where stacks stand, or what was to go is still there."""
    account = clients("sts").get_caller_identity()["Account"]
    where = f"account {account}, {region}"
    if stacks := standing(clients, names, variants):
        print(f"These stacks stand in {where}; first: npx cdk destroy --all")
        print(_lines(f"{name}  {status}" for name, status in stacks.items()))
        return 1
    if remove:
        own = _take_away(clients, left(clients, names, variants))
        others = _take_away(clients, shared(clients)) if remove == "all" else 0
        print(f"Removed {own + others}.\n")
    return _tell(clients, names, variants, where, remove)


def _tell(
    clients: Clients, names: Names, variants: Collection[str], where: str, remove: str
) -> int:
    own, others = left(clients, names, variants), shared(clients)
    prefix = names.prefix
    if own:
        print(f"Left of {prefix} in {where}:\n{_lines(own)}")
    else:
        print(f"Nothing is left of {prefix} in {where}.")
    if others:
        print(f"Left for all apps of the account:\n{_lines(others)}")
    elif not own:
        print("Nothing is left for all apps of the account either.")
    if own and not remove:
        print("make teardown REMOVE=app takes away what is this app's.")
    if others and remove != "all":
        print("make teardown REMOVE=all takes away what others may use, too.")
    wanted = {"app": own, "all": [*own, *others]}.get(remove, [])
    return 1 if wanted else 0


def _take_away(clients: Clients, found: Sequence[Left]) -> int:
    """How many went."""
    count = 0
    for each in found:
        try:
            gone = _remove(clients, each)
        except NotRemoved as error:
            print(f"stays: {error}")
            continue
        if gone:
            count += 1
            later = f" in {KEY_DAYS} days, until when it can be cancelled" * ("KMS" in each.type)
            print(f"removed: {each.type} {each.name}{later}", flush=True)
    return count


def _remove(clients: Clients, each: Left) -> bool:
    """False for what only a person can decide about."""
    if each.type == STACK:
        cloudformation = clients("cloudformation")
        cloudformation.delete_stack(StackName=TOOLKIT)
        waiter = cloudformation.get_waiter("stack_delete_complete")
        waiter.wait(StackName=TOOLKIT, WaiterConfig={"Delay": POLL_S, "MaxAttempts": POLLS})
        # Its bucket is kept.
        _take_away(clients, [kept for kept in shared(clients) if kept.of == TOOLKIT])
        return True
    remove = KINDS[each.type].remove
    if remove is None:
        return False
    remove(clients, each.name)
    return True


def _lines(items: Iterable[object]) -> str:
    return "\n".join(f"  {item}" for item in items)
