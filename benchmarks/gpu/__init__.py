"""What a GPU has to prove, in one command: see `benchmarks.gpu.__main__`.

In come minutes and a folder; out go figures of the fit beside the CPU, the card's own limits and other methods, and of
the training of networks, written as they are found. Each file is one part; `site` says where and at which size.
"""
