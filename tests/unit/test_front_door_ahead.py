"""Made once, whoever wants it first."""

import threading

import pytest

from front_door.ahead import Ahead


def test_what_is_being_made_is_waited_for_and_made_once() -> None:
    begun, may_end, made = threading.Event(), threading.Event(), []

    def make() -> str:
        begun.set()
        may_end.wait(10)
        made.append("made")
        return "value"

    ahead = Ahead(make)
    ahead.start()
    assert begun.wait(10)
    threading.Timer(0.01, may_end.set).start()
    assert ahead() == "value"
    ahead.start()
    assert (ahead(), made) == ("value", ["made"])


def test_nobody_has_to_start_it() -> None:
    assert Ahead(lambda: 7)() == 7


def test_what_fails_ahead_fails_where_it_is_wanted() -> None:
    ahead = Ahead(lambda: 1 // 0)
    ahead.start()
    with pytest.raises(ZeroDivisionError):
        ahead()
