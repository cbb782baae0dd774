/** Installs the SDKs of clouds in test/servers/clouds, where they are not as its lock file says. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Gives the directory of the project that has the SDKs. The first time it takes half a minute. */
export function installCloudSdks(): string {
  const directory = fileURLToPath(new URL('../test/servers/clouds/', import.meta.url));
  const lock = readFileSync(join(directory, 'package-lock.json'));
  const stamp = join(directory, 'node_modules', '.vouchsafe-lock');
  if (existsSync(stamp) && readFileSync(stamp).equals(lock)) return directory;
  const args = ['ci', '--ignore-scripts', '--loglevel=error'];
  const { status } = spawnSync('npm', args, { cwd: directory, stdio: ['ignore', 2, 2] });
  if (status !== 0) throw new Error('the SDKs of clouds could not be installed');
  writeFileSync(stamp, lock);
  return directory;
}
