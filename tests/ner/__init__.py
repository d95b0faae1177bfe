"""The engines that find names: the model and how it is installed, `ner`, `presidio`, `accurate`."""
