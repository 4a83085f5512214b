"""Usual names of columns in other languages than English: a table of questions and answers has its own language's."""

from __future__ import annotations

QUERIES = (
    "frage", "pregunta", "domanda", "pergunta", "vraag", "fråga", "spørsmål", "spørgsmål", "kysymys", "pytanie",
    "otázka", "kérdés", "întrebare", "intrebare", "soru", "вопрос", "питання", "запитання", "въпрос", "ερώτηση", "سؤال",
    "السؤال", "שאלה", "質問", "問題", "问题", "질문", "câu hỏi", "pertanyaan", "प्रश्न",
)  # fmt: skip
POSITIVES = (
    "antwort", "réponse", "reponse", "respuesta", "risposta", "resposta", "antwoord", "svar", "vastaus", "odpowiedź",
    "odpověď", "odpoveď", "válasz", "răspuns", "raspuns", "cevap", "yanıt", "ответ", "відповідь", "отговор", "απάντηση",
    "إجابة", "الإجابة", "جواب", "תשובה", "回答", "答え", "答案", "답변", "câu trả lời", "jawaban", "उत्तर",
)  # fmt: skip
