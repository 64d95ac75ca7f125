"""Submissions, one sbatch each: the script on the login node, the record of the run directory, sbatch's command."""
