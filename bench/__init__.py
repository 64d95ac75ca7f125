"""How fast and how heavy sweeps are, measured on a real Slurm and a real Airflow of this machine.

``scripts/bench`` prepares the machine and runs this. Each measurement has a cluster and an Airflow of its own:

    stage    the cluster, Airflow and its settings; everything is gone afterwards
    observe  what happens meanwhile, as Slurm, sshd, Airflow and Linux tell of it
    runs     a Dag run from its trigger to its end, sweeps of ours and the plain Dag alike
    flight   jobs that do not end, all in flight at once, and their cancellation
    loops    sbatch in a shell loop, on the login node and over ssh
    report   tables, JSON; plot: a picture
"""
