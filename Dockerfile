# syntax=docker/dockerfile:1

# Build with a pip from outside, so that the environment that is shipped holds no pip.
FROM python:3.13-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
RUN python -m venv --without-pip /opt/deltawire
COPY setup.cfg pyproject.toml README.md LICENSE ./
COPY translators translators
COPY proxy proxy
RUN pip --python /opt/deltawire/bin/python install .

FROM python:3.13-slim
LABEL org.opencontainers.image.title="deltawire" \
      org.opencontainers.image.description="Streams assistants to OpenAI clients, one token at a time" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin deltawire \
    && install --directory --mode=0700 --owner=10001 --group=0 /data
COPY --from=build /opt/deltawire /opt/deltawire
ENV PATH=/opt/deltawire/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOST=0.0.0.0 \
    PORT=3000 \
    DELTAWIRE_DATA=/data
WORKDIR /etc/deltawire
USER 10001
EXPOSE 3000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=4s --start-period=10s \
    CMD ["python", "-c", "import os, urllib.request as web; web.urlopen('http://127.0.0.1:' + os.environ['PORT'] + '/livez', timeout=3)"]
ENTRYPOINT ["deltawire"]
CMD ["serve"]
