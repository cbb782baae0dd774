/**
 * Drops privileges of a privileged process that it does not need.
 */
import { existsSync } from 'node:fs';
import { ENVIRONMENT } from './util-linux.ts';

const UNSHARE = '/usr/bin/unshare';
const SETPRIV = '/usr/bin/setpriv';

/** Permanent, and inherited by child processes. */
const SETPRIV_FLAGS = [
  '--bounding-set=-all,+sys_admin',
  '--inh-caps=-all',
  '--ambient-caps=-all',
  '--no-new-privs',
];

/**
 * Replaces this process by a new start of itself, with only the capability to mount, without a network and without an
 * environment. The argument `marker` is appended, so that the new start knows that this was done. Returns only if the
 * programs of util-linux are missing.
 */
export function dropAllButMounting(marker: string): void {
  if (process.execve === undefined || ![UNSHARE, SETPRIV].every((path) => existsSync(path))) return;
  const own = [process.execPath, ...process.execArgv, ...process.argv.slice(1), marker];
  const args = [UNSHARE, '--net', '--', SETPRIV, ...SETPRIV_FLAGS, '--', ...own];
  process.execve(UNSHARE, args, ENVIRONMENT);
}
