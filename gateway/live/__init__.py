"""One live call, in any dialect, over any transport.

`connection` is one client's life, `client_input` what it sends, in its order, and `client_output`
what it is sent; `transport` is the contract that transports fill, and `dialect` in
`gateway.protocols` the one that dialects fill. `ingress` paces input audio by `ingress_timer`,
`audio_readers` decode it, `noise` takes noise out of it, `reply_rate` converts replies where the
wire has another rate, `face` shows the interviewer's face. `calls` builds sessions from what the
process shares, and `opening` has one ready for its client; behind a session stands `host`, an
interview with its `answer_times`, or `assistant`, a plain conversation, with `out_of_band`, replies
beside it. `registry` knows which session is live and whether another may begin, as `pressure`
judges by `load_samples`; `refused` has the words for one that may not. `ending` ends a session with
its process, as `wind_down` decides; `resumption` keeps one whose line was lost, with a `sent_log`
of what to send again, and `returning` hands its client over. `session_commands` does what clients
say, `journals` writes their journals to `journal_files`, `client_secrets` lets browsers in, and
`epoch` gives times of day. `starts` begins sessions one after the other, `quiet` says when nobody
is talked to, `audience` are those who listen beside the client, `mix` joins both voices for them,
`sideband` has the other connections of a call, `tools` are the functions of one session,
`elsewhere` is what other processes of the gateway have to know, and `garbage` says when full
collections happen.
"""

__all__: list[str] = []
