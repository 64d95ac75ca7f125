"""Whether a cluster profile is fit for sweeps: questions to the login node, verdicts on its answers, the task."""
