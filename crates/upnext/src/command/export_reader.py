#!/usr/bin/env python3
"""Reads what `upnext export` wrote, with NumPy alone, and makes the vectors of both towers again.

    python3 upnext-towers.py FOLDER

prints the largest difference from the vectors that were exported, and fails above 1e-5."""
import json
import pathlib
import sys

import numpy as np


def safetensors(path):
    """Arrays by name: eight bytes of length, a header of JSON, then the numbers."""
    data = path.read_bytes()
    n = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + n])
    arrays = {}
    for name, about in header.items():
        if name != "__metadata__":
            first, end = (8 + n + at for at in about["data_offsets"])
            kinds = {"F32": "<f4", "U32": "<u4", "U64": "<u8"}
            arrays[name] = np.frombuffer(data[first:end], kinds[about["dtype"]]).reshape(about["shape"])
    return arrays


class Towers:
    def __init__(self, folder):
        self.settings = json.loads((folder / "schema.json").read_text())["settings"]
        self.arrays = safetensors(folder / "towers.safetensors")

    def get(self, name):
        return self.arrays["0.network." + name].astype(np.float64)

    def has(self, name):
        return "0.network." + name in self.arrays

    def linear(self, name, x):
        y = x @ self.get(name + ".weight").T
        return y + self.get(name + ".bias")[0] if self.has(name + ".bias") else y

    def norm(self, name, x):
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
        return scaled * self.get(name + ".weight")[0] + self.get(name + ".bias")[0]

    def unit(self, x):
        return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-6) if self.settings["normalise"] else x

    def video_inputs(self, videos):
        missing = 1.0 - self.arrays["0.known"][videos]
        return np.concatenate([self.arrays["0.inputs"][videos], missing], 1).astype(np.float64)

    def items(self, videos):
        x = self.video_inputs(videos)
        n = len(self.settings["item_layers"])
        for at in range(n):
            x = self.linear(f"item.{at}", x)
            x = gelu(x) if at + 1 < n else x
        if self.has("item_ids.weight"):
            x = x + self.get("item_ids.weight")[videos]
        return self.unit(x)

    def user(self, steps):
        steps = steps[-self.settings["length"] :]
        videos = np.array([step["video"] for step in steps], int)
        viewings = np.array([step["viewing"] for step in steps], float).reshape(len(steps), -1)
        x = np.concatenate([self.video_inputs(videos), viewings], 1)
        x = self.linear("step", x)
        if self.has("step_ids.weight"):
            x = x + self.get("step_ids.weight")[videos]
        x = np.concatenate([self.get("start"), x])
        places = self.get("places.weight")
        x = x + places[len(places) - len(x) :]
        heads = self.settings["n_heads"]
        for at in range(self.settings["n_blocks"]):
            name = f"block.{at}."
            y = self.norm(name + "before_attention", x)
            q, k, v = (self.linear(f"{name}attention.{part}", y) for part in ("query", "key", "value"))
            split = lambda z: z.reshape(len(z), heads, -1).transpose(1, 0, 2)
            q, k, v = split(q), split(k), split(v)
            weights = softmax(q @ k.transpose(0, 2, 1) / np.sqrt(q.shape[-1]))
            mixed = (weights @ v).transpose(1, 0, 2).reshape(x.shape)
            x = x + self.linear(name + "attention.output", mixed)
            wide = gelu(self.linear(name + "wide", self.norm(name + "before_wide", x)))
            x = x + self.linear(name + "narrow", wide)
        x = self.norm("last", x)
        scores = self.linear("pooling.score", np.tanh(self.linear("pooling.hidden", x)))
        pooled = softmax(scores.T) @ x
        return self.unit(self.linear("output", pooled))[0]


def gelu(x):
    return 0.5 * x * (1.0 + np.tanh(np.sqrt(2.0 / np.pi) * (x + 0.044715 * x**3)))


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    towers, expected = Towers(folder), np.load(folder / "videos.npy")
    ids = json.loads((folder / "videos.json").read_text())
    assert len(ids) == len(expected), "an id for each video"
    worst = np.abs(towers.items(np.arange(len(ids))) - expected).max()
    for example in json.loads((folder / "examples.json").read_text()):
        user = towers.user(example["steps"])
        worst = max(worst, np.abs(user - np.array(example["vector"])).max())
        best = np.argsort(-(expected @ user))[:3]
        print(example["user"], "->", ", ".join(ids[video] for video in best))
    print(f"largest difference {worst:.2e}")
    sys.exit(0 if worst < 1e-5 else 1)


main()
