/** A directory that lives as long as a test. */
import { mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';

/** Makes an empty directory, without symlinks in its path, that is removed when the test ends. */
export function tempDirectory(t: TestContext): string {
  const path = mkdtempSync(join(realpathSync(tmpdir()), 'vouchsafe-'));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** The longest path of a Unix socket, in bytes: `sun_path` of unix(7) without its last zero. */
const MAX_SOCKET_PATH_BYTES = 107;

/**
 * The path of a Unix socket.
 *
 * @throws Error if the system takes no path as long: it would only say `EINVAL`.
 */
export function socketPath(...parts: readonly string[]): string {
  const path = join(...parts);
  const bytes = Buffer.byteLength(path);
  if (bytes <= MAX_SOCKET_PATH_BYTES) return path;
  const limit = `a Unix socket has at most ${MAX_SOCKET_PATH_BYTES}`;
  throw new Error(`${path} has ${bytes} bytes, ${limit}: set TMPDIR to a shorter directory`);
}
