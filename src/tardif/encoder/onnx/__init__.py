"""The query encoder as an ONNX graph, run by onnxruntime without PyTorch.

Importing torch, transformers and sentence-transformers takes seconds and a gigabyte before the first query is read.
:mod:`tardif.encoder.onnx.convert` writes the query encoder once, with PyTorch. :mod:`tardif.encoder.onnx.encoder` reads
it, and needs none of the three.
"""
