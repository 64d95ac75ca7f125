# Airflow with what airflow-slurm-sweep needs beyond the official image. dags/, plugins/ and include/ are mounted, not copied.
ARG AIRFLOW_IMAGE=apache/airflow:3.3.2
FROM ${AIRFLOW_IMAGE}

# pyproject.toml names the packages. Airflow's own version stays what the image has.
COPY pyproject.toml /tmp/
RUN python -c 'import tomllib; print(*tomllib.load(open("/tmp/pyproject.toml", "rb"))["project"]["dependencies"], sep="\n")' \
      > /tmp/requirements.txt \
    && pip install --no-cache-dir "apache-airflow==${AIRFLOW_VERSION}" --requirement /tmp/requirements.txt

# Volumes are mounted here, and a new one takes the owner of the folder it covers.
RUN mkdir -m 770 /opt/airflow/secrets /opt/airflow/passwords && mkdir -m 711 /opt/airflow/slurm
COPY docker/make-secrets docker/prepare-airflow /opt/slurm_sweep/
