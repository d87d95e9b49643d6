"""English words that show how an answer is built. Pure data; see `cues`."""

import re

from stages.interview.cues import Cues, phrases

_SITUATION = phrases(
    "last year,last month,last summer,last week,a few years ago,years ago,months ago,weeks ago,"
    "at my previous,at my last,at my current,in my previous,in my last,in my current,at the time,"
    "my team,our team,our company,my company,we had,there was,there were,i was working,"
    "we were working,i worked,when i,when we,once,one day,back then,in a project,on a project,"
    "our customer*,our user*,our main,a customer,a client,i joined,during"
)
_TASK = phrases(
    "i had to,we had to,my job,my task,my role,my goal,our goal,the goal,responsible,needed to,"
    "i needed,we needed,asked me,was asked,were asked,the problem was,the challenge,the task,"
    "had been asked,in charge,deadline*,it was up to me,i was to,the aim,we wanted to,i wanted to,"
    "supposed to,required,goal was"
)
_RESULT = phrases(
    "as a result,in the end,finally,eventually,reduced,increased,improved,decreased,dropped,"
    "dropped to,went down,went up,fell,rose,grew,saved,faster,since then,which meant,the outcome,"
    "the result*,turned out,so that now,we shipped,launched,solved,fixed,resolved,learned,learnt,"
    "it worked,succeeded,no longer,percent,never again,happier,won,afterwards"
)
_STEPS = phrases(
    "first,first of all,then,next,after that,second,secondly,finally,i start*,i begin,i usually,"
    "i always,i look,i check,i ask,i try,i would start,i would first,i would ask,i would look,"
    "i make,i write,i use,i split,i measure,i define,i compare,step,steps"
)
_REASON = phrases(
    "because,so that,therefore,that way,the reason,otherwise,which means,in order to,this lets,"
    "that lets,this helps,that helps,since it,since they,since we,since i,the point is,why"
)
_EXAMPLE = phrases(
    "for example,for instance,such as,once,last year,last month,at my last,at my previous,"
    "in my last,in my previous,when i,when we,in one project,a recent,recently,one time,an example,"
    "we had,imagine"
)
_BALANCE = phrases(
    "but,however,depends,depending,unless,on the other hand,trade off*,tradeoff*,although,except,"
    "not always,sometimes,the risk,downside*,limit*,at the cost,if it,if the,if there,if they,"
    "even if,rather than,instead of"
)

_VAGUE = phrases(
    "stuff,things,somehow,something like that,kind of,sort of,and so on,et cetera,etc,various,"
    "whatever,basically,a lot of,lots of,pretty much,or so,some kind"
)

_ONE = (
    r"(?:\d+\w*|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|"
    r"fifteen|sixteen|seventeen|eighteen|nineteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|"
    r"ninety|hundreds?|thousands?|millions?|billions?|half|twice|doubled?|tripled?|halved|dozens?)"
)
_NUMBER = re.compile(rf"\b{_ONE}(?: (?:and a half|point|percent|{_ONE}))*\b")

_IRREGULAR = (
    "built|wrote|rewrote|made|found|led|ran|took|spoke|began|chose|set|split|drew|gave|held|kept|"
    "brought|taught|sent|put|cut|broke|drove|met|told|showed|dug|sat down|went through|went back|"
    "got|wrote down|read|sold|won|threw|grew"
)
_NO_ACTION = "needed|wanted|liked|loved|tried|worked|believed|seemed|hoped|used|enjoyed|learned"
_BETWEEN = r"(?:(?:also|then|first|finally|quickly|just|actually|personally|even|next) )*"
_ACTION = re.compile(rf"\bi {_BETWEEN}(?!(?:{_NO_ACTION})\b)(?:[a-z]{{2,}}ed|{_IRREGULAR})\b")

_STATES = (
    "think|guess|know|feel|like|love|want|would|could|can|will|was|am|have|had|did|do|dont|mean|"
    "believe|hope|never|cant|cannot|wish|might|may|should|and|just|need|suppose|see"
)
_HABIT = re.compile(
    r"\bi (?:(?:also|then|first|usually|always|often|would|will|normally|even) )*"
    rf"(?!(?:{_STATES}|{_NO_ACTION})\b)[a-z]{{3,}}\b"
)

_OURS = re.compile(r"\b(?:we|our|us)\b")
_MINE = re.compile(r"\b(?:i|my|me|myself|ive|id|im)\b")

_FILLERS = re.compile(
    r"\b(?:u+[hm]+|e+r+m?|h+m+|a+h|you know|i mean|basically|actually|literally|kind of|"
    r"sort of)\b"
)

_SMALL_WORDS = (
    "the and i to a of was it in we that is for my on with you so but as have had they this at be "
    "are not when what do an or if from were our by because then would can first how"
)

ENGLISH = Cues(
    situation=_SITUATION,
    task=_TASK,
    result=_RESULT,
    steps=_STEPS,
    reasons=_REASON,
    example=_EXAMPLE,
    limits=_BALANCE,
    vague=_VAGUE,
    number=_NUMBER,
    action=_ACTION,
    habit=_HABIT,
    ours=_OURS,
    mine=_MINE,
    fillers=_FILLERS,
    small_words=frozenset(_SMALL_WORDS.split()),
    ascii_only=True,
    names_by_capitals=True,
    comfortable_wpm=(110, 170),
)
