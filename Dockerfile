# syntax=docker/dockerfile:1
FROM python:3.13-slim-trixie AS build

WORKDIR /src
COPY requirements/uv.txt requirements/runtime.txt requirements/
RUN pip install --no-cache-dir --require-hashes --only-binary :all: -r requirements/uv.txt \
    && uv venv /opt/skuscene \
    && uv pip install --python /opt/skuscene --compile-bytecode --require-hashes \
        -r requirements/runtime.txt

# The code comes last: a change of it leaves the layer of the dependencies alone.
COPY pyproject.toml LICENSE ./
COPY catalog catalog
COPY producers producers
COPY worker worker
RUN uv pip install --python /opt/skuscene --compile-bytecode --no-deps .


FROM python:3.13-slim-trixie

COPY --from=build /opt/skuscene /opt/skuscene
# The spool holds paid answers while the store can't take them: it is the one place to write to.
RUN install -d -m 0700 -o 10001 -g 10001 /var/lib/skuscene /var/lib/skuscene/spool
ENV PATH=/opt/skuscene/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/var/lib/skuscene

USER 10001:10001
WORKDIR /var/lib/skuscene
# A worker that gets SIGTERM finishes what is in flight.
STOPSIGNAL SIGTERM
ENTRYPOINT ["skuscene"]
CMD ["--help"]
