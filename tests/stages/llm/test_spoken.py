import re
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.llm._agent_script import MOST_KEPT, AgentScript
from stages.llm._reasoning import MOST_UNOPENED, SaidText
from stages.llm._spoken import LIMIT, SpokenText


def spoken(*deltas: str, one_turn: bool = False) -> str:
    text = SpokenText(one_turn=one_turn)
    return "".join(text.push(delta) for delta in deltas) + text.finish()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("**Great!** Use `map`.", "Great! Use map."),
        ("# Heading\n\n* one\n* two", "Heading.\n\none.\ntwo"),
        ("- **Speed**: fast\n- cost\n\nWhich?", "Speed: fast.\ncost.\n\nWhich?"),
        ("1. one\n2. two\nWhich?", "1. one.\n2. two.\nWhich?"),
        ("Hi\n\n---\n\nBye", "Hi\n\n\nBye"),
        ("> quoted\n> 5 is big", "quoted\n> 5 is big"),
        ("Here:\n```python\n# no\nx = 1\n```\nWhy?", "Here:\nWhy?"),
        ("```x``` inline", "x inline"),
        ("~~~\ncode", ""),
        ("Look:\n| a | b |\n|---|---|\n| 1 | 2 |\n\nWhy?", "Look:\n\nWhy?"),
        ("|x| is a number", "|x| is a number"),
        ("5 * 3, 2*3, 2 ** 10 and `a * b`", "5 * 3, 2*3, 2 ** 10 and a * b"),
        ("-5, +5 and - 5", "-5, +5 and - 5"),
        ("*pauses* So, why Postgres?", "So, why Postgres?"),
        ("Good. *straightens the papers* Shall we?", "Good. Shall we?"),
        ("*pandas* is *very* good", "pandas is very good"),
        ("a *b and **c", "a b and c"),
        ("C# and F#, issue #12", "C# and F#, issue 12"),
        ("Why&#39;s it &#x27;new&#x27;?", "Why&#39;s it &#x27;new&#x27;?"),
        ("<think>Hm, what?</think>\n\nTell me more.", "Tell me more."),
        ("\n <think>Hm.</think>Go on.", "Go on."),
        ("<think>without end", ""),
        ("<thinking>They are nervous.</thinking> Why?", "Why?"),
        ("Sure. <think>Hm.</think>Why?", "Sure. Why?"),
        ("a < b and <b>", "a < b and <b>"),
        ("[THINK]Hm[/THINK]Why?", "Why?"),
        ("◁think▷Hm◁/think▷Why?", "Why?"),
        ("<|START_THINKING|>Hm<|END_THINKING|>Why?", "Why?"),
        (
            "<|channel|>analysis<|message|>Hm<|end|><|start|>assistant<|channel|>final<|message|>"
            "Tell me about Redis.<|return|>",
            "Tell me about Redis.",
        ),
        ("<|im_start|>assistant\nWhy?<|im_end|>\n<|im_start|>user\nHm", "Why?"),
        ("<|start_header_id|>assistant<|end_header_id|>\n\nWhy?<|eot_id|>", "Why?"),
        ("<start_of_turn>model\nWhy?<end_of_turn>", "Why?"),
        ("Why?</s>[INST] Because", "Why?"),
        ("Why?<｜end▁of▁sentence｜>", "Why?"),
        ('{"name": "lookup", "arguments": {}}', ""),
        ('<think>Hm</think>\n[{"name": "lookup"}]', ""),
        ('<tool_call>\n{"name": 1}\n</tool_call>', ""),
        ("<function=lookup>{}</function>Why?", "Why?"),
        ('[TOOL_CALLS][{"name": 1}]', ""),
        ('<think type="long">Hm</think>Why?', "Why?"),
        ("< think >Hm< / think >Why?", "Why?"),
        ("<think/>Why?", "Why?"),
        ("<analysis>Hm</analysis>Why?", "Why?"),
        ("<inner_monologue>Hm</inner_monologue>Why?", "Why?"),
        ("<antThinking>Hm</antThinking>Why?", "Why?"),
        ("<|thinking|>Hm<|/thinking|>Why?", "Why?"),
        ("<|channel>thought\nHm<channel|>Why?<turn|>", "Why?"),
        ("<unused94>thought\nHm<unused95>Why?", "Why?"),
        ("<|tool_call>call:x{q:1}<tool_call|>", ""),
        (
            "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>x\n```json\n{}\n```"
            "<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
            "",
        ),
        (
            "<|tool_calls_section_begin|><|tool_call_begin|>functions.x:0"
            '<|tool_call_argument_begin|>{"q":1}<|tool_call_end|><|tool_calls_section_end|>',
            "",
        ),
        ('<minimax:tool_call><invoke name="x"></invoke></minimax:tool_call>', ""),
        ('<invoke name="x"><parameter name="q">1</parameter></invoke>', ""),
        ('<tool_use>{"name":"x"}</tool_use>', ""),
        ('[get_weather(city="Leeds")]', ""),
        ('functions.lookup({"q": 1})', ""),
        ('{"action": "search", "action_input": "x"}', ""),
        ('{"id":"call_1","type":"function","function":{"name":"x"}}', ""),
        ("if a < s and b > c", "if a < s and b > c"),
        ("if a < s > b", "if a < s > b"),
        ("&lt;think&gt;Hm&lt;/think&gt;Why?", "Why?"),
        ("&LT;Thinking&GT;Hm&#60;/Thinking&#x3E; Why?", "Why?"),
        ("&amp;lt;think&amp;gt;Hm&amp;lt;/think&amp;gt;Why?", "Why?"),
        ("&lt;think>Hm&lt;/think>Why?", "Why?"),
        ("\\u003cthink\\u003eHm\\u003c/think\\u003eWhy?", "Why?"),
        ("＜think＞Hm＜/think＞Why?", "Why?"),
        ("&lt;|channel|&gt;analysis&lt;|message|&gt;Hm&lt;|end|&gt;Why?", "Why?"),
        ("R&D and A&B at&t &lt;b&gt; \\u &", "R&D and A&B at&t &lt;b&gt; \\u &"),
        ("[THINKING]Hm[/THINKING]Why?", "Why?"),
        ("[thinking] Why?", "[thinking] Why?"),
        ("◁thinking▷Hm◁/thinking▷Why?", "Why?"),
        ("<chain-of-thought>Hm</chain-of-thought>Why?", "Why?"),
        ("<reasoning_steps>Hm</reasoning_steps>Why?", "Why?"),
        ("<|begin_of_thought|>Hm<|end_of_thought|>Why?", "Why?"),
        ("<|think_start|>Hm<|think_end|>Why?", "Why?"),
        ("<think_never_used_51bce0c785ca>Hm</think_never_used_51bce0c785ca>Why?", "Why?"),
        ("<think><think>Hm</think>Why?", "Why?"),
        ("<|channel|>analysis We ask.<|channel|>final Why?", "Why?"),
        ("<|channel|>analysisWe ask.<|end|><|channel|>finalWhy?", "Why?"),
        ("<|channel|>analysis\nWe ask.<|end|>\nWhy?", "Why?"),
        ("<|channel|>final <|constrain|>text<|message|>Why?", "Why?"),
        ("<|channel|>commentary to=functions.x <|constrain|>json<|message|>{}<|call|>", ""),
        ("<|channel|>commentary json<|message|>{}<|call|>", ""),
        ("<|channel|>final json<|message|>Why?", "Why?"),
        ("<|channel|>final text <|message|>Why?", "Why?"),
        ("<|channel|>final code review is next. Why?", "code review is next. Why?"),
        ("final json<|message|>Why?", "Why?"),
        ("assistant final<|message|>Why?", "Why?"),
        ("analysis<|message|>Hm<|end|><|start|>assistant<|channel|>final<|message|>Why?", "Why?"),
        ("analysis json<|message|>Hm<|end|>final<|message|>Why?", "Why?"),
        ('commentary to=functions.x json<|message|>{"a":1}<|call|>', ""),
        ("<|channel|>final<|message|>Why?<|end|><|start|>user<|message|>Because", "Why?"),
        ("final question: why?", "final question: why?"),
        ("final", "final"),
        (
            "Hm. What is in the <failure-reason> element? Why?",
            "Hm. What is in the <failure-reason> element? Why?",
        ),
        ("Hm. In Struts, <action> maps a path. Why?", "Hm. In Struts,  maps a path. Why?"),
        ("<|channel|>analysis code<|message|>x = 1<|end|>", ""),
        ("<action>search</action><observation>x</observation>Why?", "Why?"),
        ("<final_answer>Why?</final_answer>", "Why?"),
        ("Use a List<Action> or Promise<Response>.", "Use a List<Action> or Promise<Response>."),
        ('{"thought": "Hm", "answer": "Why?"}', ""),
        ("functions are fun", "functions are fun"),
        ("[see below] Why?", "[see below] Why?"),
        ('{"a": 1} is JSON', '{"a": 1} is JSON'),
        ("<", "<"),
        ("", ""),
    ],
)
def test_markup_and_reasoning_are_not_spoken(text: str, said: str) -> None:
    assert spoken(text) == said
    assert spoken(*text) == said


