"""Names and places by Rampart, a small BERT in ONNX: from text through windows, tokens and words to spans."""
