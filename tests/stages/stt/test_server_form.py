from stages.stt._server_form import ServerForm, following

USUAL = {
    "model": "m",
    "response_format": "verbose_json",
    "timestamp_granularities[]": "word",
    "prompt": "Redis.",
    "language": "sv",
}


def test_a_refusal_that_names_nothing_is_taken_for_one_of_verbose_json_once() -> None:
    fields = following(USUAL, "Bad Request")
    assert fields == {
        "model": "m",
        "response_format": "json",
        "prompt": "Redis.",
        "language": "sv",
    }
    assert following(fields, "Bad Request") is None


def test_what_a_refusal_names_is_left_out_and_nothing_else() -> None:
    fields = following(USUAL, '{"detail": [{"loc": ["body", "timestamp_granularities[]"]}]}')
    assert fields == {k: v for k, v in USUAL.items() if k != "timestamp_granularities[]"}
    fields = following(USUAL, "'language' and 'prompt' are not supported")
    assert fields == {k: v for k, v in USUAL.items() if k not in ("language", "prompt")}
    fields = following(USUAL, "prompts and languages")
    assert fields is not None
    assert fields["response_format"] == "json"


def test_only_what_was_refused_is_remembered() -> None:
    form = ServerForm()
    form.learn(USUAL, USUAL)
    assert form.shaped(USUAL) == USUAL
    form.learn(USUAL, {"model": "m", "response_format": "json", "prompt": "Redis."})
    assert form.shaped(USUAL) == {"model": "m", "response_format": "json", "prompt": "Redis."}
    assert form.shaped({**USUAL, "language": "de"})["language"] == "de"
    assert form.differences() == (
        "no language sv",
        "no verbose_json",
        "no timestamp_granularities[]",
    )
