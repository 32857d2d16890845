"""The batches' table, as moto's DynamoDB has it: whatever is written twice is written once."""

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.session import Session

from batches.records import (
    CANCELLED,
    CANCELLING,
    COMPLETED,
    FINALIZING,
    IN_PROGRESS,
    VALIDATING,
    Batch,
    File,
)
from batches.store import NotThere, Store, Taken, new_id
from tests.fakes import batches as fakes
from tests.fakes.batches import batch, drawn, failed, units
from tests.fakes.front_door import NOW, client_error


@pytest.fixture
def session() -> Iterator[Session]:
    with fakes.aws() as session:
        yield session


@pytest.fixture
def store(session: Session) -> Store:
    return fakes.store(session)


FULL = batch(
    metadata={"project": "foxes"},
    status=COMPLETED,
    price_usd_per_hour=1.4084,
    billed_s=7,
    closed=True,
    errors=({"code": "x", "line": 3, "message": "m", "param": None},),
    completed_at=9,
)
A_FILE = File("file-1", 1, 2, "in.jsonl", "batch", "files/file-1.jsonl", 0, upload_bytes=12)


@pytest.mark.parametrize("record", [batch(), FULL], ids=["new", "full"])
def test_a_batch_is_kept_as_it_is(store: Store, record: Batch) -> None:
    store.add(record)
    assert store.batch(record.id) == record


def test_a_file_is_kept_until_it_is_deleted(store: Store) -> None:
    store.add(A_FILE)
    assert store.file("file-1") == A_FILE
    store.stored("file-1", 12)
    assert (store.file("file-1").bytes, store.file("file-1").upload_bytes) == (12, 0)
    store.delete_file("file-1")
    with pytest.raises(NotThere):
        store.file("file-1")


def test_a_file_that_was_deleted_is_not_brought_back(store: Store) -> None:
    with pytest.raises(Exception, match="ConditionalCheckFailed"):
        store.stored("file-1", 12)


def test_the_list_is_by_time_newest_first_and_paged(store: Store) -> None:
    ids = [new_id(NOW + each) for each in range(5)]
    for each in ids:
        store.add(batch(each))
    newest, more = store.list(Batch, 2)
    assert ([each.id for each in newest], more) == ([ids[4], ids[3]], True)
    rest, more = store.list(Batch, 3, after=ids[3])
    assert ([each.id for each in rest], more) == ([ids[2], ids[1], ids[0]], False)
    assert store.list(File, 3) == ([], False)


def test_a_key_makes_one_batch(store: Store) -> None:
    store.add_once(batch("first"), "key", "a request")
    with pytest.raises(Taken) as taken:
        store.add_once(batch("second"), "key", "another request")
    assert (taken.value.batch_id, taken.value.fingerprint) == ("first", "a request")
    with pytest.raises(NotThere):
        store.batch("second")


def test_a_key_is_free_again_after_a_day(session: Session, store: Store) -> None:
    store.add_once(batch("first"), "key", "a request")
    later = Store(session.create_client("dynamodb"), store.name, now=lambda: NOW + 86_401)
    later.add_once(batch("second"), "key", "a request")
    assert store.batch("second").id == "second"


def test_a_status_changes_from_where_it_may_alone(store: Store) -> None:
    store.add(batch())
    changed = store.change("batch_1", (VALIDATING,), status=IN_PROGRESS, in_progress_at=5)
    assert changed == store.batch("batch_1") == batch(status=IN_PROGRESS, in_progress_at=5)
    assert store.change("batch_1", (VALIDATING, CANCELLED), status=CANCELLING) is None
    assert store.batch("batch_1") == changed


def counted(store: Store) -> tuple[int, int, int]:
    found = store.batch("batch_1")
    return found.completed, found.failed, found.pictures


def test_a_unit_counts_once(store: Store) -> None:
    running = batch(status=IN_PROGRESS, total=2)
    store.add(running)
    [unit] = units()
    assert store.count(running, unit, drawn(unit))
    assert not store.count(running, unit, drawn(unit))
    assert counted(store) == (1, 0, 1)
    assert (store.batch("batch_1").instance_ms, store.batch("batch_1").input_tokens) == (20, 7)


