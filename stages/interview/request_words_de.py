"""German requests. Pure data; see `request_words`. "ß" is "ss", as `hearing.spoken` writes it."""

from stages.interview.request_words import RequestWords

_FILLER = """
    entschuldigung|entschuldigen_sie|verzeihung|pardon|sorry|(?:es_)?tut_mir_leid|ä+h*m*|ö+h*m*|h+m+
  | oh|ach(?:_so)?|ah|ok|okay|also|so|und|aber|dann|na(?:_ja)?|naja|nun(?:_ja)?|hallo|bitte
  | danke(?:_schön)?|vielen_dank|warten_sie|moment|einfach|vielleicht|eigentlich|ehrlich(?:_gesagt)?
  | wirklich|leider|ja|nein|doch|gerade|jetzt|nur|mal|einmal|kurz|schon|gerne?|lieber|parley
  | fürs_erste|heute|(?:das_ist_)?(?:eine_)?(?:sehr_)?gute_frage|ich_(?:glaube|denke|fürchte)
  | wenn_(?:(?:es|das|sie)_)?(?:geht|möglich(?:_ist)?|ok_ist|okay_ist|in_ordnung_ist|mögen)
"""

_SIE = "(?:könnten|können|würden|könntest|kannst|würdest)_(?:sie|du)"
_FRAGE = "(?:(?:(?:die|diese|ihre|deine|der|dieser|letzte|letzten|ganze|eine)_)*frage)"
_DAS = f"(?:{_FRAGE}|das(?:_ganze)?|es|den_(?:letzten_)?(?:satz|teil))"
_AGAIN = """
    (?:noch_(?:ein_?)?mal|nochmals?|erneut|ein_weiteres_mal
      |(?:(?:etwas|bitte|ein_bisschen|ein_wenig)_)?(?:lauter|langsamer|deutlicher|anders))
"""
_SOFT = f"(?:bitte|mir|vielleicht|kurz|gerade|eben|schnell|für_mich|{_DAS})"
_REPEAT = f"""
    (?:{_SIE}_)?(?:(?:{_SOFT}|{_AGAIN})_)*(?:wiederholen|umformulieren)(?:_sie)?
      (?:_(?:{_SOFT}|{_AGAIN}))*
  | wiederhole?(?:_(?:{_SOFT}|{_AGAIN}))*
  | (?:{_SIE}_)?(?:{_SOFT}_)*{_AGAIN}(?:_{_SOFT})*_(?:sagen|stellen|fragen|vorlesen|lesen
      |formulieren|sprechen|erklären)
  | (?:sagen|stellen|fragen|lesen|sprechen|formulieren)_sie(?:_{_SOFT})*_{_AGAIN}(?:_vor)?
  | (?:ich_(?:möchte|würde)_)?{_FRAGE}(?:_(?:bitte|gerne?))*_{_AGAIN}(?:_hören)?
  | {_SOFT}?_?{_AGAIN}
  | (?:wie|was)_(?:war|ist|lautete?)(?:_(?:noch|gleich|denn|{_AGAIN}))*_{_DAS}
      (?:_(?:noch|gleich|{_AGAIN}))*
  | was_(?:haben|hatten)_sie(?:_(?:gerade|eben|mich|da))*_(?:gesagt|gefragt)
  | was_meinen_sie(?:_damit)?
  | (?:(?:{_DAS}|sie|da)_)?(?:habe?|hatte|konnte|kann)_ich(?:_(?:sie|das|es|da|leider|akustisch
      |gerade|jetzt|eben|{_FRAGE}))*_(?:nicht|nichts|kein_wort)(?:_(?:ganz|richtig|gut|so|genau))*
      (?:_(?:verstanden|gehört|mitbekommen|verstehen|hören))?
  | ich_(?:habe?|hatte|konnte|kann|verstehe|höre)(?:_(?:sie|das|es|leider|akustisch|gerade|jetzt
      |eben|{_FRAGE}))*_(?:nicht|nichts|kein_wort)(?:_(?:ganz|richtig|gut|so|genau))*
      (?:_(?:verstanden|gehört|mitbekommen|verstehen|hören))?
  | (?:nicht|nichts|kein_wort)_(?:verstanden|gehört)
  | ich_habe?(?:_leider)?_{_FRAGE}_(?:vergessen|verpasst)
  | wie_bitte|wie_meinen_sie_das|was_bitte|was|wie|hä+h*|hallo
  | sind_sie_noch_(?:da|dran)|(?:können|hören)_sie_mich(?:_hören)?
  | (?:die_(?:verbindung|leitung)|sie)_(?:war|waren)_(?:kurz_)?(?:weg|unterbrochen|gestört)
"""
_APOLOGY = """
    (?:(?:oh|ach|ä+h*m*)_)?(?:entschuldigung|verzeihung|entschuldigen_sie|pardon|sorry|bitte
      |(?:es_)?tut_mir_leid)
"""

