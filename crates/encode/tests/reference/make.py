"""Small transformers with random weights, as the reference library saves them, and what it says for some inputs.

    python -m venv v && v/bin/pip install torch transformers tokenizers safetensors pillow
    v/bin/python make.py

Every folder has config.json, model.safetensors, a tokenizer or preprocessor, and expected.safetensors: inputs and outputs.
Weights are drawn wider than trained ones begin, so that each layer shows in the outputs.
"""
import json, pathlib, shutil, sys
import numpy as np, torch, transformers
from PIL import Image
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (BertConfig, BertModel, CLIPConfig, CLIPModel, CLIPImageProcessor, Dinov2Config, Dinov2Model,
                          BitImageProcessor, PreTrainedTokenizerFast, SiglipConfig, SiglipModel, SiglipImageProcessor,
                          XLMRobertaConfig, XLMRobertaModel)

HERE = pathlib.Path(__file__).resolve().parent
TEXTS = ["a captain and a submarine in the war", "The wedding of a bride", "美食达人的一天", "🏀", "war " * 60]
torch.manual_seed(7)


def widen(model):
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.dim() > 1:
                p.copy_(torch.randn_like(p) * 0.2)
            elif name.endswith("bias"):
                p.copy_(torch.randn_like(p) * 0.1)
            else:
                p.copy_(1 + torch.randn_like(p) * 0.2)
    return model.eval()


def folder(name):
    out = HERE / name
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    return out


def saved(model, out):
    model.save_pretrained(out, safe_serialization=True)
    for extra in out.glob("generation_config.json"):
        extra.unlink()


CORPUS = TEXTS + ["the sea and its captain", "wedding bells", "美食小达人 探店", "runs from her wedding", "query: passage:"]


def wordpiece():
    t = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    t.normalizer = normalizers.BertNormalizer(lowercase=True)
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    t.train_from_iterator(CORPUS, trainers.WordPieceTrainer(vocab_size=150, special_tokens=special))
    ids = {s: t.token_to_id(s) for s in special}
    t.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", "[CLS] $A [SEP] $B [SEP]",
                                                     [("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])])
    return t


def unigram():
    t = Tokenizer(models.Unigram())
    t.normalizer = normalizers.NFKC()
    t.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    t.train_from_iterator(CORPUS, trainers.UnigramTrainer(vocab_size=120, special_tokens=special, unk_token="<unk>"))
    t.post_processor = processors.TemplateProcessing("<s> $A </s>", "<s> $A </s> </s> $B </s>", [("<s>", 0), ("</s>", 2)])
    return t


def bpe(start, end):
    t = Tokenizer(models.BPE(unk_token=end, end_of_word_suffix="</w>"))
    t.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    t.pre_tokenizer = pre_tokenizers.Whitespace()
    t.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=160, special_tokens=[start, end], end_of_word_suffix="</w>"))
    t.post_processor = processors.TemplateProcessing(f"{start} $A {end}", f"{start} $A {end} $B {end}", [(start, 0), (end, 1)])
    return t


def normalised(x):
    return torch.nn.functional.normalize(x, dim=-1)


def mean_pooled(model, tokenizer, texts, longest):
    rows = []
    for text in texts:
        ids = tokenizer.encode(text).ids
        if len(ids) > longest:
            tokenizer.enable_truncation(longest)
            ids = tokenizer.encode(text).ids
            tokenizer.no_truncation()
        hidden = model(input_ids=torch.tensor([ids])).last_hidden_state[0]
        rows.append(hidden.mean(0))
    return normalised(torch.stack(rows))


def texts_of(out, extra):
    (out / "texts.json").write_text(json.dumps(TEXTS, ensure_ascii=False) + "\n")
    save_file({k: v.contiguous() for k, v in extra.items()}, out / "expected.safetensors")


