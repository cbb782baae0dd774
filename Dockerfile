# syntax=docker/dockerfile:1
# Agent, webhook and CSI driver: Node, mount, umount and flock, the libraries that they need, one bundle. No shell, no npm, no package manager.
ARG NODE_IMAGE=node:24-trixie-slim
ARG RUNTIME_IMAGE=scratch

FROM ${NODE_IMAGE} AS build
# Node 26 links libatomic, which slim images do not have. mount(8) is there in most, flock(1) in all.
RUN apt-get update \
  && apt-get install --yes --no-install-recommends libatomic1 mount \
  && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY package.json package-lock.json .npmrc ./
# The pinned Node comes with the packages, whatever Node this image has. None of them needs its install script.
RUN npm ci --ignore-scripts
COPY . .
RUN npm run build && sh .tools/image.sh /rootfs

# Owned by root, writable by nobody.
FROM ${RUNTIME_IMAGE}
COPY --from=build /rootfs /
USER 65532:65532
WORKDIR /vouchsafe
# No authorities but those that are asked for (src/platform/trust.ts), a young generation of 1 MiB, one thread
# of V8 beside the main one: smaller, and a little faster. Flags that change how code is compiled (--optimize-for-size,
# --single-threaded) would make Node compile its own modules anew. SIGUSR1 opens no debugger: whoever may signal a
# process could otherwise read its memory over loopback.
ENTRYPOINT ["/vouchsafe/node", "--use-openssl-ca", "--max-semi-space-size=1", "--v8-pool-size=1", "--single-threaded-gc", "--disable-sigusr1", "/vouchsafe/dist/vouchsafe.cjs"]
CMD ["agent"]
