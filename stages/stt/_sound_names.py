"""How recognisers name sounds in brackets, in languages other than English and German. Pure."""

from collections.abc import Mapping

SOUND_NAMES: Mapping[str, tuple[str, ...]] = {
    "ar": ("موسيقى", "تصفيق", "ضحك", "صمت"),
    "cs": ("hudba", "potlesk", "smích", "ticho"),
    "da": ("musik", "bifald", "latter", "stilhed"),
    "es": (
        *("música", "música de fondo", "música suave", "aplausos", "risas", "silencio", "tos"),
        *("suspiro", "ruido", "ruido de fondo", "inaudible"),
    ),
    "fi": ("musiikkia", "musiikki", "aplodeja", "naurua", "hiljaisuus"),
    "fr": (
        *("musique", "musique douce", "applaudissements", "rires", "rire", "soupir", "toux"),
        *("bruit", "bruit de fond", "silence", "inaudible"),
    ),
    "hi": ("संगीत", "तालियां", "हंसी"),
    "hu": ("zene", "taps", "nevetés", "csend"),
    "it": ("musica", "musica di sottofondo", "applausi", "risate", "silenzio", "tosse", "rumore"),
    "ja": ("音楽", "拍手", "笑い", "笑い声", "笑", "沈黙", "無音", "咳", "ため息", "雑音"),
    "ko": ("음악", "박수", "웃음", "웃음소리", "침묵", "기침"),
    "nl": ("muziek", "applaus", "gelach", "stilte", "gehoest"),
    "no": ("musikk", "applaus", "latter", "stillhet"),
    "pl": ("muzyka", "oklaski", "śmiech", "cisza", "kaszel"),
    "pt": ("música", "música de fundo", "aplausos", "risos", "silêncio", "tosse", "ruído"),
    "ru": ("музыка", "аплодисменты", "смех", "тишина", "вздох", "кашель", "шум", "неразборчиво"),
    "sv": ("musik", "applåder", "skratt", "tystnad"),
    "tr": ("müzik", "alkış", "alkışlar", "gülüşmeler", "sessizlik"),
    "uk": ("музика", "оплески", "сміх", "тиша"),
    "zh": (
        *("音乐", "音樂", "背景音乐", "背景音樂", "掌声", "掌聲", "鼓掌", "笑声", "笑聲", "静音"),
        *("静默", "咳嗽", "噪音", "电话铃声", "铃声"),
    ),
}
