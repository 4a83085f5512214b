"""Function words of each language, from the libraries that have lists and a few of our own.

A list only saves work and a little noise: what stands in every document weighs next to nothing in
BM25 anyway.
"""

from __future__ import annotations

import unicodedata

from tardif.languages import Language

# Languages that PyStemmer can stem and for which neither library has a list.
_OWN = {
    "ne": """
        अझै अनि अनुसार अन्य अब अरू अर्थात आफू आफ्नो आदि उनको उनी उनीहरू उसको ऊ एउटा एक एवं कति कसरी कसले कहाँ कहिले का
        कि किन किनभने की कुन कुनै के को कोही गरी गरे गरेको गरेर गर्छ गर्न गर्ने गर्नु छ छन् छैन जब जबकि जस्तै जस्तो जसको
        जसले जहाँ जुन जे जो त तथा तपाईं तर ता तिनी तिमी ती त्यस त्यसको त्यसपछि त्यसैले त्यहाँ त्यो थिए थियो द्वारा न नै
        नभई पछि पनि पर्छ प्रति फेरि बाट बारे बीच भए भएको भएर भन्दा भने भनेर भयो म मा मात्र माथि मेरो यदि यस यसको यसरी यसले
        यहाँ यी यो र रूपमा लाई लागि ले वा सँग सबै सम्म साथै सो हरू हाम्रो हामी हुन हुने हुन्छ हो होइन
    """,
    "sr": """
        a ako ali ali bez bi bih bila bile bili bilo bio bismo biste biti bude budu da dok do ga gde i iako ih ili im iz iza
        između ja je jer jesam jesi jesmo jeste jesu jedan jedna jedno jednog još ju k kad kada kako kao koga koja koje koji
        kojih kojim kojoj koju kod kroz li ma me mene meni mi moj moja moje mu može na nad nakon nama nas naš naša naše ne
        nego neka neke neki nekog neko neku nešto ni nije nikad nisam nisi nismo niste nisu njega njegov njemu njen njih njihov
        njim njima njoj o od oko on ona onda one oni ono ovaj ova ove ovi ovo ovog ovom pa po pod pored pošto pre pred prema pri
        s sa sam samo se sebe sebi si smo sve svi svoj svoja svoje svog svom su ta tada taj tako takođe te tebe tebi ti tim to
        tog toga toj tom tome tu tvoj u uz vam vas vaš već vi za zašto zbog će ćemo ćete ćeš ću što šta
    """,
    "ta": """
        அதன் அதனால் அது அதை அந்த அல்லது அவர் அவர்கள் அவள் அவற்றை அவன் அவை ஆக ஆகிய ஆகும் ஆனால் இங்கு இதன் இதனால் இதில் இது இதை
        இந்த இருந்த இருந்து இல்லை இவர் இவை உள்ள உள்ளது உள்ளன எங்கு எந்த எப்படி எப்போது என என்பது என்ற என்று என்ன என்னும் எனவே
        எனும் ஏன் ஒரு ஓர் கொண்ட கொண்டு சில தான் நாம் நான் நீ நீங்கள் பல பற்றி பின் பின்னர் போது போன்ற மட்டும் மற்றும் மிக
        மிகவும் முதல் மூலம் மேலும் யார் வரை வேண்டும்
    """,
    "yi": """
        אבער אויב אויך אויס אויף אונדז אונדזער אונטער אזוי אין איז איך איר אלע אלץ אן און אַ אַז אַזוי אַלע אַן אַרויס אָבער אָדער
        אָן ביי ביז ביסט בין בײַ גאָר גיין דאך דאָ דאָך דאָס דאס דורך די דיר דיך דיין דײַן דעם דער דאן דאַן דערנאך האבן האט האָבן
        האָט הא וואס וואָס וואו וווּ ווי ווייל ווײַל ווען ווער ווערן וועט וועלכע זאל זאָל זאלן זיי זייער זיך זיין זײַן זי זיינען זענען זײַנען זאָלן
        יא יעדער יענער יעצט כדי מיט מיך מיר מיין מײַן מען נאך נאָך נאָר נאר ניט נישט נאכן נעבן עס ער ערשט פאר פֿאַר פון פֿון פונעם פֿונעם צו
        צום צווישן קיין קען קענען שוין
    """,
}
_CYRILLIC = str.maketrans("abvgdđežzijklmnoprstćufhcčš", "абвгдђежзијклмнопрстћуфхцчш")


def stopwords(language: Language) -> frozenset[str]:
    """The stopwords of a language, in lower case; none where no list is known.

    bm25s' lists where it has one; else stopwordsiso's (MIT); else, for Nepali, Serbian, Tamil and
    Yiddish, short ones of our own. All languages with a stemmer in PyStemmer have a list.
    """
    if language.stopwords is not None:
        from bm25s import stopwords as lists

        found = list(getattr(lists, f"STOPWORDS_{'EN' if language.code == 'en' else language.name.upper()}"))
    elif language.code in _OWN:
        found = _OWN[language.code].split()
        if language.code == "sr":  # written in two alphabets
            found += [_cyrillic(word) for word in found]
    else:
        import stopwordsiso

        found = list(stopwordsiso.stopwords(language.code))
    return frozenset(unicodedata.normalize("NFKC", word).lower() for word in found)


def _cyrillic(word: str) -> str:
    return word.replace("lj", "љ").replace("nj", "њ").replace("dž", "џ").translate(_CYRILLIC)
