"""Training: from a configuration file to weights, resumed to the same curve after an interruption.

In: a TOML file (`config`) and the data of `biofacenet.data`. `run` follows the losses of the paper, `checkpoint` and
`journal` keep what was done, `provenance` says from which code. Out: a folder with weights, curves and settings.
"""
