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
