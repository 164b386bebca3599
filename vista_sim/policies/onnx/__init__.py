"""Policies in ONNX format with a JSON file beside them; the format is in ../README.md."""
