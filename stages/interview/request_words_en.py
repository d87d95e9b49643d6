"""English requests. Pure data; see `request_words`."""

from stages.interview.request_words import RequestWords

_FILLER = """
    sorry|im_sorry|i_am_sorry|excuse_me|u[hm]+|er+m?|hm+|oh|ah|ok|okay|well|so|and|but|then|hey|hi
  | please|kindly|thanks|thank_you|wait|(?:hang|hold)_on|one_(?:second|moment)|just|maybe|perhaps
  | actually|honestly|really|yeah|yes|no|right_now|right|sir|madam|maam|parley|for_(?:me|now)|today
  | i_think|i_guess|i_am_afraid|im_afraid|if_(?:thats|that_is)_(?:ok|okay|all_right|alright|fine)
  | if_(?:possible|you_dont_mind|you_do_not_mind|you_can|you_could|i_may)
"""

_YOU = "(?:(?:could|can|would|will)_you_(?:please_|maybe_|just_|kindly_)*)"
_IT = """
    (?:what_you(?:_just)?_(?:said|asked|say)|yourself
      |(?:(?:the|your|that|this|last|previous|whole|entire)_)*(?:questions?|part|bit|thing|sentence)
      |that(?:_one)?|this(?:_one)?|it)
"""
_AGAIN = """
    (?:_(?:again|once_(?:more|again)|one_more_time|another_time|at_all
      |(?:a_(?:bit|little)_)?(?:louder|slower|more_slowly|slowly)
      |(?:very_|so_)?(?:well|clearly|properly)))
"""
_REPEAT = f"""
    {_YOU}?(?:repeat|rephrase)(?:_{_IT})?{_AGAIN}*
  | {_YOU}?(?:say|ask|read|tell|run|go_over)(?:_me)?(?:_{_IT})?(?:_by_me)?{_AGAIN}+
  | {_YOU}(?:say|ask|read)(?:_me)?_{_IT}
  | (?:would|do)_you_mind_(?:repeating|rephrasing|saying|asking)(?:_{_IT})?{_AGAIN}*
  | (?:can|could|may)_(?:i|we)_(?:please_)?(?:hear|have|get)_{_IT}(?:_repeated)?{_AGAIN}*
  | (?:i_need|id_like|i_would_like|i_want)_you_to_(?:repeat|rephrase)(?:_{_IT})?{_AGAIN}*
  | what(?:s|_was|_is)_{_IT}{_AGAIN}*
  | what_(?:did_you(?:_just)?_(?:say|ask)|are_you_asking|were_you_saying)(?:_me)?{_AGAIN}*
  | i_(?:(?:did|could|do|can|was)(?:nt|_not)|cannot|cant|never|wasnt_able_to)
      (?:_(?:quite|really|actually|fully))?
      _(?:hear|heard|catch|caught|get|got|understand|understood|follow|make_out)
      (?:_(?:{_IT}|you|anything|a_word|all_of_(?:that|it)))?{_AGAIN}*
  | i_(?:missed|forgot)_(?:{_IT}|you|some_of_that)
  | (?:i_)?beg_your_pardon|pardon(?:_me)?|come_again|say_what|one_more_time|once_more
  | what|huh|hello|are_you(?:_still)?_there|can_you_hear_me
  | you_(?:broke_up|cut_out)|you(?:re|_are|_were)_(?:breaking_up|cutting_out)
"""
_APOLOGY = "(?:(?:oh|u[hm]+)_)?(?:sorry|im_sorry|i_am_sorry|excuse_me|again)"

_THIS = "(?:(?:(?:the|this|that|current|next)_)*(?:one|questions?|part)|this|that|it)"
_NEXT = """
    (?:(?:to|with|for)_)?(?:(?:the_|a_)?(?:next|new|other|different)|another)(?:_(?:one|question))?
"""
_LET = """
    (?:(?:(?:can|could|may|shall|should|might)_(?:we|i|you)|lets|let_us|let_me|i|id|i_would|ill
      |i_will|(?:id|i_would)_(?:like|love|prefer|rather)(?:_to)?|i_(?:want|need|have|wish)_to
      |ill_have_to|(?:im|i_am)_(?:going_to|gonna)|we_can|you_can)_(?:please_|just_|maybe_|rather_)*)
"""
_SKIP = f"""
    {_LET}?skip(?:_(?:over_)?{_THIS}|_{_NEXT}|_ahead)?
  | {_LET}?pass(?:_on_{_THIS})?
  | {_LET}?(?:move|go|jump|carry|get)_(?:(?:on|along|ahead|forward|straight)_)?{_NEXT}
  | {_LET}?move_(?:on|along|ahead)(?:_from_{_THIS})?
  | {_LET}(?:have|get|try|do)_{_NEXT}
  | {_YOU}(?:ask|give)(?:_me)?_{_NEXT}
  | (?:the_)?next(?:_(?:one|question))?
  | (?:id|i_d|i_would|i)_(?:rather|prefer)_(?:not_to|to_not|not)
      (?:_(?:answer|say|talk_about|discuss|go_into|share|comment(?:_on)?)(?:_{_THIS}|_anything)?)?
  | i_(?:dont|do_not)_(?:want|wish|feel_like|care)_(?:to_)?
      (?:answer|answering|say|talk_about|talking_about|discuss|discussing|share|go_into|do)
      (?:_{_THIS}|_anything)?
  | (?:im|i_am)_not_comfortable_(?:answering|discussing|sharing|with|talking_about)(?:_{_THIS})?
  | (?:i_have_|ive_got_|ive_)?no_(?:comment|answer|idea|clue)(?:_(?:to|for|about)_{_THIS})?
  | i_(?:really_|honestly_|just_)*(?:dont|do_not)(?:_really)?_know
      (?:_(?:the_answer(?:_to_{_THIS})?|{_THIS}|what_to_say|how_to_answer(?:_{_THIS})?))?
  | i_(?:cant|cannot|can_not)_(?:really_)?(?:answer|think_of)
      (?:_(?:{_THIS}|one|any|anything|an_example|an_answer|a_good_example))?
"""

