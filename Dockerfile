# syntax=docker/dockerfile:1
# An image of the tabmint command. Nothing in it is secret, and it runs as a user without rights:
#
#   docker build -t tabmint .
#   docker run --rm --init -v "$PWD/job:/job:ro" -v tabmint-out:/job/out -e PGPASSWORD tabmint run tabmint.toml
#
# job/ holds tabmint.toml, schema.json, the source and an empty folder out/; /job/out is `output.root`. Credentials come
# as variables of the environment, which the config names as ${NAME}. CI does not build it.

FROM python:3.11-slim AS build
# pip's default torch on Linux is the CUDA build; give an index of CPU builds for a smaller image:
#   --build-arg PIP_EXTRA_INDEX_URL=...
ARG PIP_EXTRA_INDEX_URL
WORKDIR /source
RUN python -m venv /opt/tabmint
COPY constraints.txt .
RUN /opt/tabmint/bin/pip install --no-cache-dir torch -c constraints.txt
COPY pyproject.toml README.md LICENSE ./
COPY pipeline pipeline
COPY generators generators
COPY evaluation evaluation
COPY flows flows
RUN /opt/tabmint/bin/pip install --no-cache-dir '.[db]' -c constraints.txt

FROM python:3.11-slim
# libgomp1: OpenMP, which scikit-learn and torch may look for
RUN apt-get update && apt-get install --yes --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --create-home tabmint \
    && install --directory --owner tabmint --group tabmint --mode 0750 /job /job/out
COPY --from=build /opt/tabmint /opt/tabmint
ENV PATH=/opt/tabmint/bin:$PATH
USER tabmint
WORKDIR /job
VOLUME /job/out
ENTRYPOINT ["tabmint"]
CMD ["--help"]
