"""Lines of subtitles that Whisper writes for sound without speech, by language. Pure.

Its training data ended silence with credits and farewells of films and channels, in every language.
English and German have more forms, in `stages.stt.speech_check`.
"""

from collections.abc import Mapping

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
"""What is hardly ever a whole answer."""

POLITE: tuple[str, ...] = (
    *("danke", "vielen dank", "tschüss", "bis zum nächsten mal", "bis dann"),
    *("merci", "merci beaucoup", "au revoir", "gracias", "muchas gracias", "adiós", "grazie"),
    *("grazie a tutti", "ciao", "obrigado", "obrigada", "tchau", "bedankt", "dank je wel", "tack"),
    *("tak", "takk", "kiitos", "dziękuję", "dzięki", "спасибо", "пока", "дякую", "teşekkürler"),
    *("teşekkür ederim", "谢谢", "謝謝", "谢谢大家", "ありがとうございました", "おやすみなさい"),
    *("ありがとうございます", "감사합니다", "شكرا", "תודה", "धन्यवाद", "amen", "terima kasih"),
)
"""What people say as well: believed unless it is doubtful."""
