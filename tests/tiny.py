"""Tiny models of every family, like the real ones in all but size: random weights, trained tokenizers."""

from __future__ import annotations

import json
import shutil
import string
from pathlib import Path

FAMILIES = ("bert", "roberta", "xlm-roberta", "distilbert", "electra", "deberta-v2", "modernbert")
HIDDEN, POSITIONS = 32, 128
_VOCABULARY = 384

SENTENCES = [
    "Late interaction keeps one vector per token of a text.",
    "Retrieval finds the documents that answer a question.",
    "The cat sat on the mat, and the dog slept by the door.",
    "How do I reset the password of my account?",
    "Bake the bread for forty minutes at 220 degrees.",
    "The quick brown fox jumps over the lazy dog.",
    "A query of three words (or two) is short!",
    "Rivers carry sand and stones down to the sea.",
    "What is the capital of France? It is Paris.",
    "Berlin, Vienna and Zürich are cities where German is spoken.",
    "Été, hiver, printemps: les saisons passent à Paris.",
    "Der Zug fährt über die Brücke nach Süden.",
    "El niño comió una manzana en la plaza.",
    "晚期交互 模型 检索 文档。",
    "東京は日本の首都です。",
    "Вечером в Москве идёт снег.",
    "In 1969 people walked on the moon for the first time.",
    "Plants turn light, water and air into sugar.",
    "The heart pumps blood through the body all day.",
    "Interest rates rose by 0.25% in March and fell in June.",
    "She wrote the program in two days; it had one bug.",
    "The train from the north is late again today.",
    "Vectors of the same length are compared by their inner product.",
    "Copper conducts heat and electricity better than iron.",
    "A violin has four strings and is played with a bow.",
    "Bees dance to tell each other where the flowers are.",
    "The contract ends after three years unless it is renewed.",
    "Snow falls in winter; in spring it melts into the rivers.",
    "He paid 12 dollars for a book that costs 20.",
    "The moon pulls the sea and makes the tides.",
    # Real vocabularies hold every symbol, alone and behind a space.
    *(f"{mark} a{mark} {mark}a" for mark in string.punctuation),
    *["yes . no . maybe . so . and , or , but , if ,"] * 4,
    " ".join(string.ascii_letters + string.digits),
]


def exact_model(base: str | Path):
    """A model of ``base`` whose gradients can be told to the last digit: float64, no dropout, in training."""
    from tardif.encoder.base import resolve_base
    from tardif.encoder.model import build_model, set_dropout
    from tardif.encoder.recipe import Recipe

    model = build_model(resolve_base(base), Recipe(dim=16)).double()
    set_dropout(model, 0.0)
    return model.train()


