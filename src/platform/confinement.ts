/**
 * Takes from a privileged process what it does not need.
 */
import { existsSync } from 'node:fs';
import { ENVIRONMENT } from './util-linux.ts';

const UNSHARE = '/usr/bin/unshare';
const SETPRIV = '/usr/bin/setpriv';

/** For the programs that it starts as well, and for good. */
const SETPRIV_FLAGS = [
  '--bounding-set=-all,+sys_admin',
  '--inh-caps=-all',
  '--ambient-caps=-all',
  '--no-new-privs',
];

/**
 * Starts this process again, in place of itself, with the privilege to mount and no other, without a network and without
 * an environment; `mark` is added to its words, by which it knows that this has been done. Returns only where the programs
 * of util-linux that do it are missing.
 */
export function dropAllButMounting(marker: string): void {
  if (process.execve === undefined || ![UNSHARE, SETPRIV].every((path) => existsSync(path))) return;
  const own = [process.execPath, ...process.execArgv, ...process.argv.slice(1), marker];
  const words = [UNSHARE, '--net', '--', SETPRIV, ...SETPRIV_FLAGS, '--', ...own];
  process.execve(UNSHARE, words, ENVIRONMENT);
}
