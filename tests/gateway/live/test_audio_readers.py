from typing import Any, cast

from gateway.live.audio_readers import AudioReaders
from gateway.live.transport import AudioReader
from gateway.protocols.dialect import ClearAudio, Reconfigure
from gateway.protocols.request import SessionRequest


def reader(name: str) -> AudioReader[Any]:
    return cast("AudioReader[Any]", name)


def test_a_format_holds_once_the_audio_before_its_command_was_fed() -> None:
    readers = AudioReaders(reader("first"))
    second, third = Reconfigure(SessionRequest()), Reconfigure(SessionRequest())
    readers.follow(second, reader("second"))
    readers.follow(third, reader("third"))
    found = [readers.current]
    for command in (second, ClearAudio(), third):
        readers.reach(command)
        found.append(readers.current)
    assert found == ["first", "second", "second", "third"]


def test_an_equal_command_without_a_format_of_its_own_changes_nothing() -> None:
    readers = AudioReaders(reader("first"))
    readers.follow(Reconfigure(SessionRequest()), reader("second"))
    readers.reach(Reconfigure(SessionRequest()))
    assert readers.current == "first"
