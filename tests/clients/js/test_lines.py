"""The JavaScript client where its line breaks, without a browser: `lines.mjs` has the stories."""

import json
import os
import shutil
import subprocess
from typing import Any

import pytest

from tests.support.paths import ROOT

HERE = ROOT / "tests/clients/js"
MODULES = ROOT / "gateway/static/client"
IN_CI = os.environ.get("CI") == "true"
LIMIT_S = 60

pytestmark = pytest.mark.skipif(shutil.which("node") is None and not IN_CI, reason="needs Node")


@pytest.fixture(scope="module")
def came(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What came of each story. One run of Node has them all."""
    folder = tmp_path_factory.mktemp("client")
    modules = shutil.copytree(MODULES, folder / "client")
    (folder / "package.json").write_text('{"type": "module"}')
    program = ["node", HERE / "lines.mjs", modules]
    told = subprocess.run(program, capture_output=True, check=True, timeout=LIMIT_S)
    found: dict[str, Any] = json.loads(told.stdout)
    return found


STORIES: dict[str, Any] = {
    "what_is_typed_before_the_interviewer_is_there": [["At once."], ["unsent", "sending"]],
    "what_has_arrived_is_not_sent_again": [
        ["It has arrived.", "It was lost."],
        ["It was lost."],
        ["It has arrived.", "It was lost."],  # which are not in a transcript yet
    ],
    "what_is_typed_in_a_silence_is_sent_once": ["silent", "live", ["Is anybody there?"]],
    "an_answer_whose_packet_was_sent_again_is_in_time": ["live", "live", "silent"],
    "a_hidden_tab_notices_a_silence": ["live", "silent"],
    "in_another_conversation_the_transcript_shows_what_has_arrived": [
        ["It was lost.", "Typed meanwhile."],
        {"It is stored.": "accepted", "It was lost.": "sending", "Typed meanwhile.": "sending"},
    ],
    "where_the_pass_has_expired_nothing_is_said_twice": [
        ["Typed meanwhile."],
        {"It may have arrived.": "refused", "Typed meanwhile.": "sending"},
    ],
    "what_a_page_before_had_typed_is_given_back_where_its_pass_has_expired": [
        [],
        {"Earlier.": "refused"},
    ],
    "of_a_conversation_that_goes_on_the_count_is_enough": [
        ["It was lost."],
        {"It has arrived.": "accepted", "It was lost.": "sending"},
    ],
    "a_result_that_was_lost_is_sent_again_while_its_reply_waits": [
        [["b", {"page": 3}], ["c", "later"]],
        [["b", {"page": 3}], ["c", "later"]],
        [],
    ],
    "a_result_for_a_conversation_that_is_lost_is_not_sent_in_the_next": [],
    "who_ends_on_a_lost_line_is_heard_when_it_is_back": [2, ["text", "bye"], "ended", 2],
    "a_goodbye_that_was_lost_with_the_line_is_said_again": [1, 1, "ended", 2],
    "a_goodbye_on_a_line_that_breaks_for_good_ends_the_interview": [1, "ended"],
    "a_goodbye_follows_what_was_typed_on_a_line_that_is_not_ready": ["text", "bye"],
    "a_transcript_that_breaks_off_is_asked_for_again": ["My last words."],
    "a_session_that_is_over_is_not_begun_anew_to_end_it": ["ended", 2],
    "a_line_that_does_not_come_back_ends_the_interview_all_the_same": [
        "reconnecting",
        "ended",
        ["The server was not reached: it ends the interview by itself."],
        0,
    ],
    "who_ends_in_a_silence_is_heard_over_a_new_line": ["silent", 1, 4000, 1, "ended"],
    "the_end_waits_for_what_was_typed": [0, ["text", "bye"]],
    "an_interview_is_connected_once": ["An interview is connected once.", 1, 1],
    "who_closes_while_it_connects_has_no_interview": ["closed", ["microphone"], 0, 0],
    "its_own_microphone_is_closed_although_another_was_put_in_its_place": ["its own"],
}


@pytest.mark.parametrize("story", STORIES)
def test_when_the_line_breaks(story: str, came: dict[str, Any]) -> None:
    assert STORIES[story] == came[story]


def test_every_story_is_looked_at(came: dict[str, Any]) -> None:
    assert STORIES.keys() == came.keys()
