"""German words that show how an answer is built. Pure data; see `cues`.

"ß" is "ss", as `hearing.spoken` writes it.
"""

import re

from stages.interview.cues import Cues, phrases

_SITUATION = phrases(
    "letztes jahr,letzten monat,letzten sommer,letzte woche,voriges jahr,vor einem jahr,"
    "vor einigen,vor ein paar,vor zwei,vor drei,damals,zu der zeit,in meiner letzten,"
    "in meiner vorigen,in meiner jetzigen,in meinem letzten,in meinem vorigen,in meinem jetzigen,"
    "bei meinem letzten,bei meiner letzten,mein team,unser team,unsere firma,meine firma,"
    "unser unternehmen,wir hatten,es gab,ich war,wir waren,ich arbeitete,ich habe gearbeitet,"
    "als ich,als wir,einmal,eines tages,in einem projekt,bei einem projekt,in einem kundenprojekt,"
    "unsere kunden,unsere nutzer,ein kunde,eine kundin,während"
)
_TASK = phrases(
    "ich musste,wir mussten,musste ich,mussten wir,ich sollte,wir sollten,sollte ich,sollten wir,"
    "meine aufgabe,unsere aufgabe,meine rolle,mein ziel,unser ziel,das ziel,die aufgabe,"
    "verantwortlich,zuständig,wurde gebeten,hat mich gebeten,beauftragt,das problem war,"
    "die herausforderung,die anforderung*,frist*,termin*,deadline*,wir wollten,ich wollte,"
    "wollten wir,wollte ich,nötig,notwendig,ging es darum,brauchten wir,wir brauchten"
)
_RESULT = phrases(
    "am ende,schliesslich,letztlich,im ergebnis,das ergebnis,ergebnisse,dadurch,seitdem,seither,"
    "danach war,reduziert*,gesenkt,gesunken,sank,gestiegen,stieg,verbessert*,verringert*,erhöht*,"
    "gewachsen,eingespart,gespart,schneller,weniger,halbiert*,verdoppelt*,hat funktioniert,"
    "funktionierte,gelöst,behoben,ausgeliefert,veröffentlicht,gelernt,gelungen,erfolgreich,"
    "prozent,nie wieder,nicht mehr,zufriedener,gewonnen,herausgestellt,stellte sich heraus"
)
_STEPS = phrases(
    "zuerst,zunächst,als erstes,erst,erstens,dann,danach,anschliessend,als nächstes,zweitens,"
    "drittens,zum schluss,zuletzt,schritt*,ich beginne,ich fange,beginne ich,fange ich,schaue ich,"
    "ich schaue,ich prüfe,prüfe ich,ich frage,frage ich,ich versuche,ich würde zuerst,"
    "würde ich zuerst,normalerweise,meistens,immer,ich mache,ich schreibe,ich nutze,ich messe,"
    "ich vergleiche,ich definiere,ich teile"
)
_REASONS = phrases(
    "weil,damit,denn,deshalb,deswegen,daher,darum,der grund,aus diesem grund,sonst,ansonsten,"
    "sodass,so dass,um zu,das bedeutet,das heisst,dadurch,so kann,so sieht,hilft,nämlich,da ich,"
    "da wir,da es,warum,wichtig ist"
)
_EXAMPLE = phrases(
    "zum beispiel,beispielsweise,etwa,wie etwa,einmal,letztes jahr,letzten monat,als ich,als wir,"
    "in einem projekt,bei einem projekt,neulich,kürzlich,vor kurzem,ein beispiel,konkret,"
    "wir hatten,angenommen,stellen sie sich vor,in meiner letzten,in meinem letzten"
)
_LIMITS = phrases(
    "aber,jedoch,allerdings,kommt darauf an,kommt drauf an,hängt davon ab,abhängig,es sei denn,"
    "andererseits,auf der anderen seite,abwägung*,kompromiss*,obwohl,ausser,nicht immer,manchmal,"
    "das risiko,risiken,nachteil*,grenze*,auf kosten,falls,wenn es,wenn die,wenn das,wenn der,"
    "wenn man,selbst wenn,auch wenn,anstatt,statt,lieber als,trotzdem,dennoch"
)
_VAGUE = phrases(
    "sachen,dinge,zeug,irgendwie,irgendwas,irgendetwas,irgendwann,so was,sowas,so etwas,und so,"
    "und so weiter,usw,etc,et cetera,verschiedene,diverse,ziemlich,eine menge,jede menge,einiges,"
    "mehr oder weniger,im prinzip,grundsätzlich,oder so,dergleichen,quasi,im grunde,gewissermassen"
)

