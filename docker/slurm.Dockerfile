# The sandbox (a real Slurm cluster of virtual GPU nodes, and an sshd) with what the example sweeps run.
ARG DEBIAN_IMAGE=debian:bookworm-slim
FROM ${DEBIAN_IMAGE}

RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
      munge openssh-client openssh-server procps python3 python3-venv slurm-wlm \
    && rm -rf /var/lib/apt/lists/* /etc/ssh/ssh_host_*

# The example sweeps call `uv run`, and need hydra-core. The lock files hold the versions and their hashes.
COPY requirements /tmp/requirements
RUN python3 -m venv /opt/jobs \
    && /opt/jobs/bin/pip install --no-cache-dir --require-hashes --requirement /tmp/requirements/uv.txt \
    && /opt/jobs/bin/uv pip install --no-cache --python /opt/jobs/bin/python --constraint /tmp/requirements/dev.txt hydra-core

# The user that owns the cluster, logs in and runs the jobs. Its number is that of the user in Airflow's containers: the keys
# that they make are its own. '*' is no password, but no locked account either: sshd refuses those.
RUN useradd --uid 50000 --no-log-init --create-home --password '*' --shell /bin/bash sweep \
    && install -d -o sweep -g sweep -m 711 /slurm
COPY sandbox /opt/slurm_sweep/sandbox
ENV PYTHONPATH=/opt/slurm_sweep PYTHONDONTWRITEBYTECODE=1 SLURM_CONF=/slurm/slurm.conf
USER sweep
WORKDIR /slurm
EXPOSE 2222
CMD ["python3", "-m", "sandbox", "run", "/slurm", "--listen", "0.0.0.0", "--ssh-port", "2222"]
