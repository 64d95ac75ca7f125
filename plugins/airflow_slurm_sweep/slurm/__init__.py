"""How Slurm speaks: commands as pure functions, answers as values, and one narrow protocol to reach a login node."""
