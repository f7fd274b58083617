# waitroom in a container: docker build -t waitroom . && docker run -p 8080:8080 -v ./waitroom.toml:/etc/waitroom/waitroom.toml:ro \
#   -e WAITROOM_SECRET -e REDIS_URL waitroom
# Inside a container, listen on all addresses: edge.listen = "0.0.0.0:8080". Publish the console's port to yourself only.
FROM python:3.12-slim AS build
WORKDIR /build
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY waitroom waitroom
COPY inventory_backend inventory_backend
COPY lua lua
COPY templates templates
RUN python -m venv /waitroom \
 && /waitroom/bin/pip install --no-cache-dir --constraint constraints.txt '.[embedded]'

FROM python:3.12-slim
COPY --from=build /waitroom /waitroom
RUN useradd --system --uid 10001 --home-dir /var/lib/waitroom --create-home waitroom
USER 10001
# The embedded server and the till keep their data here, where the configuration names no other place.
WORKDIR /var/lib/waitroom
VOLUME /var/lib/waitroom
ENV PATH=/waitroom/bin:$PATH PYTHONUNBUFFERED=1
EXPOSE 8080 8081
STOPSIGNAL SIGTERM
HEALTHCHECK --start-period=20s CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/.waitroom/healthz', timeout=3)"]
ENTRYPOINT ["waitroom"]
CMD ["serve", "-c", "/etc/waitroom/waitroom.toml"]