def test_a_line_counts_with_its_last_picture_in_whatever_order(store: Store) -> None:
    running = batch(status=IN_PROGRESS, total=1)
    store.add(running)
    first, second, third = units(images=3)
    for unit, so_far in ((third, (0, 0, 1)), (first, (0, 0, 2)), (first, (0, 0, 2))):
        store.count(running, unit, drawn(unit))
        assert counted(store) == so_far
    assert not store.batch("batch_1").all_counted
    store.count(running, second, drawn(second))
    assert counted(store) == (1, 0, 3)
    assert store.batch("batch_1").all_counted
    assert store.batch("batch_1").input_tokens == 7  # of the line's one prompt


def test_a_line_with_a_picture_that_failed_has_failed(store: Store) -> None:
    running = batch(status=IN_PROGRESS, total=2)
    store.add(running)
    first, second = units(images=2)
    store.count(running, first, failed(first))
    store.count(running, second, drawn(second))
    [alone] = units(line=2)
    store.count(running, alone, failed(alone))
    assert counted(store) == (0, 2, 1)


@pytest.mark.parametrize(
    ("state", "counts"),
    [
        ({"status": CANCELLING}, True),
        ({"status": FINALIZING}, True),
        ({"status": FINALIZING, "closed": True}, False),
        ({"status": CANCELLED}, False),
    ],
)
def test_what_is_at_hand_counts_until_the_batch_is_closed(
    store: Store, state: dict[str, Any], counts: bool
) -> None:
    store.add(batch(**state))
    [unit] = units()
    assert store.count(batch(), unit, drawn(unit)) is counts
    assert counted(store)[0] == counts


class Contended:
    """DynamoDB whose writes meet another's transaction `conflicts` times, at the batch."""

    def __init__(self, client: Any, conflicts: int) -> None:
        self.client, self.conflicts = client, conflicts

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)

    def transact_write_items(self, **kwargs: Any) -> Any:
        if self.conflicts:
            self.conflicts -= 1
            reasons = [{"Code": "None"}, {"Code": "TransactionConflict"}]
            raise client_error("TransactionCanceledException", CancellationReasons=reasons)
        return self.client.transact_write_items(**kwargs)

    def update_item(self, **kwargs: Any) -> Any:
        if self.conflicts:
            self.conflicts -= 1
            raise client_error("TransactionConflictException")
        return self.client.update_item(**kwargs)


def test_a_count_that_meets_another_s_comes_again(session: Session) -> None:
    contended = Contended(session.create_client("dynamodb"), 3)
    store = fakes.store(session, contended)
    store.add(batch(status=IN_PROGRESS))
    [unit] = units()
    assert store.count(batch(), unit, drawn(unit))
    assert counted(store) == (1, 0, 1)
    contended.conflicts = 99
    [unit] = units(line=2)
    with pytest.raises(TimeoutError):
        store.count(batch(), unit, drawn(unit))


def test_other_writes_that_meet_one_come_again(session: Session) -> None:
    """API reference, TransactWriteItems: either may be refused."""
    contended = Contended(session.create_client("dynamodb"), 3)
    store = fakes.store(session, contended)
    store.add_once(batch("first"), "key", "a request")
    contended.conflicts = 3
    with pytest.raises(Taken):
        store.add_once(batch("second"), "key", "a request")
    contended.conflicts = 3
    changed = store.change("first", (VALIDATING,), status=CANCELLING)
    assert changed == batch("first", status=CANCELLING)
    contended.conflicts = 99
    with pytest.raises(Exception, match="TransactionConflictException"):
        store.change("first", (CANCELLING,), status=CANCELLED)


def test_a_failure_of_the_table_passes_through(session: Session) -> None:
    store = Store(session.create_client("dynamodb"), "no-such-table")
    [unit] = units()
    with pytest.raises(Exception, match="ResourceNotFound"):
        store.count(batch(), unit, drawn(unit))
