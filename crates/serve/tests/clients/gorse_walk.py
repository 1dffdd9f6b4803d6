"""Walks every method of PyGorse, synchronous and asynchronous, against a service at ADDRESS with KEY."""

import asyncio
import inspect
import sys

from gorse import AsyncGorse, Gorse, GorseException, Score

address, key = sys.argv[1:3]
called = set()


def methods(kind):
    return {name for name, f in inspect.getmembers(kind, inspect.isfunction) if not name.startswith("_")}


class Walk:
    """One client; notes what was called, and waits for an answer where there is something to wait for."""

    def __init__(self, client, loop=None):
        self.client, self.loop = client, loop

    def __getattr__(self, name):
        def call(*args, **kwargs):
            called.add((type(self.client).__name__, name))
            answer = getattr(self.client, name)(*args, **kwargs)
            return self.loop.run_until_complete(answer) if inspect.isawaitable(answer) else answer

        return call


def missing(f, *args):
    try:
        f(*args)
    except GorseException as error:
        assert error.status_code == 404, error
    else:
        raise AssertionError(f"{args} is still there")


def walk(g, p):
    """`p` keeps the ids of one walk apart from those of the other."""
    time = "2022-11-20T13:55:27Z"
    user = {"UserId": p + "100", "Labels": {"gender": "M"}, "Comment": "a"}
    assert g.insert_user(user) == {"RowAffected": 1}
    assert g.get_user(p + "100") == user
    assert g.insert_users([{"UserId": p + n, "Labels": {}, "Comment": ""} for n in ("101", "102")]) == {"RowAffected": 2}
    seen, cursor = [], ""
    while True:
        page, cursor = g.get_users(1, cursor)
        assert len(page) <= 1
        seen += [one["UserId"] for one in page]
        if not cursor:
            break
    assert {p + "100", p + "101", p + "102"} <= set(seen) and len(seen) == len(set(seen))
    assert g.delete_user(p + "102") == {"RowAffected": 1}
    missing(g.get_user, p + "102")

    item = {
        "ItemId": p + "200", "IsHidden": False, "Labels": {"topics": ["x"]}, "Categories": ["space", "new"],
        "Timestamp": time, "Comment": p + " comment",
    }
    assert g.insert_item(item) == {"RowAffected": 1}
    assert g.get_item(p + "200") == item
    assert g.update_item(p + "200", comment="another " + p + " comment", categories=["space"]) == {"RowAffected": 1}
    changed = g.get_item(p + "200")
    assert changed["Comment"] == "another " + p + " comment" and changed["Categories"] == ["space"]
    assert changed["Labels"] == item["Labels"] and changed["Timestamp"] == time
    items, cursor = g.get_items(100)
    assert p + "200" in [one["ItemId"] for one in items]
    found = g.search_items("space number 3", 5)
    assert found[0]["ItemId"] == "space3", found

    # Sent twice, values add up: that is how POST /api/feedback means it.
    assert g.insert_feedback("watch", p + "100", "space1", time, 0.25) == {"RowAffected": 1}
    assert g.insert_feedback("watch", p + "100", "space1", time, 0.5) == {"RowAffected": 1}
    rows = [
        {"FeedbackType": "like", "UserId": p + "100", "ItemId": "space2", "Value": 1, "Timestamp": time},
        {"FeedbackType": "like", "UserId": p + "100", "ItemId": "crime1", "Value": 1, "Timestamp": time},
    ]
    assert g.insert_feedbacks(rows) == {"RowAffected": 2}
    watched = g.list_feedbacks("watch", p + "100")
    assert [(one["ItemId"], one["Value"]) for one in watched] == [("space1", 0.75)], watched
    everything, cursor = g.get_feedbacks(1)
    assert len(everything) == 1 and cursor
    assert g.delete_feedback(p + "100", "crime1") == {"RowAffected": 1}

    scores = g.get_recommend(p + "100", n=3)
    assert len(scores) == 3 and all(isinstance(one, Score) for one in scores)
    assert not {"space1", "space2"} & {one.id for one in scores}
    of_kind = g.get_recommend(p + "100", category="crime", n=2, offset=1)
    assert all(one.id.startswith("crime") for one in of_kind), of_kind
    written = g.get_recommend(p + "101", n=2, write_back_type="read", write_back_delay="10m")
    assert {one["ItemId"] for one in g.list_feedbacks("read", p + "101")} == {one.id for one in written}
    again = g.get_recommend(p + "101", n=2)
    assert [one.id for one in again] == [one.id for one in written], "it counts after ten minutes"
    g.get_recommend(p + "101", n=2, write_back_type="read")
    assert not {one.id for one in written} & {one.id for one in g.get_recommend(p + "101", n=2)}
    session = g.session_recommend([{"FeedbackType": "like", "UserId": "", "ItemId": "crime1", "Timestamp": time}], 3)
    assert len(session) == 3 and "crime1" not in [one["Id"] for one in session]
    near = g.get_neighbors("space1", 2, 1)
    assert len(near) == 2 and near[0]["Id"].startswith("space"), near
    assert g.delete_item(p + "200") == {"RowAffected": 1}
    missing(g.get_item, p + "200")


walk(Walk(Gorse(address, key)), "s")
walk(Walk(AsyncGorse(address, key), asyncio.new_event_loop()), "a")
left = {(kind.__name__, name) for kind in (Gorse, AsyncGorse) for name in methods(kind)} - called
assert not left, f"not walked: {left}"
print(f"walked {len(called)} methods")