def sentence_folder(out, longest, mode="mean"):
    """What sentence-transformers lays beside a model."""
    (out / "1_Pooling").mkdir()
    (out / "1_Pooling" / "config.json").write_text(json.dumps({
        "word_embedding_dimension": 32, "pooling_mode_cls_token": mode == "cls", "pooling_mode_mean_tokens": mode == "mean",
        "pooling_mode_max_tokens": False, "pooling_mode_mean_sqrt_len_tokens": False}))
    (out / "modules.json").write_text(json.dumps([
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"}]))
    (out / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": longest, "do_lower_case": False}))


def pictures():
    rng = np.random.default_rng(3)
    y, x = np.mgrid[0:48, 0:64]
    waves = np.stack([127 + 120 * np.sin(x / 7 + c) * np.cos(y / (5 + c)) for c in range(3)], -1)
    square = lambda side: rng.integers(0, 256, (side, side, 3))
    # The last two need no resizing by one or another of the models.
    return [Image.fromarray(a.astype(np.uint8)) for a in (waves, square(40), square(32), square(36))]


with torch.no_grad():
    # BERT, as MiniLM is laid out: mean pooling, unit length.
    out, t = folder("bert"), wordpiece()
    m = widen(BertModel(BertConfig(vocab_size=t.get_vocab_size(), hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
                                   intermediate_size=64, max_position_embeddings=48), add_pooling_layer=False))
    saved(m, out)
    t.save(str(out / "tokenizer.json"))
    sentence_folder(out, 40)
    texts_of(out, {"rows": mean_pooled(m, t, TEXTS, 40)})

    # XLM-R, as E5 is: mean pooling, unit length, a prefix.
    out, t = folder("xlm-roberta"), unigram()
    m = widen(XLMRobertaModel(XLMRobertaConfig(vocab_size=t.get_vocab_size(), hidden_size=32, num_hidden_layers=2,
                                               num_attention_heads=4, intermediate_size=64, max_position_embeddings=50,
                                               type_vocab_size=1, pad_token_id=1, bos_token_id=0, eos_token_id=2),
                              add_pooling_layer=False))
    saved(m, out)
    t.save(str(out / "tokenizer.json"))
    sentence_folder(out, 48)
    texts_of(out, {"rows": mean_pooled(m, t, TEXTS, 48),
                   "passages": mean_pooled(m, t, ["passage: " + text for text in TEXTS], 48)})

    images = pictures()
    raw = lambda: {f"picture{i}": torch.from_numpy(np.array(p)) for i, p in enumerate(images)}

    def image_tensors(processor, rows):
        pixels = torch.cat([processor(images=p, return_tensors="pt")["pixel_values"] for p in images])
        return pixels, {"image_rows": normalised(rows(pixels)), **raw()}

    # CLIP: both towers, projected.
    out, t = folder("clip"), bpe("<|startoftext|>", "<|endoftext|>")
    n = t.get_vocab_size()
    m = widen(CLIPModel(CLIPConfig(
        text_config=dict(vocab_size=n, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
                         max_position_embeddings=24, bos_token_id=0, eos_token_id=1, pad_token_id=1),
        vision_config=dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, image_size=32,
                           patch_size=8), projection_dim=16)))
    saved(m, out)
    t.save(str(out / "tokenizer.json"))
    processor = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    processor.save_pretrained(out)
    t.enable_truncation(24)
    def pooled(features):
        return features if torch.is_tensor(features) else features.pooler_output
    rows = [pooled(m.get_text_features(input_ids=torch.tensor([t.encode(text).ids])))[0] for text in TEXTS]
    _, of_images = image_tensors(processor, lambda x: pooled(m.get_image_features(pixel_values=x)))
    texts_of(out, {"rows": normalised(torch.stack(rows)), **of_images})

    # SigLIP: padded texts, attention pooling of patches.
    out, t = folder("siglip"), unigram()
    m = widen(SiglipModel(SiglipConfig(
        text_config=dict(vocab_size=t.get_vocab_size(), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
                         num_attention_heads=4, max_position_embeddings=24, pad_token_id=1, projection_size=32),
        vision_config=dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, image_size=32,
                           patch_size=8))))
    saved(m, out)
    t.post_processor = processors.TemplateProcessing("$A </s>", "$A </s> $B </s>", [("</s>", 2)])
    t.save(str(out / "tokenizer.json"))
    processor = SiglipImageProcessor(size={"height": 32, "width": 32})
    processor.save_pretrained(out)
    t.enable_truncation(24)
    t.enable_padding(length=24, pad_id=1, pad_token="<pad>")
    rows = [pooled(m.get_text_features(input_ids=torch.tensor([t.encode(text).ids])))[0] for text in TEXTS]
    _, of_images = image_tensors(processor, lambda x: pooled(m.get_image_features(pixel_values=x)))
    texts_of(out, {"rows": normalised(torch.stack(rows)), **of_images})

    # DINOv2: positions stretched from the size it was trained at.
    out = folder("dinov2")
    m = widen(Dinov2Model(Dinov2Config(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, mlp_ratio=2, image_size=56,
                                       patch_size=8)))
    saved(m, out)
    processor = BitImageProcessor(size={"shortest_edge": 36}, crop_size={"height": 32, "width": 32}, do_center_crop=True,
                                  image_mean=[0.485, 0.456, 0.406], image_std=[0.229, 0.224, 0.225], resample=3)
    processor.save_pretrained(out)
    _, of_images = image_tensors(processor, lambda x: m(pixel_values=x).pooler_output)
    save_file({k: v.contiguous() for k, v in of_images.items()}, out / "expected.safetensors")

(HERE / "README.md").write_text(
    "# Small transformers of the reference library\n\n"
    f"Made by `make.py` with transformers {transformers.__version__} and torch {torch.__version__}: random weights, no data of "
    "anybody. Each folder is laid out as trained models are; `expected.safetensors` holds inputs and what the library answers.\n")
