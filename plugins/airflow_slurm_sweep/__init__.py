"""Parameter sweeps on Slurm clusters, as Airflow Dags.

A sweep file becomes a Dag; each combination of its parameters becomes a Slurm job. The way of the data:

    sweep file ── sweep.load ──> SweepSpec ── factory ──> Dag: plan ─> combination[submit ─> wait] × N ─> report
"""

__version__ = "0.2.0.dev0"
