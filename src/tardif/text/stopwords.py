"""Stopwords of each language, from bm25s and stopwordsiso, with own lists for four languages.

A list only saves work and a little noise: BM25 gives almost no weight to a word that is in every document.
"""

from __future__ import annotations

import unicodedata

from tardif.text.languages import Language

# Languages that PyStemmer can stem and for which neither library has a list.
_OWN = {
    "ne": """
        अझै अनि अनुसार अन्य अब अरू अर्थात आदि आफू आफ्नो उनको उनी उनीहरू उसको ऊ एउटा एक एवं कति कसरी
        कसले कहाँ कहिले का कि किन किनभने की कुन कुनै के को कोही गरी गरे गरेको गरेर गर्छ गर्न गर्नु
        गर्ने छ छन् छैन जब जबकि जसको जसले जस्तै जस्तो जहाँ जुन जे जो त तथा तपाईं तर ता तिनी तिमी ती
        त्यस त्यसको त्यसपछि त्यसैले त्यहाँ त्यो थिए थियो द्वारा न नभई नै पछि पनि पर्छ प्रति फेरि बाट
        बारे बीच भए भएको भएर भने भनेर भन्दा भयो म मा मात्र माथि मेरो यदि यस यसको यसरी यसले यहाँ यी
        यो र रूपमा लाई लागि ले वा सँग सबै सम्म साथै सो हरू हामी हाम्रो हुन हुने हुन्छ हो होइन
    """,
    "sr": """
        a ako ali bez bi bih bila bile bili bilo bio bismo biste biti bude budu da do dok ga gde i
        iako ih ili im iz iza između ja je jedan jedna jedno jednog jer jesam jesi jesmo jeste jesu
        još ju k kad kada kako kao kod koga koja koje koji kojih kojim kojoj koju kroz li ma me mene
        meni mi moj moja moje može mu na nad nakon nama nas naš naša naše ne nego neka neke neki
        neko nekog neku nešto ni nije nikad nisam nisi nismo niste nisu njega njegov njemu njen njih
        njihov njim njima njoj o od oko on ona onda one oni ono ova ovaj ove ovi ovo ovog ovom pa po
        pod pored pošto pre pred prema pri s sa sam samo se sebe sebi si smo su sve svi svog svoj
        svoja svoje svom ta tada taj tako takođe te tebe tebi ti tim to tog toga toj tom tome tu
        tvoj u uz vam vas vaš već vi za zašto zbog će ćemo ćete ćeš ću šta što
    """,
    "ta": """
        அதனால் அதன் அது அதை அந்த அல்லது அவன் அவர் அவர்கள் அவற்றை அவள் அவை ஆக ஆகிய ஆகும் ஆனால் இங்கு
        இதனால் இதன் இதில் இது இதை இந்த இருந்த இருந்து இல்லை இவர் இவை உள்ள உள்ளது உள்ளன எங்கு எந்த என
        எனவே எனும் என்ன என்னும் என்பது என்ற என்று எப்படி எப்போது ஏன் ஒரு ஓர் கொண்ட கொண்டு சில தான்
        நான் நாம் நீ நீங்கள் பற்றி பல பின் பின்னர் போது போன்ற மட்டும் மற்றும் மிக மிகவும் முதல்
        மூலம் மேலும் யார் வரை வேண்டும்
    """,
    "yi": """
        אַ אַז אַזוי אַלע אַן אַרויס אָבער אָדער אָן אבער אויב אויך אויס אויף און אונדז אונדזער
        אונטער אזוי איז איך אין איר אלע אלץ אן ביז ביי בין ביסט בײַ גאָר גיין דאַן דאָ דאָך דאָס דאך
        דאן דאס דורך די דיין דיך דיר דעם דער דערנאך דײַן הא האָבן האָט האבן האט וואָס וואו וואס וווּ
        ווי ווייל וועט וועלכע ווען ווער ווערן ווײַל זאָל זאָלן זאל זאלן זי זיי זיין זיינען זייער זיך
        זענען זײַן זײַנען יא יעדער יענער יעצט כדי מיט מיין מיך מיר מען מײַן נאָך נאָר נאך נאכן נאר
        ניט נישט נעבן עס ער ערשט פֿאַר פֿון פֿונעם פאר פון פונעם צו צווישן צום קיין קען קענען שוין
    """,
}
_CYRILLIC = str.maketrans("abvgdđežzijklmnoprstćufhcčš", "абвгдђежзијклмнопрстћуфхцчш")


def stopwords(language: Language) -> frozenset[str]:
    """Return the stopwords of a language in lower case; none if no list is known.

    The list is bm25s' if it has one; else an own short one (Nepali, Serbian, Tamil, Yiddish); else stopwordsiso's
    (MIT). Every language with a stemmer in PyStemmer has a list.

    >>> from tardif.text.languages import language
    >>> "the" in stopwords(language("en"))
    True
    """
    if language.stopwords is not None:
        from bm25s import stopwords as lists

        found = list(getattr(lists, f"STOPWORDS_{'EN' if language.code == 'en' else language.name.upper()}"))
    elif language.code in _OWN:
        found = _OWN[language.code].split()
        if language.code == "sr":  # written in two alphabets
            latin = " ".join(found).replace("lj", "љ").replace("nj", "њ").replace("dž", "џ")
            found += latin.translate(_CYRILLIC).split()
    else:
        import stopwordsiso

        found = list(stopwordsiso.stopwords(language.code))
    return frozenset(unicodedata.normalize("NFKC", word).lower() for word in found)
