"""Jobs on maps of lines: files in, products out; and the model of 2022."""