_NEXT = "(?:(?:die|der|eine|einer)_)?(?:nächsten?|andere|neue|anderen|neuen)(?:_frage)?"
_HOW = "(?:bitte|einfach|lieber|vielleicht|jetzt|dann|direkt|gleich|gerne?|mal|erst_?mal)"
_GO = "(?:weiter(?:_?(?:machen|gehen))?|über(?:_)?springen|aus_?lassen|übergehen|weg_?lassen)"
_NOT_KNOWN = "(?:leider|gerade|wirklich|ehrlich_gesagt|jetzt|so|spontan|im_moment|auch|einfach|gar)"
_SKIP = f"""
    (?:bitte_)?{_NEXT}
  | (?:(?:können|könnten|sollen|sollten|wollen|dürfen|dürften|würden)_(?:wir|ich|sie)_)?
      (?:(?:{_HOW}|{_DAS})_)*(?:(?:zur?|mit)_{_NEXT}_)?(?:{_HOW}_)*{_GO}
  | (?:(?:können|könnten|sollen|sollten|wollen|dürfen)_(?:wir|ich)_)?(?:{_HOW}_)*
      (?:zur?|mit)_{_NEXT}
      (?:_(?:gehen|kommen|übergehen|springen|wechseln|fortfahren|weiter_?machen|weiter))?
  | ich_(?:möchte|würde|will)_(?:(?:{_HOW}|{_DAS})_)*(?:(?:zur?|mit)_{_NEXT}_)?{_GO}
  | (?:gehen|machen|fahren|springen)_(?:wir|sie)(?:_{_HOW})*(?:_(?:zur?|mit)_{_NEXT})?
      (?:_(?:weiter|fort|über))?
  | lassen_(?:wir|sie_uns)(?:_(?:{_HOW}|{_DAS}))*(?:_(?:zur?|mit)_{_NEXT})?_(?:{_GO}|aus|weg|gehen)
  | (?:{_DAS}_)?(?:überspringe|passe)(?:_ich)?(?:_{_DAS})?
  | ich_(?:überspringe|passe)(?:_{_DAS})?|pass
  | (?:kein_kommentar|weiss(?:_ich)?(?:_{_NOT_KNOWN})*_nicht)
  | ich_weiss(?:_(?:{_NOT_KNOWN}|es|das|die_antwort|darauf|dazu|keine_antwort))*_(?:nicht|nichts)
  | ich_weiss_(?:darauf_|dazu_)?keine_antwort(?:_darauf)?
  | (?:das|es|die_antwort)_weiss_ich(?:_{_NOT_KNOWN})*_nicht
  | (?:(?:ich_habe?|da(?:zu|von|für|rauf)?_habe?_ich)_)?
      (?:(?:da(?:zu|von|für|rauf)?|{_NOT_KNOWN})_)*
      keine_(?:ahnung|antwort|idee)(?:_(?:dazu|davon|darauf))?
  | (?:(?:dazu|da)_fällt_mir|mir_fällt)(?:_(?:{_NOT_KNOWN}|da|dazu))*
      _(?:nichts|kein_(?:gutes_)?beispiel|keins|keine_antwort)(?:_{_NOT_KNOWN})*_ein
  | ich_(?:kann|möchte|will|würde)(?:_(?:{_NOT_KNOWN}|{_HOW}|{_DAS}|dazu|darüber|darauf))*
      _(?:nicht|nichts)(?:_(?:dazu|darüber|darauf))?_(?:beantworten|antworten|sagen|sprechen|reden)
  | (?:{_DAS}|dazu|darüber|darauf)_(?:kann|möchte|will|würde)_ich(?:_(?:{_NOT_KNOWN}|{_HOW}))*
      _(?:nicht|nichts)_(?:beantworten|antworten|sagen|sprechen|reden)
"""

