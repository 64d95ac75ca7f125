"""Submissions of one Dag run as elements of one array: one sbatch for all of them, one record for each."""
