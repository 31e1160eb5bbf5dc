# Two stages: Node builds the frontend, Python serves it. TORCH_INDEX selects CPU or CUDA wheels of torch.
FROM node:22-slim AS frontend
WORKDIR /src/frontend
COPY frontend/package.json frontend/package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY frontend ./
RUN npm run build

FROM python:3.11-slim
ARG TORCH_INDEX=""
WORKDIR /src
COPY constraints.txt ./
RUN pip install --no-cache-dir ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} "$(grep '^torch==' constraints.txt)"
COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY backend ./backend
# EXTRAS=ray for a cluster; KubeRay's health checks call wget
ARG EXTRAS=""
RUN if [ -n "$EXTRAS" ]; then apt-get update && apt-get install -y --no-install-recommends wget && rm -rf /var/lib/apt/lists/*; fi
COPY --from=frontend /src/backend/microtome/api/static ./backend/microtome/api/static
RUN pip install --no-cache-dir -c constraints.txt ".${EXTRAS:+[$EXTRAS]}"
RUN useradd --create-home microtome && mkdir /data && chown microtome /data
USER microtome
ENV MICROTOME_DATA_DIR=/data
VOLUME /data
EXPOSE 8000
HEALTHCHECK --start-period=60s CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/api/v1/health')"]
CMD ["microtome", "demo", "--host", "0.0.0.0", "--port", "8000", "--no-browser"]
