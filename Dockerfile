# One image for everything: the command line, Dataflow's workers and launcher, and Ray's head and workers.
#
#   docker build --tag provoice:0.1.0 .
#   docker build --tag provoice-models:0.1.0 --build-context models=/path/to/models .
#
# Pin the three images below by digest (python@sha256:…) where a build has to be the same tomorrow.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm
ARG BEAM_IMAGE=apache/beam_python3.11_sdk:2.77.0
ARG LAUNCHER_IMAGE=gcr.io/dataflow-templates-base/python311-template-launcher-base:20250101-rc00

FROM ${BEAM_IMAGE} AS beam
FROM ${LAUNCHER_IMAGE} AS launcher
# Nothing, unless --build-context models=… puts a folder in its place.
FROM scratch AS models

FROM ${PYTHON_IMAGE} AS build
# For configs/gpu.yaml: --build-arg EXTRAS=ray,beam,gcs,s3,certificates,diarization --build-arg TORCH=keep
ARG EXTRAS=ray,beam,gcs,s3,certificates
ARG TORCH=drop
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_INPUT=1
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY schemas schemas
COPY transforms transforms
COPY lake lake
COPY pipelines pipelines
COPY provoice provoice
COPY configs configs
# Wheels only, but for two packages that come as pure Python source; every version is in constraints.txt.
RUN pip install --only-binary :all: --no-binary google-apitools,jsonpath-rw \
        --constraint constraints.txt ".[${EXTRAS}]" \
    && pip install --only-binary :all: --no-deps --constraint constraints.txt resemblyzer \
    && python -m compileall -q -j 0 /opt/venv/lib
# The network that the default configuration needs is converted once, here, and not once per machine.
ENV PROVOICE_CACHE=/opt/models/cache
RUN python -c 'from transforms.diarize.encoder import encoder_path; print(encoder_path())'
# It was for this that torch was needed, and for nothing else on CPUs: no run imports it. That is most of 5 GB.
RUN if [ "${TORCH}" = drop ]; then \
        pip freeze | grep -E '^(torch|torchaudio|torchcodec|triton|nvidia-.*|cuda-.*)==' | cut -d= -f1 \
            | xargs pip uninstall --yes; \
    fi

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="provoice" \
      org.opencontainers.image.licenses="Apache-2.0"
# A fixed number, so that volumes and Kubernetes' runAsUser agree with it. Ray writes to its home. KubeRay starts Ray in a
# login shell, which forgets the PATH that is set below.
# hadolint ignore=SC2016
RUN groupadd --gid 10001 provoice \
    && useradd --uid 10001 --gid 10001 --create-home --shell /usr/sbin/nologin provoice \
    && mkdir -p /opt/models /opt/provoice \
    && echo 'export PATH=/opt/venv/bin:$PATH' > /etc/profile.d/provoice.sh
COPY --from=build /opt/venv /opt/venv
COPY --from=build /opt/models /opt/models
COPY --from=models . /opt/models/
COPY --from=beam /opt/apache/beam /opt/apache/beam
COPY --from=launcher /opt/google/dataflow/python_template_launcher /opt/google/dataflow/python_template_launcher
COPY infra/dataflow/launch.py infra/dataflow/metadata.json /opt/provoice/

# The places of keys, never keys. RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT: Beam's boot program would make a virtual environment
# of its own, below /opt, which this user may not write.
ARG SUPPRESSION_KEY_URI=
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    OMP_NUM_THREADS=1 \
    PROVOICE_CACHE=/opt/models/cache \
    PROVOICE_SUPPRESSION_KEY_URI=${SUPPRESSION_KEY_URI} \
    HF_HUB_OFFLINE=1 \
    RAY_USAGE_STATS_ENABLED=0 \
    RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT=1 \
    FLEX_TEMPLATE_PYTHON_PY_FILE=/opt/provoice/launch.py
USER 10001:10001
WORKDIR /home/provoice
# Dataflow starts its workers without a command of their own; everybody else names one.
ENTRYPOINT ["/opt/apache/beam/boot"]
