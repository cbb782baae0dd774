/**
 * Lists names the way Vault does: one level at a time, folders with a trailing slash.
 */
import { NOTHING_FOUND, type Answer } from '../core/messages.ts';

/** The response to a list of a folder. */
export function listBelow(names: Iterable<string>, folder: string): Answer {
  const prefix = folder === '' || folder.endsWith('/') ? folder : `${folder}/`;
  const keys = new Set<string>();
  for (const name of names) {
    if (!name.startsWith(prefix)) continue;
    const [first = '', ...deeper] = name.slice(prefix.length).split('/');
    keys.add(deeper.length === 0 ? first : `${first}/`);
  }
  return keys.size === 0 ? NOTHING_FOUND : { data: { keys: [...keys].sort() } };
}
