"""Asks a service at ADDRESS with KEY by the client that was generated of its description."""

import sys

from upnext_client import AuthenticatedClient, Client
from upnext_client.api.feedback import get_feedback_by_first
from upnext_client.api.health import get_health_ready
from upnext_client.api.items import get_item_by_id, post_item
from upnext_client.api.metarank import post_root_rank_by_model
from upnext_client.api.recommendations import get_popular
from upnext_client.api.v2 import get_v2_history_by_user, get_v2_recommend_by_user, post_v2_events, post_v2_recommend
from upnext_client.models import PostItemBody, PostRootRankByModelBody, PostV2EventsBodyItem, PostV2RecommendBody

address, key = sys.argv[1:3]
client = AuthenticatedClient(base_url=address, token=key, prefix="", auth_header_name="X-API-Key")

ready = get_health_ready.sync(client=client)
assert ready.ready is True, ready

event = PostV2EventsBodyItem.from_dict({"user": "ann", "video": "space1", "action": "like", "event_id": "e1"})
assert post_v2_events.sync(client=client, body=[event]).accepted == 1
past = get_v2_history_by_user.sync("ann", client=client)
assert past.total == 1 and past.events[0].video == "space1", past

slate = get_v2_recommend_by_user.sync("ann", client=client, n=3, category=["space"], exclude=["space2"])
assert len(slate.items) == 3 and all(item.id.startswith("space") for item in slate.items), slate
assert slate.items[0].reason.text and slate.request_id
asked = post_v2_recommend.sync(client=client, body=PostV2RecommendBody.from_dict({"picks": ["crime1"], "n": 2}))
assert len(asked.items) == 2

item = {"ItemId": "new", "Categories": ["space"], "Comment": "New", "Timestamp": "2026-01-01T00:00:00Z"}
assert post_item.sync(client=client, body=PostItemBody.from_dict(item)).row_affected == 1
assert get_item_by_id.sync("new", client=client).comment == "New"
assert len(get_popular.sync(client=client, n=2)) == 2
page = get_feedback_by_first.sync("like", client=client, n=10)
assert page.feedback and page.cursor == "", page
ranking = {"id": "r1", "timestamp": "1767225600000", "user": "ann", "items": [{"id": "space3"}, {"id": "crime1"}]}
ranked = post_root_rank_by_model.sync("any", client=client, body=PostRootRankByModelBody.from_dict(ranking), explain=True)
assert [one.item for one in ranked.items][0] == "space3" and ranked.items[0].features, ranked

# What goes wrong is told in the same shape everywhere.
wrong = get_v2_recommend_by_user.sync("ann", client=client, n=0)
assert wrong.error.code == "bad_parameter" and wrong.error.hint, wrong
stranger = get_v2_history_by_user.sync_detailed("ann", client=Client(base_url=address))
assert stranger.status_code == 401 and stranger.parsed.error.code == "unauthorised", stranger
print("walked")