PARTS = st.sampled_from(
    [
        *(
            "<think>",
            "</think>",
            "<th",
            "ink>",
            "<|",
            "|>",
            "<|im_start|>",
            "<|im_end|>",
            "<|channel|>",
        ),
        *("<|message|>", "analysis", "[THINK]", "[/THINK]", "{", '"name"', ":", "[", "<tool_call>"),
        *(
            "*",
            "**",
            "#",
            "- ",
            "```",
            "~~~",
            "|",
            "> ",
            "1. ",
            "---",
            "`",
            "_",
            "=",
            "\n",
            " ",
            "\t",
        ),
        *("C", "a.", "smiles", "rubs", "Hm", "5", "+"),
        *("final", " json", "Thoughts: ", "**Reasoning**", "your", "The user"),
        *("Thought:", "Action: ", "Final Answer:", "&lt;", "&gt;", "think", "<|channel|>final "),
        *("Interviewer:", "User", ":", "assistantfinal", "functions.", "(", "<|channel>", "< "),
    ]
)


@given(st.lists(PARTS))
def test_what_is_spoken_does_not_depend_on_how_the_text_was_cut(parts: list[str]) -> None:
    whole = "".join(parts)
    for one_turn in (False, True):
        said = spoken(whole, one_turn=one_turn)
        assert said == spoken(*parts, one_turn=one_turn) == spoken(*whole, one_turn=one_turn)


