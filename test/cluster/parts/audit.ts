/** When Vault answered, by its audit log. */
import { auditedAnswers } from '../../helpers/vault-client.ts';

interface Entry {
  readonly time: string;
  readonly request: { readonly path: string };
}

/** Times of answered requests to a path, in milliseconds since the epoch. */
export async function requestTimes(auditLog: string, path: string): Promise<readonly number[]> {
  return (await auditedAnswers<Entry>(auditLog))
    .filter(({ request }) => request.path === path)
    .map(({ time }) => Date.parse(time));
}
