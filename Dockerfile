# syntax=docker/dockerfile:1
# The wheel, Spark with it (target `spark`), Airflow with it (`airflow`), and both (`airflow-spark`). No stage holds a secret: connections come with the environment.

ARG RUST_VERSION=1.95.0
ARG PYTHON_VERSION=3.11
ARG SPARK_VERSION=4.3.0
ARG AIRFLOW_VERSION=3.3.2

FROM rust:${RUST_VERSION}-slim-bookworm AS wheel
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends build-essential python3 python3-venv \
 && rm -rf /var/lib/apt/lists/* \
 && python3 -m venv /opt/build \
 && /opt/build/bin/pip install "maturin>=1.9,<2"
WORKDIR /source
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/source/target \
    /opt/build/bin/maturin build --release --locked --out /wheels

# Driver, master and workers of Spark: PySpark brings all of it but Java. One Python for all, which PySpark asks for.
FROM python:${PYTHON_VERSION}-slim-bookworm AS spark
ARG SPARK_VERSION
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends openjdk-17-jre-headless procps \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --create-home --uid 50001 spark
COPY --from=wheel /wheels /tmp/wheels
RUN pip install "pyspark==${SPARK_VERSION}" "$(find /tmp/wheels -name 'metropulse-*.whl')[spark]" \
 && ln -s "$(python -c 'import pathlib, pyspark; print(pathlib.Path(pyspark.__file__).parent)')" /opt/spark
ENV SPARK_HOME=/opt/spark PYSPARK_PYTHON=python3 SPARK_WORKER_DIR=/home/spark/work PATH=/opt/spark/bin:$PATH
COPY spark_jobs/*.py /opt/metropulse/spark_jobs/
USER 50001
WORKDIR /home/spark
HEALTHCHECK NONE

FROM apache/airflow:${AIRFLOW_VERSION}-python3.11 AS airflow
ARG AIRFLOW_VERSION
COPY --from=wheel /wheels /tmp/wheels
# Airflow stays the version of its image, whatever our requirements would allow.
RUN pip install --no-cache-dir "apache-airflow==${AIRFLOW_VERSION}" \
      "$(find /tmp/wheels -name 'metropulse-*.whl')[airflow]" \
      "apache-airflow-providers-amazon>=9" "apache-airflow-providers-http>=5" "apache-airflow-providers-postgres>=6"
COPY airflow_dags/*.py /opt/airflow/dags/
HEALTHCHECK NONE

# For `engine=spark` of the DAG metropulse_backfill: its driver runs in Airflow's worker, and needs what executors have.
FROM airflow AS airflow-spark
ARG AIRFLOW_VERSION
ARG SPARK_VERSION
USER 0
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends default-jre-headless procps \
 && rm -rf /var/lib/apt/lists/*
USER 50000
RUN pip install --no-cache-dir "apache-airflow==${AIRFLOW_VERSION}" "pyspark==${SPARK_VERSION}" \
      "$(find /tmp/wheels -name 'metropulse-*.whl')[spark]"