@pytest.mark.parametrize(
    ("unit", "length"),
    [("Nine char. ", LIMIT + 6), ("。好", LIMIT + 1), ("word ", LIMIT + 504), ("x", LIMIT + 1000)],
)
def test_a_reply_without_end_ends_at_the_best_place_there_is(unit: str, length: int) -> None:
    text = SpokenText()
    said = text.push(unit * 3000)
    assert text.full
    assert text.push(unit) == ""
    assert len(said) == length
    assert said == (unit * 3000)[:length]


def test_a_reply_below_the_limit_is_left_alone() -> None:
    text = SpokenText()
    assert len(text.push("word. " * (LIMIT // 6))) == LIMIT
    assert not text.full


@given(st.lists(PARTS | st.characters()))
def test_no_plain_word_is_lost_behind_an_unfinished_mark(parts: list[str]) -> None:
    text = "".join(part for part in parts if part not in ("{", "|", "~~~", "```"))
    marked = any(mark in text.lower() for mark in ("<", "[", "~", "`", "|", "*", "{"))
    header = re.search("analysis[A-Z]", text)  # of a channel, without marks
    called = re.search(r"(?i)action:\s*\S", text)  # an agent's call, behind which nothing is said
    if not marked and not header and not called:
        assert spoken(f"{text}\nZebra").endswith("Zebra")


def test_a_written_reply_keeps_its_table_and_its_code() -> None:
    text = SpokenText(written=True)
    said = text.push("Look:\n| a | b |\n```\nx = 1\n```\n**Why**?") + text.finish()
    assert said == "Look:\n| a | b |\n\nx = 1\n\nWhy?"


def test_reasoning_that_no_mark_opens_is_known_by_its_end() -> None:
    first = SpokenText()
    first.push("Hm, a question. </think>Why?")
    assert first.closed_unopened
    following = SpokenText(unopened=True)
    assert following.push("Hm, another. ") == ""
    assert following.push("</think>Why not?") + following.finish() == "Why not?"


def test_a_reply_without_the_mark_that_was_expected_is_said_at_its_end() -> None:
    text = SpokenText(unopened=True)
    assert (text.push("Why not?"), text.finish()) == ("", "Why not?")
    assert not text.closed_unopened


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Thought: They seem nervous.\nTell me about Redis.", "Tell me about Redis."),
        ("Thought: They seem nervous.\n\nTell me\nabout Redis.", "Tell me\nabout Redis."),
        ("**Thought:** Hm.\n**Final Answer:** Why?", "Why?"),
        ("Thought 1: Hm.\nMore.\n\nThought 2: Hm.\nFinal Answer: Why?\nSo?", "Why?\nSo?"),
        ("Thought: Hm.\nQuestion: Why?", "Why?"),
        ("Thought: Do I need a tool? No\nAI: Why?", "Why?"),
        ("> Thought: Hm.\n> Answer: Why?", "Why?"),
        ("Reasoning: Hm.\nResponse: Why?", "Why?"),
        ("思考：嗯。\n最终答案：为什么？", "为什么？"),
        ("Gedanke: Hm.\nEndgültige Antwort: Warum?", "Warum?"),
        ("Final Answer: Why?", "Why?"),
        ("Thought: Hm.\nAction: search\nAction Input: redis\nObservation: It is fast.", ""),
        ("Thought: Hm.\nAction: search\nObservation: Fast.\nSo it is.", ""),
        ("Thought: Hm.\nAction: search\nObservation: Fast.\nFinal Answer: Why?", "Why?"),
        ("Thought: Hm.\nFinal Answer: Why?\nThought: Next.\nFinal Answer: How?", "Why?\n"),
        ("Thought: Hm.\nAction: search\nQuestion: And?\nThought: Hm.\nFinal Answer: B?", ""),
        ("Action: search\nAction Input: x", ""),
        ("Action: look_up(redis)", ""),
        ('Action: {"name": "x"}\nObservation: y', ""),
        ("Action: Search[Redis]\nObservation 1: Fast.", ""),
        ("Good.\nThought: Hm.\nAction: search", "Good.\n"),
        ("Good.\nAction Input: x", "Good.\n"),
        ("Thought: only this", ""),
        ("Thought:", ""),
        ("Action: tell me what you did.", "Action: tell me what you did."),
        ("Action: tell me what you did.\nWhy?", "Action: tell me what you did.\nWhy?"),
        (
            "Use this.\nSituation: where\nAction: what\nResult: why",
            "Use this.\nSituation: where\nAction: what\nResult: why",
        ),
        ("Observation: it works. Why?", "Observation: it works. Why?"),
        ("Question: Why?", "Question: Why?"),
        ("Good.\nReasoning: tell me yours.", "Good.\nReasoning: tell me yours."),
        ("Good.\nFinal answer: what is it?", "Good.\nFinal answer: what is it?"),
        ("Thoughts on caching? Actions, too?", "Thoughts on caching? Actions, too?"),
        ("Reasoning: Hm.\nWhy?", "Why?"),
        ("Reasoning:\nThey are vague.\nI should dig.\n\nWhy Redis?", "Why Redis?"),
        ("Reasoning:\n- vague\n- short\n \nWhy Redis?", "Why Redis?"),
        ("Reasoning: The user is vague.\n\nI should dig.\n\nWhy Redis?", "Why Redis?"),
        ("Reasoning:\nThe user is vague.\nWhy Redis?", "Why Redis?"),
        ("Reasoning: The user is vague. I ask. What did you do?", "What did you do?"),
        ("Thoughts: we need to wrap up. Thank you for your time!", "Thank you for your time!"),
        ("Thoughts: they say so. Do you agree?", "Do you agree?"),
        ("Thought: Hm.\nWhat would the user see?\nWhy?", "What would the user see?\nWhy?"),
        ("Thought: Hm.\nWho told the candidate?", "Who told the candidate?"),
        ("Analysis: The candidate is vague.\nWhy Redis?", "Why Redis?"),
        ("**Reasoning**\nThey are vague.\n\n**Response**\nWhy?", "Why?"),
        ("## Analysis\nThey are vague.\n\nWhy Redis?", "Why Redis?"),
        ("# Analysis\nYour plan is fine.\n\nWhy Redis?", "Your plan is fine.\n\nWhy Redis?"),
        ("Good.\nThought: They are vague.\nWhy?", "Good.\nWhy?"),
        ("推理：用户很紧张。\n为什么？", "为什么？"),
        ("Überlegung: Ich sollte nachfragen.\n\nWarum?", "Warum?"),
        ("Thought", "Thought"),
        ("", ""),
    ],
)
def test_what_an_agent_thinks_and_calls_is_not_spoken(text: str, said: str) -> None:
    for parts in ([text], list(text)):
        script = AgentScript()
        assert "".join([*map(script.push, parts), script.finish()]).lstrip("\n") == said


@pytest.mark.parametrize(
    "text",
    [
        "Thoughts: a fine plan. What would you change?",
        "Thoughts: that is a hard problem.\nHow did you test it?",
        "My thoughts: I want to hear about your work.",
        "Good.\nThoughts: any regrets about your design?",
        "**Thoughts:** Where should we begin?",
        "Thinking: fast or slow?\nWhich one suits you?",
        "Reasoning: you left out the cache. Why?",
        "Reasoning: fine.",
        "Thoughts: the user interface of this program was hard. Why?",
        "Reasoning\nabout time is hard. Why?",
        "Gedanken: Das war gut. Was würden Sie ändern?",
    ],
)
def test_a_sentence_that_begins_like_a_thought_is_spoken(text: str) -> None:
    for parts in ([text], list(text)):
        script = AgentScript()
        assert "".join([*map(script.push, parts), script.finish()]) == text


LONG = "The answer names a cache. It does not say what is kept in it.\n" * 80
"""Reasoning without a sign of it but its label, and longer than what is held."""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"Thought: Hm.\n{LONG}\nHow fast is it?", "How fast is it?"),
        (f"Thought:\n{LONG}\n{LONG}\n\nThank you.\nHow fast is it?", "Thank you.\nHow fast is it?"),
        (f"Thought: {LONG}I should ask for numbers.\nHow fast is it?", "How fast is it?"),
        (f"Thought: {LONG}\nI should ask.\nThey are vague. How fast is it?\n", "How fast is it?"),
        (f"Thought: {LONG.replace(chr(10), ' ')}How fast is it?", "How fast is it?"),
        (f"Thought: {LONG.replace(chr(10), ' ')}“How fast is it?”", "“How fast is it?”"),
        (f"Reasoning: you said so.\n{LONG}\nHow fast is it?", "How fast is it?"),
        (f"推理：{LONG}\n\n他们很紧张。为什么？", "为什么？"),
        (f"Thought: {LONG}\nFinal Answer: Why?", "Why?"),
        (f"Thought: {LONG}", ""),
        (f"Thought: {LONG}\nI should ask how fast it is.", ""),
        (f"Thought: {LONG}\nIt was a good answer.", ""),
        (f"Thought: {LONG.replace(chr(10), ' ')}Do they know?", ""),
        ("Thought: Hm.\nIt is fast.\nI should ask why.\nWhy is it fast?", "Why is it fast?"),
        ("Thought: Hm.\nWhy is it fast?\nI should wait.", "Why is it fast?"),
    ],
    ids=map(str, range(15)),
)
def test_of_long_reasoning_nothing_but_its_question_is_spoken(text: str, said: str) -> None:
    for parts in ([text], [text[at : at + 7] for at in range(0, len(text), 7)]):
        script = AgentScript()
        assert "".join([*map(script.push, parts), script.finish()]) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\n\n**How fast is it?**", "**How fast is it?**"),
        ('\n\n"How fast is it?"', '"How fast is it?"'),
        ("\n\n“How fast is it?”", "“How fast is it?”"),
        ("\n\n“为什么？”", "“为什么？”"),
        ("\n\nHow fast is it (roughly?)", "How fast is it (roughly?)"),
        ("\n\n[How fast is it?]", "[How fast is it?]"),
        ("\n**How fast is it?**", "**How fast is it?**"),
        ("\nHow do they agree?", "How do they agree?"),
        ("\nYou led two teams. How did you end their row?",) * 2,
        ("\nThey are vague. How fast is it?", "How fast is it?"),
        ("\n\nHow do they agree? Take your time.",) * 2,
        ("\n还有其他例子吗？", "还有其他例子吗？"),
        ("\n你还有其他例子吗？", "你还有其他例子吗？"),
        ("\n\n请看其他例子。为什么？", "请看其他例子。为什么？"),
        ("\n\n他很紧张。“为什么？”", "“为什么？”"),
    ],
    ids=map(str, range(15)),
)
def test_a_question_behind_long_reasoning_is_spoken_in_any_form(text: str, said: str) -> None:
    for line in (LONG.rstrip(), LONG.replace("\n", " ").rstrip()):
        script = AgentScript()
        assert script.push(f"Thought: {line}{text}") + script.finish() == said.lstrip()


