"""Lines of subtitles that Whisper writes for sound without speech, by language. Pure.

Its training data ended silence with credits and farewells of films and channels, in every language.
The patterns are for plain words (`stages.stt._described_sounds.plain_words`): lower case, without
marks and accents; "copyright" stands for its sign.
"""

import re
from collections.abc import Mapping, Sequence

CREDITS: Mapping[str, tuple[str, ...]] = {
    "ar": ("اشتركوا في القناة", "لا تنسوا الاشتراك في القناة", "ترجمة نانسي قنقر", "شكرا للمشاهدة"),
    "cs": ("titulky vytvořil JohnyX", "www.titulky.com", "děkuji za sledování"),
    "da": ("Danske tekster af Nicolai Winther", "Tak fordi du så med", "Tak for at se med"),
    "el": ("Υπότιτλοι AUTHORWAVE", "Ευχαριστώ που παρακολουθήσατε"),
    "es": (
        *("Gracias por ver", "Gracias por ver el video", "Gracias por ver este video"),
        *("Suscríbete", "Suscríbete al canal", "Suscríbanse al canal", "No olvides suscribirte"),
        *("Hasta el próximo video", "Nos vemos en el próximo video"),
    ),
    "fi": ("Kiitos kun katsoit", "Kiitos katsomisesta"),
    "fr": (
        *("Merci d'avoir regardé", "Merci d'avoir regardé cette vidéo", "Abonnez-vous"),
        *("Merci d'avoir regardé la vidéo", "Abonnez-vous à la chaîne", "À la prochaine vidéo"),
        *("Sous-titrage ST' 501", "Sous-titrage Société Radio-Canada", "Sous-titrage FR"),
        *("N'oubliez pas de vous abonner", "Sous-titrage MFP"),
    ),
    "he": ("תודה על הצפייה", "תודה שצפיתם"),
    "hi": ("देखने के लिए धन्यवाद", "चैनल को सब्सक्राइब करें"),
    "hu": ("Köszönöm, hogy megnézted", "Köszönöm a figyelmet, iratkozz fel"),
    "id": ("Terima kasih telah menonton", "Terima kasih sudah menonton"),
    "it": (
        *("Sottotitoli e revisione a cura di QTSS", "Sottotitoli a cura di QTSS"),
        *("Iscrivetevi al canale", "Iscriviti al canale", "Grazie per aver guardato il video"),
        *("Grazie per la visione", "Grazie per aver guardato"),
    ),
    "ja": (
        *(
            "ご視聴ありがとうございました",
            "ご視聴ありがとうございます",
            "チャンネル登録お願いします",
        ),
        *("最後までご視聴いただきありがとうございました", "チャンネル登録をお願いいたします"),
        *("ご覧いただきありがとうございます", "ご覧いただきありがとうございました"),
    ),
    "ko": (
        *("시청해주셔서 감사합니다", "시청해 주셔서 감사합니다", "구독과 좋아요 부탁드립니다"),
        *("MBC 뉴스 이덕영입니다", "한글자막 by 한효정", "다음 영상에서 만나요"),
    ),
    "nl": ("Bedankt voor het kijken", "TV GELDERLAND 2021", "Abonneer je op het kanaal"),
    "no": ("Teksting av Nicolai Winther", "Takk for at du så på", "Undertekster av Ai-Media"),
    "pl": (
        *("Dziękuję za oglądanie", "Dzięki za oglądanie", "Dziękuję za obejrzenie"),
        *("Zapraszam do subskrypcji", "Nie zapomnijcie zasubskrybować"),
    ),
    "pt": (
        *("Obrigado por assistir", "Obrigada por assistir", "Obrigado por assistir o vídeo"),
        *("Inscreva-se no canal", "Se inscreva no canal", "Não esqueça de se inscrever"),
    ),
    "ro": (
        "Vă mulțumesc pentru vizionare",
        "Nu uitați să vă abonați",
        "Mulțumesc pentru vizionare",
    ),
    "ru": (
        *("Субтитры сделал DimaTorzok", "Субтитры создавал DimaTorzok", "Спасибо за просмотр"),
        *("Субтитры делал DimaTorzok", "Субтитры добавил DimaTorzok", "Продолжение следует"),
        *("Субтитры подогнал «Симон»", "Подписывайтесь на канал", "Ставьте лайки"),
        *("Редактор субтитров А.Семкин Корректор А.Егорова", "Подписывайтесь на мой канал"),
        *("Редактор субтитров А.Синецкая Корректор А.Егорова", "До новых встреч"),
    ),
    "sv": (
        *("Tack för att ni tittade", "Tack för att du tittade", "Tack till elever och lärare"),
        *("Undertexter av Ai-Media", "Svensktextning.nu"),
    ),
    "tr": (
        *("Altyazı M.K.", "İzlediğiniz için teşekkür ederim", "İzlediğiniz için teşekkürler"),
        *("Abone olmayı unutmayın", "Kanalıma abone olun"),
    ),
    "uk": ("Дякую за перегляд", "Дякуємо за перегляд", "Підписуйтесь на канал"),
    "vi": (
        *("Cảm ơn các bạn đã theo dõi", "Cảm ơn các bạn đã xem video"),
        *("Hãy subscribe cho kênh Ghiền Mì Gõ Để không bỏ lỡ những video hấp dẫn",),
    ),
    "zh": (
        *("请不吝点赞 订阅 转发 打赏支持明镜与点点栏目", "字幕志愿者 李宗盛", "字幕by索兰娅"),
        *("請不吝點贊 訂閱 轉發 打賞支持明鏡與點點欄目", "谢谢观看", "謝謝觀看", "感谢观看"),
        *("字幕由Amara.org社区提供", "由 Amara.org 社群提供的字幕"),
        *("感謝觀看", "谢谢大家观看", "谢谢您的观看", "謝謝大家觀看", "请订阅我的频道"),
    ),
}
"""Lines that are hardly ever a whole answer."""

