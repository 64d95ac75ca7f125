"""The runs of a sweep on the cluster: which names a new one gets, and what earlier ones left."""