@pytest.mark.parametrize("one_turn", [True, False], ids=["interview", "conversation"])
@pytest.mark.parametrize(
    "text",
    [
        "Describe the hardest bug.",
        "Please explain how it was found.",
        "Good. Now walk us through the outage.",
        "**Name one risk.**",
        "Let's move on to caching.",
        "Thanks, that is all for today. Goodbye.",
        "Beschreiben Sie den Fehler.",
        "Décrivez la panne.",
        "请描述一下这个故障。",
    ],
    ids=map(str, range(9)),
)
def test_a_request_behind_long_reasoning_is_spoken_without_a_question_mark(
    text: str, one_turn: bool
) -> None:
    said = spoken(f"Thought: {LONG}\n\n{text}", one_turn=one_turn)
    assert said == text.replace("*", "")


ANSWER = "Redis keeps its data in memory. Clients send their commands over TCP."


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"Thought: {LONG}\n\n{ANSWER}", ANSWER),
        (f"Thought: {LONG}\n\nI should keep it short.\n\n{ANSWER}", ANSWER),
        (f"Thought: {LONG}\n\nThe answer is too vague.", ""),
        (f"Thought: {LONG}\n\nThey are nervous. That is fine.", ""),
        (f"Thought: {LONG}\n\nMaybe a hint on shards helps.", ""),
        (f"Thought: {LONG}\n\nIt works. I should ask for numbers.", ""),
        (f"Thought: {LONG}{ANSWER}", ""),
    ],
    ids=map(str, range(7)),
)
def test_an_answer_behind_long_reasoning_is_spoken_in_a_conversation(text: str, said: str) -> None:
    assert spoken(text) == said


