"""How Slurm speaks: scripts as pure functions, answers as values, and one narrow protocol to reach a login node.

A question to the cluster is one module, with the script that asks and the reader of its answer.
"""