POLITE: tuple[str, ...] = (
    *("danke", "vielen dank", "tschüss", "bis zum nächsten mal", "bis dann"),
    *("merci", "merci beaucoup", "au revoir", "gracias", "muchas gracias", "adiós", "grazie"),
    *("grazie a tutti", "ciao", "obrigado", "obrigada", "tchau", "bedankt", "dank je wel", "tack"),
    *("tak", "takk", "kiitos", "dziękuję", "dzięki", "спасибо", "пока", "дякую", "teşekkürler"),
    *("teşekkür ederim", "谢谢", "謝謝", "谢谢大家", "ありがとうございました", "おやすみなさい"),
    *("ありがとうございます", "감사합니다", "شكرا", "תודה", "धन्यवाद", "amen", "terima kasih"),
)
"""Lines that people say as well: they are believed unless they are doubtful."""


def _any_of(lines: Sequence[str]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{line})" for line in lines))


_THANKS = r"(?:thank you|thanks)(?: (?:so|very) much| all| again)? for (?:watching|viewing)"
_BROADCASTER = (
    "(?:ard(?: text)?|br|funk|hr|mdr|ndr|orf|rbb|srf|swr|wdr|zdf|arte|3sat|bbc|abc|cbc|nbc|pbs|cnn"
    "|npr|rai|nhk|rtve|(?:the )?australian broadcasting corporation)"
)
_AMARA = r"amara org(?: community| gemeinschaft)?"
_COMMISSIONED = rf"im auftrag (?:des|der|von) {_BROADCASTER}(?: fur funk)?(?: \d+)?"
_CREDITED = (
    r"(?:sub(?:title)?s|subtitled|captions?|captioned|captioning|translated|translation|transcribed"
    r"|transcription|transcript)"
)

SUBTITLE = _any_of(
    (
        rf"{_THANKS}(?: (?:everyone|guys|this|the|my|our|video|videos|episode|channel|and|bye"
        r"|(?:i ll )?see you (?:next time|soon|later|in the next (?:one|video))))*",
        r"(?:please |don t forget to |and |like |share |comment )*subscribe"
        r"(?: (?:and|like|share|comment|hit|the|bell|to|my|our|this|channel|button|for more"
        r"|below))*",
        r"(?:i ll |i will )?see you (?:guys |all )?(?:in |on )?(?:the )?next (?:video|episode)",
        r"(?:subtitles?|captions?|transcription|untertitel)"
        r" (?:created |provided )?(?:by|der|von) (?:the )?amara org(?: community)?",
        rf"{_CREDITED}(?: \w+){{0,3}} (?:by|from) (?:the )?{_AMARA}",
        rf"{_CREDITED} by (?:https? )?(?:www )?"
        r"(?:otter ai|rev com|castingwords(?: com)?|zeoranger co uk)",
        r"untertitel von stephanie geiges",
        rf"untertitel(?:ung)? (?:des|der|von) {_BROADCASTER}(?: fur funk)?(?: \d+)?",
        rf"untertitel(?:ung)? (?:{_BROADCASTER} )?(?:mediagroup )?(?:gmbh )?{_COMMISSIONED}",
        rf"(?:{_BROADCASTER} )?mediagroup (?:gmbh )?{_COMMISSIONED}",
        r"(?:vielen dank|danke)(?: schon)? furs (?:zuschauen|zusehen)",
        r"(?:copyright (?:\w+ ){0,5})?all rights reserved",
        rf"copyright (?:by )?{_BROADCASTER}(?: mediagroup)?(?: gmbh)?(?: \d{{4}})?",
        r"(?:sous titres|subtitulos|sottotitoli|legendas|ondertitel\w{0,4}|napisy|titulky"
        r"|feliratok|subtitrarea|undertexter|undertekster|субтитры) (?:\w+ ){0,7}amara org"
        r"(?: \w+){0,3}",
    )
)
"""Lines of subtitles that are hardly ever an answer."""

UNLIKELY = _any_of(
    (
        rf"(?:www )?{_AMARA}",
        rf"(?:{_CREDITED}(?: \w+){{0,3}} )?(?:by|from) (?:\w+ ){{0,3}}amara org(?: \w+){{0,3}}",
        rf"{_CREDITED} by (?:https? |www |otter ai|rev com|castingwords).{{0,60}}",
        rf"(?:{_BROADCASTER} )?(?:gmbh )?{_COMMISSIONED}",
        r"copyright (?:19|20)\d\d(?: \w+){0,5}",
        rf"{_BROADCASTER} (?:19|20)\d\d",
        r"(?:the end|to be continued|bbc radio \d|ard text)",
    )
)
"""Whole texts that are believed only if the recogniser reports that it is sure."""

DOUBTFUL = _any_of(
    (
        rf"{_THANKS} .{{1,40}}",
        r"(?:subtitles?|captions?|captioning|captioned|transcription|transcribed|transcript"
        r"|translated)(?: (?:created|provided|made|edited))? by .{1,80}",
        r"(?:untertitel|untertitelung)\b.{0,80}",
        r"(?:for more information )?(?:visit )?www .{1,60}",
        r"copyright .{0,80}",
    )
)
"""Beginnings of such lines, which begin answers as well: those who work with subtitles say them."""