def test_behind_long_reasoning_an_interviewer_that_asks_nothing_says_nothing() -> None:
    assert spoken(f"Thought: {LONG}\n\n{ANSWER}", one_turn=True) == ""


def test_text_that_waits_for_the_mark_of_reasoning_has_a_bound() -> None:
    text = SaidText(unopened=True)
    for _ in range(2_000):
        assert text.push("Yes, more words of it. ") == ""
    whole, half = "Yes, more words of it. " * 2_000, MOST_UNOPENED // 2
    assert text.finish() == whole[:half] + whole[-half:]


@pytest.mark.parametrize("size", [1, 7, 20_000, 100_000])
def test_the_end_of_a_text_that_waited_for_the_mark_is_judged_as_its_end(size: int) -> None:
    reply = f"Thought: {LONG * 8}\n\nHow fast is it?"
    text = SpokenText(unopened=True)
    pieces = [reply[at : at + size] for at in range(0, len(reply), size)]
    assert "".join(map(text.push, pieces)) + text.finish() == "How fast is it?"


@pytest.mark.parametrize(
    "text",
    [
        f"{ANSWER} Its replies take",
        "Redis keeps its data in",
        "Let's look at the parts of the cache.",
        "Let's go with shards.",
        "Let's continue with the cache.",
        "Outline the failure, then ask for numbers.",
        "Describe a cache and then probe its size.",
    ],
    ids=map(str, range(7)),
)
@pytest.mark.parametrize("one_turn", [True, False], ids=["interview", "conversation"])
def test_a_thought_that_breaks_off_or_plans_is_not_spoken(text: str, one_turn: bool) -> None:
    said = spoken(f"Thought: {LONG}\n\n{text}", one_turn=one_turn)
    assert said == ("" if one_turn or not text.startswith("Let's") else text)


