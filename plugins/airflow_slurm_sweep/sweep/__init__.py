"""What to run: sweep files, their combinations, and the command line of each. Pure: no Airflow, no network."""
