"""The same networks, losses and optimisers in PyTorch: KIND FOLDER EPOCHS THREADS MODE PRECISION OPTIMISER, where KIND is
full, sampled or tower, MODE eager or compile, PRECISION f32 or bf16, OPTIMISER fused or sparse. Prints JSON."""
import json, pathlib, sys, time

import numpy as np
import torch
from torch import nn
import torch.nn.functional as F

KIND, FOLDER, EPOCHS, THREADS, MODE, PRECISION, OPTIMISER = sys.argv[1:8]
LENGTH, BATCH, DROPOUT, NEGATIVES = 50, 128, 0.1, 512
torch.set_num_threads(int(THREADS))
torch.set_num_interop_threads(1)
torch.manual_seed(1)
FOLDER = pathlib.Path(FOLDER)
HISTORIES = torch.from_numpy(np.fromfile(FOLDER / "histories.u32", dtype=np.uint32).astype(np.int64).reshape(-1, LENGTH + 1))
N_VIDEOS = 100_000 if KIND == "sampled" else 3_500


class Block(nn.Module):
    def __init__(self, d, heads, causal):
        super().__init__()
        self.heads, self.causal = heads, causal
        self.before_attention, self.before_wide = nn.LayerNorm(d), nn.LayerNorm(d)
        self.qkv, self.output = nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.wide, self.narrow = nn.Linear(d, 4 * d), nn.Linear(4 * d, d)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, x):
        b, n, d = x.shape
        q, k, v = (y.view(b, n, self.heads, -1).transpose(1, 2) for y in self.qkv(self.before_attention(x)).split(d, 2))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal, dropout_p=DROPOUT if self.training else 0.0)
        x = x + self.dropout(self.output(mixed.transpose(1, 2).reshape(b, n, d)))
        return x + self.dropout(self.narrow(F.gelu(self.wide(self.before_wide(x)), approximate="tanh")))


class Sasrec(nn.Module):
    def __init__(self, d=64, blocks=2, heads=1):
        super().__init__()
        self.videos = nn.Embedding(N_VIDEOS, d, sparse=OPTIMISER == "sparse")
        self.places = nn.Parameter(0.02 * torch.randn(LENGTH + 1, d))
        self.start = nn.Parameter(0.02 * torch.randn(d))
        self.blocks = nn.ModuleList(Block(d, heads, True) for _ in range(blocks))
        self.last, self.dropout = nn.LayerNorm(d), nn.Dropout(DROPOUT)
        nn.init.normal_(self.videos.weight, std=0.02)

    def encode(self, read):
        x = read * read.shape[-1] ** 0.5
        x = torch.cat([self.start.expand(x.shape[0], 1, -1), x], 1) + self.places
        x = self.dropout(x)
        for block in self.blocks:
            x = block(x)
        return self.last(x)

    def full(self, targets):
        x = self.encode(self.videos(targets[:, :-1]))
        return F.cross_entropy((x.flatten(0, 1) @ self.videos.weight.T).float(), targets.flatten())

    def sampled(self, targets, negatives):
        rows = self.videos(torch.cat([targets.flatten(), negatives]))
        targets_of, others = rows[: targets.numel()], rows[targets.numel():]
        x = self.encode(targets_of.view(*targets.shape, -1)[:, :-1]).flatten(0, 1)
        own = (x * targets_of).sum(1, keepdim=True)
        logits = (x @ others.T).masked_fill(targets.flatten()[:, None] == negatives[None], float("-inf"))
        return F.cross_entropy(torch.cat([own, logits], 1).float(), torch.zeros(len(x), dtype=torch.long))


class Towers(nn.Module):
    def __init__(self, width, d=512, outputs=256):
        super().__init__()
        self.step = nn.Linear(width + 1 + 12, d)
        self.places = nn.Parameter(0.05 * torch.randn(LENGTH + 1, d))
        self.start = nn.Parameter(0.05 * torch.randn(d))
        self.blocks = nn.ModuleList(Block(d, 8, False) for _ in range(2))
        self.last, self.dropout = nn.LayerNorm(d), nn.Dropout(DROPOUT)
        self.hidden, self.score = nn.Linear(d, d), nn.Linear(d, 1, bias=False)
        self.output = nn.Linear(d, outputs)
        self.item = nn.Sequential(nn.Linear(width + 1, 512), nn.GELU(approximate="tanh"), nn.Dropout(DROPOUT), nn.Linear(512, outputs))

    def forward(self, steps, items, ids):
        x = torch.cat([self.start.expand(steps.shape[0], 1, -1), self.step(steps)], 1) + self.places
        x = self.dropout(x)
        for block in self.blocks:
            x = block(x)
        x = self.last(x)
        weights = self.score(torch.tanh(self.hidden(x))).softmax(1)
        users = F.normalize(self.output((weights * x).sum(1)).float(), dim=1)
        items = F.normalize(self.item(items).float(), dim=1)
        logits = users @ items.T / 0.1
        # A video that is the answer of several is no wrong answer to any of them.
        same = (ids[:, None] == ids[None]) & ~torch.eye(len(ids), dtype=torch.bool)
        return F.cross_entropy(logits.masked_fill(same, float("-inf")), torch.arange(len(users)))


def main():
    if KIND == "tower":
        features = np.fromfile(FOLDER / "features.f32", dtype=np.float32).reshape(N_VIDEOS, -1)
        numbers = features[:, -2:]
        features[:, -2:] = (numbers - numbers.mean(0)) / numbers.std(0)
        features = torch.from_numpy(np.concatenate([features, np.zeros((N_VIDEOS, 1), np.float32)], 1))
        model, rate = Towers(features.shape[1] - 1), 1e-4
        # What the twelve numbers of a viewing are without times and ratios.
        viewing = torch.zeros(BATCH, LENGTH, 12)
    else:
        model, rate = Sasrec(), 1e-3
    if OPTIMISER == "sparse":
        tables = list(model.videos.parameters())
        others = [p for p in model.parameters() if all(p is not t for t in tables)]
        optimisers = [torch.optim.SparseAdam(tables, lr=rate), torch.optim.Adam(others, lr=rate, fused=True)]
    else:
        optimisers = [torch.optim.Adam(model.parameters(), lr=rate, fused=True)]
    call = {"full": lambda b, n: model.full(b), "sampled": lambda b, n: model.sampled(b, n)}.get(KIND)
    if KIND == "tower":
        call = lambda b, n: model(torch.cat([features[b[:, :-1]], viewing], 2), features[b[:, -1]], b[:, -1])
    if MODE == "compile":
        if KIND == "tower":
            compiled = torch.compile(model)
            call = lambda b, n: compiled(torch.cat([features[b[:, :-1]], viewing], 2), features[b[:, -1]], b[:, -1])
        else:
            model.full, model.sampled = torch.compile(model.full), torch.compile(model.sampled)
    milliseconds, losses = [], []
    for _ in range(int(EPOCHS)):
        order = torch.randperm(len(HISTORIES))
        for at in range(0, len(order), BATCH):
            started = time.perf_counter()
            batch = HISTORIES[order[at: at + BATCH]]
            negatives = torch.randint(N_VIDEOS, (NEGATIVES,))
            for optimiser in optimisers:
                optimiser.zero_grad(set_to_none=True)
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=PRECISION == "bf16"):
                loss = call(batch, negatives)
            loss.backward()
            for optimiser in optimisers:
                optimiser.step()
            value = loss.item()
            milliseconds.append((time.perf_counter() - started) * 1e3)
            losses.append(value)
    print(json.dumps({"milliseconds": milliseconds, "losses": losses, "version": torch.__version__}))


main()