_WHILE = """
    (?:(?:a|one|just_a|another|some|few|a_few|a_couple|couple|of|more|little|bit|longer|the)_)*
      (?:more_)?(?:seconds?|moments?|minutes?|secs?|mins?|bit|while|time|longer)
"""
_TIME = f"""
    not(?:_quite|_just)?_yet|not_(?:quite_)?(?:ready|done|finished|there)(?:_yet)?
  | (?:just_)?{_WHILE}(?:_to_(?:think|answer|consider))?(?:_about_{_THIS})?
  | in_a_(?:second|moment|minute)
  | (?:hang|hold|bear)_(?:on|with_me)(?:_{_WHILE})?|wait(?:_{_WHILE})?
  | {_YOU}?(?:give|allow)_me(?:_{_WHILE})?(?:_to_think(?:_about_{_THIS})?)?
  | {_YOU}wait(?:_{_WHILE})?
  | let_me(?:_just)?_(?:think|try|answer|consider|see)(?:_(?:about|of|over)?_?{_THIS})?
      (?:_(?:for_)?{_WHILE})?
  | (?:(?:i_am|im|i_was)_)?(?:(?:still|just|only)_)*(?:thinking|considering|working|getting_there)
      (?:_(?:about|of|on|it_over))?(?:_{_THIS})?
  | (?:i_am|im)_not(?:_quite)?_(?:ready|done|finished)(?:_yet)?
  | (?:i|id|i_would|i_do)(?:_(?:still|just|only|would))*_(?:need|want|like|have)_(?:to_think
      |(?:to_)?(?:have_)?{_WHILE})(?:_to_think)?(?:_about_{_THIS})?
  | (?:can|could|may)_i(?:_please)?_(?:have|get|take|think)_?(?:about_{_THIS}|{_WHILE})?
      (?:_to_think)?
  | i(?:ll|_will|_want_to|_would_like_to|d_like_to|_can|_would_rather|d_rather)
      _(?:try|answer|keep_thinking|think_about|take_a)(?:_(?:to_answer|{_THIS}|{_WHILE}))?
  | (?:nearly|almost)(?:_(?:there|ready|done|got_it))?|i_(?:nearly|almost|think_i)_have_it
  | i_(?:do_)?have_(?:an|the|my|one)_(?:answer|example|idea)
  | stay_(?:on|with|at)_{_THIS}
"""
_NO = """
    no_(?:thank_you|thanks|please|lets_not|let_us_not|dont|do_not)|no|nope|nah|dont|do_not|lets_not
  | let_us_not|please_dont|no_need|no_we_(?:should_not|shouldnt)|id_rather_not|i_would_rather_not
"""
_YES = """
    (?:that|it|this)(?:s|_is|_would_be|d_be|_sounds|ll_be|_will_be)?
      _(?:fine|good|great|nice|best|better|okay|ok|alright|all_right|perfect|works)
      (?:_(?:with|by|for)_me)?
  | (?:fine|okay|ok|good|alright|all_right)_(?:with|by|for)_me|sounds_(?:good|great|fine)
  | yes|yeah|yep|yup|yea|aye|sure(?:_thing)?|ok|okay|alright|all_right|of_course|certainly
  | absolutely|definitely|exactly|fine|good|great|perfect|agreed|right|gladly|why_not
  | by_all_means|go_(?:ahead|on)|please(?:_do)?|do_(?:that|it|so)|no_(?:problem|objections?)
  | (?:lets|let_us)(?:_(?:go(?:_(?:on|ahead))?|do(?:_(?:that|it|so))?))?
  | (?:we|you|i)_(?:can|could|should|shall|may|might)(?:_do_(?:that|it))?
  | (?:i_would|id)_(?:like|love|prefer|appreciate)_(?:that|it|to)|i_(?:agree|think_so|guess_so)
  | i_think_we_(?:can|could|should)|i_dont_mind|i_do_not_mind|if_you_(?:like|want|wish)
  | as_you_(?:like|wish)
"""
_THANKS = """
    (?:many_)?(?:thanks|thank_you)(?:_(?:very_much|so_much|a_lot|again))?|ok|okay|alright|all_right
  | good|great|fine|i_will|will_do|i_shall|thats_(?:kind|nice)(?:_of_you)?|understood|got_it
"""

ENGLISH = RequestWords(
    filler=_FILLER,
    apology=_APOLOGY,
    repeat=_REPEAT,
    skip=_SKIP,
    time=_TIME,
    no=_NO,
    yes=_YES,
    thanks=_THANKS,
)