def fingerprint(model):
    """A number for all that a model's query encoder is made of; None if it cannot be exported."""
    import torch
    import xxhash

    from tardif.encoder.onnx.convert import query_form
    from tardif.errors import ModelError

    try:
        form = query_form(model)
    except ModelError:
        return None
    found = xxhash.xxh3_128(f"{form} {model} {model[0].model.config} {model.training}".encode())
    found.update(model[0].tokenizer.backend_tokenizer.to_str().encode())
    for name, weight in model.state_dict().items():
        found.update(f"{name} {weight.dtype} {tuple(weight.shape)}".encode())
        found.update(weight.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return found.digest()


def gradients(model):
    """The gradient of every weight that has one."""
    return {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}


def slope(model, direction, value, size):
    """How fast ``value()`` changes along a direction in the weights, from a step of this size to either side."""
    import torch

    length = sum(float(part.square().sum()) for part in direction.values())
    step, weights, sides = size / length**0.5, dict(model.named_parameters()), []
    for sign in (1, -2, 1):  # there, to the other side, and back
        with torch.no_grad():
            for name, part in direction.items():
                weights[name] += sign * step * part
        sides.append(value())
    return (sides[0] - sides[1]) / (2 * step)


def save_base(family: str, folder: Path) -> Path:
    """Write a base of ``family`` with random weights (always the same ones)."""
    import torch
    import transformers

    transformers.utils.logging.disable_progress_bar()
    tokenizer = _TOKENIZERS[family]()
    with torch.random.fork_rng():
        torch.manual_seed(7)
        model = _encoder(family, tokenizer)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


SLOW = ("BertJapaneseTokenizer", "PhobertTokenizer", "BertweetTokenizer")


def save_slow(tokenizer: str, base: Path, folder: Path, merges: str = "") -> Path:
    """A copy of a base (BERT for the first, RoBERTa for the others) with one of the tokenizers that are all Python."""
    written = ("tokenizer.json", "vocab.json", "merges.txt", "special_tokens_map.json")
    shutil.copytree(base, folder, ignore=shutil.ignore_patterns(*written))
    options = {"tokenizer_class": tokenizer, "model_max_length": POSITIONS}
    if tokenizer == "BertJapaneseTokenizer":
        options |= {"word_tokenizer_type": "basic", "do_lower_case": False}
        vocabulary = json.loads((base / "tokenizer.json").read_text())["model"]["vocab"]
        (folder / "vocab.txt").write_text("\n".join(sorted(vocabulary, key=vocabulary.__getitem__)) + "\n")
    else:
        symbols = string.ascii_letters + string.digits + string.punctuation
        (folder / "vocab.txt").write_text("".join(f"{piece} 1\n{piece}@@ 1\n" for piece in symbols) + "et@@ 1\n")
        (folder / "bpe.codes").write_text(merges)
    _write_json(folder / "tokenizer_config.json", options)
    return folder


def save_dense(base: Path, folder: Path) -> Path:
    """A dense sentence-transformers model on ``base``."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Normalize, Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    modules = [Transformer(str(base)), Pooling(HIDDEN), Normalize()]
    SentenceTransformer(modules=modules, device="cpu").save_pretrained(str(folder), create_model_card=False)
    return folder


def save_multi_vector(base: Path, folder: Path, dim: int = 16) -> Path:
    """A late-interaction model in sentence-transformers' own format."""
    from tardif.encoder.base import resolve_base
    from tardif.encoder.model import build_model
    from tardif.encoder.recipe import Recipe

    model = build_model(resolve_base(base), Recipe(dim=dim, query_length=40, document_length=48, expansion=32))
    model.save_pretrained(str(folder), create_model_card=False)
    return folder


def save_stanford(base: Path, folder: Path, dim: int = 24) -> Path:
    """A checkpoint as Stanford's ColBERT writes it, on a BERT ``base``."""
    import torch
    from safetensors.torch import load_file, save_file

    shutil.copytree(base, folder)
    weights = {f"bert.{name}": tensor for name, tensor in load_file(base / "model.safetensors").items()}
    weights["linear.weight"] = torch.randn(dim, HIDDEN, generator=torch.Generator().manual_seed(3))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    _edit_json(folder / "config.json", architectures=["HF_ColBERT"])
    _write_json(
        folder / "artifact.metadata",
        {
            "query_maxlen": 20,
            "doc_maxlen": 60,
            "dim": dim,
            "query_token_id": "[unused0]",
            "doc_token_id": "[unused1]",
            "attend_to_mask_tokens": False,
            "mask_punctuation": True,
        },
    )
    return folder


def save_pylate(base: Path, folder: Path, dim: int = 24) -> Path:
    """A checkpoint as PyLate writes it, on a BERT ``base``: its markers are tokens with a trailing space."""
    import torch
    from safetensors.torch import save_file
    from transformers import AddedToken, AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.add_tokens([AddedToken("[Q] ", normalized=True), AddedToken("[D] ", normalized=True)])
    encoder = AutoModel.from_pretrained(base)
    encoder.resize_token_embeddings(len(tokenizer))
    encoder.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    dense = folder / "1_Dense"
    dense.mkdir()
    linear = torch.randn(dim, HIDDEN, generator=torch.Generator().manual_seed(3))
    save_file({"linear.weight": linear}, dense / "model.safetensors")
    _write_json(
        dense / "config.json",
        {
            "in_features": HIDDEN,
            "out_features": dim,
            "bias": False,
            "activation_function": "torch.nn.modules.linear.Identity",
        },
    )
    _write_json(
        folder / "modules.json",
        [
            {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
            {"idx": 1, "name": "1", "path": "1_Dense", "type": "pylate.models.Dense.Dense"},
        ],
    )
    _write_json(folder / "sentence_bert_config.json", {"max_seq_length": 59, "do_lower_case": False})
    _write_json(
        folder / "config_sentence_transformers.json",
        {
            "__version__": {"sentence_transformers": "4.0.2", "transformers": "4.48.2", "pytorch": "2.6.0"},
            "prompts": {},
            "default_prompt_name": None,
            "similarity_fn_name": "MaxSim",
            "model_type": "ColBERT",
            "query_prefix": "[Q] ",
            "document_prefix": "[D] ",
            "query_length": 32,
            "document_length": 60,
            "attend_to_expansion_tokens": False,
            "do_query_expansion": True,
            "skiplist_words": list(string.punctuation),
        },
    )
    return folder


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value))


