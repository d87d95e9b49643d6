"""Words that end in a full stop without ending a sentence, in the languages of interviews.

All are lower-cased; single letters ("z. B.", "т. е.") need no entry. All languages share the lists,
since a reply may mix languages, and its language is not always known. A word that is an
abbreviation in one language and a common last word in another is left out ("mind.", "ok."), or
counts only after the word that belongs to it ("ad es.", but "Así es.").
"""


def _words(*lists: str) -> frozenset[str]:
    return frozenset(word.casefold() for words in lists for word in words.split())


NEVER_END = _words(
    # English
    "approx. ca. capt. cf. col. dept. dr. gen. lt. mr. mrs. ms. mt. mx. prof. rev. sgt. sr. st.",
    "viz. vs.",
    # German
    "abzgl. allg. bspw. bzw. dipl. evtl. exkl. geb. ggf. hr. hrn. ing. inkl. insb. mio. mrd. sog.",
    "mwst. vgl. zzgl.",
    # French, Spanish, Portuguese, Italian
    "av. avda. avv. bd. dña. dott. dra. ee. ej. env. exma. exmo. j.-c. p.ej. p.ex. prof. sig. sra.",
    "srta. ud. uds.",
    # Dutch
    "bijv. dhr. drs. evt. excl. incl. mevr. mw. resp. zgn.",
    # Polish
    "hab. inż. m.in. np. tj. tzn. tzw. ul. św.",
    # Russian
    "акад. им. млрд. напр. проф. см. тов. тыс. ул.",
    # Greek, Turkish, Hindi
    "βλ. δηλ. δρ. bkz. cad. doç. örn. sn. yrd. डॉ. प्रो. श्री.",
)

MAY_END = _words(
    "a.m. al. b.sc. co. corp. etc. inc. jr. ltd. m.sc. p.m. ph.d.",
    "usw. uvm. ecc. uu. enz. itd. itp. vb. κλπ. κ.λπ. κτλ. κ.ά. т.д. т.п. др. пр. руб.",
)
"""The next word's case decides."""

BEFORE_NUMBERS = _words(
    "abs. art. ch. chap. fig. no. nr. núm. pag. pp. pág. sec. tel. vol. blz. godz. str. гл.",
    "рис. стр. αρ. σελ.",
)
"""These end a sentence, but not before a digit."""

PHRASES = frozenset({"ad es.", "per es.", "par ex.", "por ex.", "p. ex."})
"""Two words that never end a sentence, although the second alone may."""

BEFORE_ORDINALS = _words(
    "ab am bis das dem den der des die im jeden seit vom zum",  # German: am 3. Oktober
    "d. den",  # Danish, Norwegian
    "dnia od do",  # Polish
)
"""A number with a full stop after one of these is an ordinal and ends no sentence."""
