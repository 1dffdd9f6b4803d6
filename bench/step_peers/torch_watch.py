"""The id regressor of the KuaiRec design in PyTorch: `epoch ROWS LOADER` trains on ROWS pairs (LOADER is dataloader, one pair
at a time as most code does, or tensors, whole batches by index), `topn` scores 3,327 videos for 1,411 users, one user after
another as the design does. Prints JSON."""
import json, sys, time

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.set_num_threads(2)
torch.manual_seed(1)


class Regressor(nn.Module):
    def __init__(self, n_users, n_videos):
        super().__init__()
        self.users, self.videos = nn.Embedding(n_users, 32), nn.Embedding(n_videos, 32)
        self.user_facts, self.video_facts = torch.randn(n_users, 23), torch.randn(n_videos, 51)
        branch = lambda n: nn.Sequential(nn.Linear(n, 32), nn.ReLU(), nn.Dropout(0.2))
        self.of_user, self.of_video = branch(23), branch(51)
        self.head = nn.Sequential(nn.Linear(128, 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 1))

    def forward(self, users, videos):
        parts = [self.users(users), self.of_user(self.user_facts[users]), self.videos(videos), self.of_video(self.video_facts[videos])]
        return self.head(torch.cat(parts, 1))[:, 0]


def main():
    if sys.argv[1] == "epoch":
        rows, loader = int(sys.argv[2]), sys.argv[3]
        users, videos = torch.randint(7_176, (rows,)), torch.randint(10_728, (rows,))
        ratios = 0.5 + 0.1 * (users % 7 + videos % 5) + 0.3 * torch.randn(rows)
        model = Regressor(7_176, 10_728)
        optimiser = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
        if loader == "dataloader":
            batches = DataLoader(TensorDataset(users, videos, ratios), batch_size=512, shuffle=True, num_workers=1)
        else:
            batches = ((users[at], videos[at], ratios[at]) for at in torch.randperm(rows).split(512))
        started = time.perf_counter()
        for u, v, ratio in batches:
            optimiser.zero_grad(set_to_none=True)
            nn.functional.mse_loss(model(u, v), ratio).backward()
            optimiser.step()
        print(json.dumps({"seconds": time.perf_counter() - started, "rows": rows, "version": torch.__version__}))
    else:
        model = Regressor(1_411, 3_327).eval()
        started = time.perf_counter()
        with torch.inference_mode():
            videos = torch.arange(3_327)
            lists = []
            for user in range(1_411):
                # As the design: batches of 512 pairs of one user, then a sort.
                scores = torch.cat([model(torch.full((len(part),), user), part) for part in videos.split(512)])
                lists.append(scores.topk(50).indices)
        print(json.dumps({"seconds": time.perf_counter() - started, "lists": len(lists), "version": torch.__version__}))


main()