@pytest.mark.parametrize(
    ("label", "text"),
    [
        ("Thought: Hm.\n", "Let us plan a chat.\nSay the user is offline.\nWhat do you lose?"),
        ("Thought: Hm.\n", "Let us plan.\nThe candidate needs most votes.\nHow is a tie resolved?"),
        ("Thought: Hm.\n", "Thank you for your time.\nWe have to stop here.\nGoodbye!"),
        ("Thought: Hm.\n\n", "Thank you.\n\nI need to hear more of it.\n\nHow fast is it?"),
        ("Thought: Hm.\n", "Fine.\nMy next question is on shards.\nHow would you do it?"),
        ("Thought: Hm.\n", "Fine.\nI should ask first. Name a bug.\nWhy did it come?"),
        ("", "分析：其他部分很清楚。请举例。"),
    ],
    ids=map(str, range(7)),
)
def test_a_short_reply_with_a_line_like_a_plan_is_spoken_whole(label: str, text: str) -> None:
    script = AgentScript()
    assert script.push(label + text) + script.finish() == text


def test_a_line_between_that_only_plans_takes_no_word_to_the_person() -> None:
    script = AgentScript()
    script.push("Thought: Hm.\nThank you for that.\nI should ask why.\nWhy is it fast?")
    assert script.finish() == "Thank you for that.\nWhy is it fast?"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("You told me so. " * 130 + "\n\nWhy?", ("You told me so. " * 130)[:MOST_KEPT]),
        (LONG[:3_000] + "\n\nWhy?", "Why?"),
        (LONG[:3_000], LONG[:MOST_KEPT]),
    ],
    ids=["to the person", "reasoning", "without a question"],
)
def test_of_a_reply_too_long_to_be_spoken_something_is(text: str, said: str) -> None:
    script = AgentScript()
    script.push(f"Thought: Hm.\n{text}")
    assert script.finish() == said


def test_what_is_kept_behind_a_thought_has_a_bound() -> None:
    tracemalloc.start()
    script = AgentScript()
    for _ in range(1000):
        assert script.push("Thought: Hm.\n" + "More. " * 100) == ""
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (held < 50_000, script.finish()) == (True, "")
