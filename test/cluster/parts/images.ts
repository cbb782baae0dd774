/** Images without a registry: made by buildah, given to containerd. */
import { execFileSync } from 'node:child_process';
import { cpSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ctr, PAUSE_IMAGE } from './node.ts';
import { directory, place } from './workspace.ts';

/** An image of one static program. */
export function loadProgram(image: string, program: string, more: readonly string[] = []): void {
  const context = directory('images', image.replaceAll(/[^a-z0-9]/g, '-'));
  cpSync(program, join(context, 'program'));
  const lines = ['FROM scratch', 'COPY program /program', ...more, 'ENTRYPOINT ["/program"]'];
  writeFileSync(join(context, 'Dockerfile'), `${lines.join('\n')}\n`);
  load(image, context, []);
}

/** Builds an image of a directory with a Dockerfile and hands it to containerd. */
export function load(image: string, context: string, flags: readonly string[]): void {
  const archive = place('images', `${image.replaceAll(/[^a-z0-9]/g, '-')}.tar`);
  buildah('build', '--layers', ...flags, `--tag=${image}`, context);
  buildah('push', '--format=oci', image, `oci-archive:${archive}:${image}`);
  ctr('images', 'import', archive);
}

/** The pod's own container. */
export function loadPause(program: string): void {
  loadProgram(PAUSE_IMAGE, program);
}

function buildah(...args: string[]): void {
  execFileSync('buildah', args, {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, BUILDAH_ISOLATION: 'chroot', STORAGE_DRIVER: 'vfs' },
  });
}