def _edit_json(path: Path, **values: object) -> None:
    _write_json(path, {**json.loads(path.read_text()), **values})


def _encoder(family, tokenizer):
    from transformers import AutoConfig, AutoModel

    after_padding = family in ("roberta", "xlm-roberta")  # their positions begin after the padding index
    options = {
        "vocab_size": len(tokenizer),
        "hidden_size": HIDDEN,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": POSITIONS + 2 * after_padding,
        "pad_token_id": tokenizer.pad_token_id,
    }
    if family == "distilbert":
        options |= {"dim": HIDDEN, "n_layers": 2, "n_heads": 2, "hidden_dim": 64}
        for name in ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"):
            del options[name]
    if family == "electra":
        options["embedding_size"] = 16
    if family == "deberta-v2":  # as microsoft/deberta-v3-*
        options |= {
            "relative_attention": True,
            "position_buckets": 32,
            "pos_att_type": ["p2c", "c2p"],
            "norm_rel_ebd": "layer_norm",
            "share_att_key": True,
            "position_biased_input": False,
            "type_vocab_size": 0,
        }
    if family == "modernbert":
        options |= {
            "local_attention": 16,
            "cls_token_id": tokenizer.cls_token_id,
            "sep_token_id": tokenizer.sep_token_id,
            "bos_token_id": tokenizer.cls_token_id,
            "eos_token_id": tokenizer.sep_token_id,
        }
    return AutoModel.from_config(AutoConfig.for_model(family, **options))


def _wordpiece(name):
    def make():
        import transformers

        # Trained once on SENTENCES and kept: the trainer chooses other pieces in every process.
        pieces = Path(__file__).with_name("wordpiece.txt").read_text(encoding="utf-8").split()
        special = ["[PAD]", "[unused0]", "[unused1]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        vocabulary = {token: number for number, token in enumerate(dict.fromkeys([*special, *pieces]))}
        return getattr(transformers, name)(vocab=vocabulary)

    return make


def _byte_pieces(special):
    """A byte-level BPE vocabulary (special tokens first) and its merges."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=_VOCABULARY,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    trained.train_from_iterator(SENTENCES, trainer)
    model = json.loads(trained.to_str())["model"]
    return model["vocab"], [tuple(merge) for merge in model["merges"]]


def _roberta():
    from transformers import AddedToken, RobertaTokenizer

    vocabulary, merges = _byte_pieces(["<s>", "<pad>", "</s>", "<unk>"])
    vocabulary["<mask>"] = len(vocabulary)
    mask = AddedToken("<mask>", lstrip=True, special=True)
    return RobertaTokenizer(vocab=vocabulary, merges=merges, mask_token=mask)


def _modernbert():
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import AddedToken, PreTrainedTokenizerFast

    vocabulary, merges = _byte_pieces(["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"])
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    backend.normalizer = normalizers.NFC()
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B [SEP]",
        special_tokens=[(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")],
    )
    # The real one also has runs of spaces as tokens of their own.
    backend.add_tokens([AddedToken(" " * count, normalized=True) for count in (8, 4, 3, 2)])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        pad_token="[PAD]",
        mask_token=AddedToken("[MASK]", lstrip=True, special=True),
        model_input_names=["input_ids", "attention_mask"],
    )


def _sentence_pieces(special):
    """A unigram vocabulary with scores, the special tokens first."""
    # Trained once on SENTENCES and kept: the trainer gives other orders and last digits in every process.
    pieces = json.loads(Path(__file__).with_name("unigram.json").read_text(encoding="utf-8"))
    return [*((token, 0.0) for token in special), *map(tuple, pieces)]


def _xlm_roberta():
    from transformers import AddedToken, XLMRobertaTokenizer

    vocabulary = [*_sentence_pieces(["<s>", "<pad>", "</s>", "<unk>"]), ("<mask>", 0.0)]
    return XLMRobertaTokenizer(vocab=vocabulary, mask_token=AddedToken("<mask>", lstrip=True, special=True))


def _deberta():
    from transformers import DebertaV2Tokenizer

    vocabulary = [*_sentence_pieces(["[PAD]", "[CLS]", "[SEP]", "[UNK]"]), ("[MASK]", 0.0)]
    return DebertaV2Tokenizer(vocab=vocabulary)


_TOKENIZERS = {
    "bert": _wordpiece("BertTokenizer"),
    "distilbert": _wordpiece("DistilBertTokenizer"),
    "electra": _wordpiece("ElectraTokenizer"),
    "roberta": _roberta,
    "xlm-roberta": _xlm_roberta,
    "deberta-v2": _deberta,
    "modernbert": _modernbert,
}