_ONE = (
    r"(?:\d+\w*|zwei|drei|vier|fünf|sechs|sieben|acht|neun|zehn|elf|zwölf|"
    r"(?:drei|vier|fünf|sech|sieb|acht|neun)zehn|"
    r"\w*(?:zwanzig|dreissig|vierzig|fünfzig|sechzig|siebzig|achtzig|neunzig)|\w*hunderte?|"
    r"\w*tausende?|millionen?|milliarden?|hälfte|halben?|halbes|halber|doppelte?[nrs]?|dreifache?n?|"
    r"verdoppelt\w*|verdreifacht\w*|halbiert\w*|dutzende?)"
)
_NUMBER = re.compile(rf"\b{_ONE}(?: (?:komma|prozent|einhalb|{_ONE}))*\b")

_NO_ACTION = (
    "gewollt|gewünscht|gemocht|geliebt|geglaubt|gehofft|gedacht|gehabt|gewesen|gebraucht|"
    "gearbeitet|versucht|gelernt|gekonnt|gemusst|wollte|sollte|konnte|musste|durfte|mochte|möchte|"
    "würde|hätte|hatte|könnte|müsste|dürfte|glaubte|hoffte|dachte|brauchte|arbeitete|versuchte|"
    "lernte|wurde|wusste|heute|leute|seite|erste|zweite|dritte|letzte|gute|bitte|mitte|geräte|"
    "alte|nächste"
)
# Bounded: for a word of thousands of letters the time would grow with their square.
_PARTICIPLE = (
    r"(?:\w{0,20}ge\w{2,20}(?:t|en)|\w{2,20}iert|"
    r"(?:be|ent|er|ver|zer|über|unter|wider)\w{3,20}(?:t|en))"
)
_IRREGULAR = (
    "schrieb|baute|fand|nahm|sprach|begann|wählte|setzte|teilte|zog|gab|hielt|brachte|schickte|"
    "legte|brach|traf|sah|ging|lief|las|verkaufte|gewann|warf|schloss|half|schlug|rief|entschied|"
    "übernahm|schnitt|liess|bat|stellte"
)
_APART = r"(?: (?!(?:und|aber|weil|dass|wenn|ob|oder|wir|sie)\b)\w+){0,10}?"
_ACTION = re.compile(
    rf"\b(?:ich hab(?:e)?|hab(?:e)? ich){_APART} (?!(?:{_NO_ACTION})\b){_PARTICIPLE}\b"
    rf"|\bich (?!(?:{_NO_ACTION})\b)(?:\w{{3,}}te|{_IRREGULAR})\b"
    rf"|\b(?!(?:{_NO_ACTION})\b)(?:\w{{3,}}te|{_IRREGULAR}) ich\b"
)

_STATES = (
    "denke|glaube|weiss|finde|habe|hatte|bin|war|würde|hätte|könnte|möchte|wäre|hoffe|meine|"
    "brauche|werde|wurde|sollte|müsste|konnte|wollte|musste|heisse|liebe|mag|kenne|verstehe|"
    "vermute|nehme an|deine|eine|keine|diese|seine|ihre|unsere|alle|viele|ohne|gerne|danke|bitte|"
    "heute|erste|sache"
)
_HABIT = re.compile(
    rf"\bich (?:(?:auch|dann|zuerst|zunächst|meistens|immer|oft|normalerweise|gern|gerne) )*"
    rf"(?!(?:{_STATES})\b)\w{{2,}}e\b"
    rf"|\b(?!(?:{_STATES})\b)\w{{2,}}e ich\b"
    r"|\b(?:ich würde|würde ich|ich werde|werde ich)(?: \w+){0,8}? \w{3,}en\b"
)

_SMALL_WORDS = (
    "der die und in den von zu das mit sich des auf für ist im dem nicht ein eine als auch es an "
    "werden aus er hat dass sie nach wird bei einer um am sind noch wie einem über einen so zum "
    "war haben nur oder aber vor zur bis mehr durch man sein wurde ich wir mich mir habe hatte "
    "dann weil wenn da was sehr uns unser unsere mein meine hatten waren würde zuerst"
)

GERMAN = Cues(
    situation=_SITUATION,
    task=_TASK,
    result=_RESULT,
    steps=_STEPS,
    reasons=_REASONS,
    example=_EXAMPLE,
    limits=_LIMITS,
    vague=_VAGUE,
    number=_NUMBER,
    action=_ACTION,
    habit=_HABIT,
    ours=re.compile(r"\b(?:wir|uns|unser\w*)\b"),
    mine=re.compile(r"\b(?:ich|mir|mich|mein\w*|selbst)\b"),
    fillers=re.compile(
        r"\b(?:ä+h+m*|ö+h+m*|e+h+m*|h+m+|sozusagen|quasi|irgendwie|halt|eigentlich|im prinzip|"
        r"wissen sie|weisst du)\b"
    ),
    small_words=frozenset(_SMALL_WORDS.split()),
    ascii_only=False,
    names_by_capitals=False,
    # German words are longer: the same syllables are fewer words.
    comfortable_wpm=(90, 150),
)
