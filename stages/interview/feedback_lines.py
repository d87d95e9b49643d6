"""The lines of the offline coach's feedback. Data; `feedback` chooses among them. Pure."""

COVERED = (
    "You spoke about {0}: that is what this question is after.",
    "You brought in {0}, which an interviewer listens for here.",
    "Good that you mentioned {0}.",
)
WHOLE = {
    "story": (
        "Your story was whole: where it began, what was asked of you, what you did, how it ended.",
        "One could follow your story from the situation to the result.",
    ),
    "approach": (
        "You said what you do, why, and where it has its limits: a complete answer.",
        "Your answer had steps, reasons, an example and its limits. That is hard to improve.",
    ),
}
CONCRETE = (
    "“{0}” is concrete. Details like this are what people remember.",
    "“{0}”: that is the kind of detail that makes an answer believable.",
    "You were specific. “{0}” shows that you were there.",
)
RIGHT_LENGTH = (
    "The length was right: enough to follow, short enough to listen to.",
    "You took the time this question needs, and no more.",
)
STEADY = (
    "You spoke at a pace that is easy to follow, {0} words a minute.",
    "{0} words a minute is a comfortable pace. Keep it.",
)
BEGINNING = (
    "You brought up {0}. Build the answer round that.",
    "There is {0} in it: a first thought to build on.",
    "You spoke about {0}, and that belongs here.",
)
NO_BEGINNING = (
    "You gave it a go, and that is how good answers begin.",
    "You did not leave the question open: you said something, and that can grow.",
)

NOT_COVERED = (
    "An interviewer would also like to hear about {0}.",
    "There was nothing about {0} that we could find. It belongs here.",
    "{1} would make this answer rounder.",
)
PARTS = {
    "situation": "Set the scene first: one sentence about where and when this was.",
    "task": "Say what was asked of you, so that people see why you did what you did.",
    "action": "Say what you yourself did: sentences that begin with “I” and a verb.",
    "result": "Say how it ended. A story without an end sounds as if it went badly.",
    "steps": "Say in which order you go about it: first, then, after that.",
    "reasons": "Say why you do it this way. The reasons are what people hire.",
    "example": "Add a short example from your own work; a method alone is hard to believe.",
    "limits": "Say when this would not work. Knowing the limits shows experience.",
}
NO_NUMBERS = (
    "Put a number in: how many, how long, how much. Even a rough one helps.",
    "A single number would have made this easier to picture.",
)
VAGUE = "Words like “{0}” leave people guessing. Say the thing itself."
WE = "You often said “we”. That is kind to your team, but say which part was yours."
SHORT = (
    "This was over quickly. Give people another sentence or two to hold on to.",
    "There is room for more: aim for about a minute.",
)
LONG = "This was long. The strongest minute of it would do."
FILLERS = "“{0}” came up {1} times. A silent breath does the same job and sounds surer."
FAST = "You spoke fast, {0} words a minute. A short pause after each sentence helps listeners."
SLOW = "You spoke slowly, {0} words a minute. Practising aloud once or twice makes it flow."
PAUSES = "Your longest pause lasted {0:.0f} seconds. It is fine to say “let me think for a moment”."

NEXT = {
    "coverage": (
        "Answer this question once more, aloud, and begin with {0}.",
        "Write down two sentences about {0} and work them into this answer.",
    ),
    "structure": (
        "Tell it again in four sentences: {1}.",
        "Note one keyword for each of these, then tell it again from the notes: {1}.",
    ),
    "specificity": (
        "Look up one real number or name for this answer before your next interview.",
        "Go through this answer and replace every general word by what it stood for.",
    ),
    "length": (
        "Set a timer to one minute and answer this question again until the time is filled.",
        "Answer again in three parts: the short answer, the reason, an example.",
    ),
}
NEXT_LONG = "Tell this again in ninety seconds; what falls away was not needed."
NEXT_GOOD = (
    "Keep this answer. Practise only its first sentence until it comes by itself.",
    "This one is ready. Try it on a friend and ask what they remember.",
    "Nothing to repair here. Prepare for the follow-up: “What would you do differently?”",
)
ORDERS = {
    "story": "the situation, your task, what you did, what came of it",
    "approach": "what you do first, why, an example, when you would not do it",
}
