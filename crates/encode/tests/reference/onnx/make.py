"""Three tiny exported models: the mean colour of a picture, the first samples of a sound, the mean colour of a clip.

    python -m venv v && v/bin/pip install onnx
    v/bin/python make.py
"""
import pathlib
from onnx import TensorProto, checker, helper, numpy_helper, save
import numpy as np

HERE = pathlib.Path(__file__).resolve().parent


def model(name, shape, out, nodes, constants):
    tensors = [numpy_helper.from_array(np.array(v, np.int64), k) for k, v in constants.items()]
    graph = helper.make_graph(nodes, name, [helper.make_tensor_value_info("in", TensorProto.FLOAT, shape)],
                              [helper.make_tensor_value_info("out", TensorProto.FLOAT, [shape[0], out])], tensors)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    checker.check_model(made)
    save(made, HERE / f"{name}.onnx")


mean = lambda: [helper.make_node("ReduceMean", ["in", "axes"], ["out"], keepdims=0)]
model("pictures", ["n", 3, 8, 8], 3, mean(), {"axes": [2, 3]})
# A batch of two and no other: what some exporters write.
model("pairs", [2, 3, 8, 8], 3, mean(), {"axes": [2, 3]})
model("clips", ["n", 4, 3, 8, 8], 3, mean(), {"axes": [1, 3, 4]})
model("sounds", ["n", 16], 4, [helper.make_node("Slice", ["in", "begin", "end", "axes"], ["out"])],
      {"begin": [0], "end": [4], "axes": [1]})