_MOMENT = """
    (?:(?:nur|noch|bitte|einen?|nen|ne|kurzen|kleinen|kleine|kurze|paar|ein_paar|etwas|ein_bisschen
      |ein_wenig|mehr|kurz|ganz)_)*
    (?:moment(?:chen)?|augenblick|sekunden?|minuten?|zeit|bedenkzeit)(?:_mal)?
"""
_THINK = "(?:nach_?denken|überlegen|sammeln)"
_KURZ = f"(?:kurz|noch|erst(?:_mal|mal)?|mal|einmal|bitte|darüber|da|eben|gerade|{_DAS}|{_MOMENT})"
_TIME = f"""
    noch_nicht(?:_ganz)?(?:_(?:fertig|so_weit|soweit|bereit))?|gleich|sofort
  | {_MOMENT}(?:_zum_{_THINK})?(?:_bitte)?
  | (?:ich_)?bin(?:_ich)?_(?:noch_)?(?:nicht_)(?:ganz_)?(?:fertig|so_weit|soweit|bereit)
  | ich_bin_(?:gleich|fast)_(?:fertig|so_weit|soweit)|fast(?:_fertig)?
  | lassen_sie_mich(?:_{_KURZ})*_{_THINK}
  | lass_mich(?:_{_KURZ})*_{_THINK}
  | (?:ich|da)_(?:muss|müsste|möchte|will|würde|darf)(?:_(?:ich|gerne?|mich))*(?:_{_KURZ})*_{_THINK}
  | (?:darf|dürfte|kann|könnte)_ich(?:_(?:mir|mich))?(?:_{_KURZ})*
      _(?:{_THINK}|haben|bekommen|nehmen)
  | ich_(?:überlege|grüble)(?:_{_KURZ})*|ich_denke(?:_{_KURZ})*_nach
  | (?:ich_)?(?:brauche|bräuchte|hätte_gerne?)(?:_ich)?_{_MOMENT}(?:_zum_{_THINK})?
  | (?:geben|lassen)_sie_mir(?:_bitte)?_{_MOMENT}(?:_zum_{_THINK})?
  | {_SIE}(?:_(?:mir|bitte|kurz))*_(?:{_MOMENT}_)?(?:geben|warten)
  | warten_sie(?:_{_KURZ})*|warte(?:_{_KURZ})*
  | ich_(?:möchte|will|würde)(?:_(?:{_KURZ}|gerne?|lieber))*_(?:beantworten|antworten
      |versuchen)
  | ich_versuche_es(?:_noch)?|ich_habe?(?:_{_KURZ})*_(?:eine|die)_(?:antwort|idee)
  | bleiben_wir(?:_noch)?(?:_{_KURZ})*_(?:bei_(?:dieser|der)_frage|dabei)
"""
_NO = """
    nein(?:_(?:danke|bitte(?:_noch)?_nicht|noch_nicht|lieber_nicht))?|nö|nee+|noch_nicht|lieber_nicht
  | bitte_nicht|auf_keinen_fall|nicht_nötig|(?:das_)?muss_nicht_sein
"""
_YES = """
    ja(?:wohl)?|jep|jo|(?:sehr_|ja_)?gerne?|natürlich|(?:na_)?klar|(?:ja_)?sicher|selbstverständlich
  | in_ordnung|okay|ok|gut|genau|richtig|einverstanden|abgemacht|prima|perfekt|super|schön
  | von_mir_aus|meinetwegen|warum_nicht|(?:das_)?passt(?:_(?:mir|so|gut))?|bitte(?:_sehr)?
  | das_(?:ist|wäre|klingt|hört_sich)_(?:gut|in_ordnung|okay|ok|prima|schön|mir_recht)(?:_an)?
  | (?:(?:dann_)?(?:machen|tun)|das_(?:machen|können))_wir(?:_(?:das|so|es|gerne?|machen|tun))*
  | (?:gehen|machen)_wir_weiter|können_wir(?:_(?:gerne?|machen|tun))*|weiter
  | (?:ich_)?bin(?:_ich)?_(?:dafür|einverstanden)|ich_habe_nichts_dagegen
  | wenn_sie_(?:möchten|wollen)
  | (?:be)?lassen_wir_es(?:_dabei)?|wir_können_es_dabei_belassen
"""
_THANKS = """
    (?:ich_)?danke(?:_(?:schön|sehr|ihnen))*|dankeschön|vielen_(?:lieben_)?dank|besten_dank|okay|ok
  | gut|alles_klar|verstanden|mache_ich|(?:das_ist_)?(?:sehr_)?(?:nett|freundlich)(?:_von_ihnen)?
  | in_ordnung|schön|prima|super|klar|gerne?
"""

GERMAN = RequestWords(
    filler=_FILLER,
    apology=_APOLOGY,
    repeat=_REPEAT,
    skip=_SKIP,
    time=_TIME,
    no=_NO,
    yes=_YES,
    thanks=_THANKS,
)
