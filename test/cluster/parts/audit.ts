/** When requests came, by Vault's audit log. */
import { readFile } from 'node:fs/promises';

interface Entry {
  readonly type: string;
  readonly time: string;
  readonly request: { readonly path: string };
}

/** Times of answered requests to a path, in milliseconds since the epoch. */
export async function requestTimes(auditLog: string, path: string): Promise<readonly number[]> {
  const lines = (await readFile(auditLog, 'utf8')).trim().split('\n');
  return lines
    .map((line) => JSON.parse(line) as Entry) // as Vault writes them
    .filter((entry) => entry.type === 'response' && entry.request.path === path)
    .map(({ time }) => Date.parse(time));
}
