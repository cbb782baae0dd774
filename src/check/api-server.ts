/**
 * Checks that the API server answers, and its version.
 */
import { codeOf } from '../core/index.ts';
import { statusOf } from '../kubernetes/index.ts';
import { isBefore } from '../core/index.ts';
import type { Context } from './context.ts';
import { quoted, runCheck, type ResultWith, type Finding } from './finding.ts';

/** Returns the version; undefined where no further check is possible. */
export async function* checkApiServer({
  cluster,
}: Context): AsyncGenerator<Finding, string | undefined, undefined> {
  const { finding, value } = await runCheck('api-server', 'version', () => version(cluster));
  yield finding;
  return value;
}

async function version(cluster: Context['cluster']): Promise<ResultWith<string>> {
  let value: string;
  try {
    value = await cluster.version();
  } catch (error) {
    const remedy = 'check the context: `kubectl version` sends the same request';
    if (statusOf(error) === 401) {
      const message = 'the API server rejects the credentials of the kubeconfig';
      return { status: 'failure', message, remedy };
    }
    if (statusOf(error) !== undefined) throw error;
    const reason = error instanceof Error ? `${error.message}${causeOf(error)}` : '';
    return { status: 'failure', message: `the API server does not answer: ${reason}`, remedy };
  }
  const shown = quoted(value);
  if (!isBefore(value, 29)) return { status: 'ok', message: `Kubernetes ${shown}`, value };
  const message = `Kubernetes ${shown} has no native sidecars: pods get mode pair`;
  return { status: 'warning', message, remedy: 'native sidecars require Kubernetes 1.29', value };
}

/** The code of the system error: `ECONNREFUSED`, `CERT_HAS_EXPIRED`. */
function causeOf({ cause }: Error): string {
  const code = codeOf(cause) ?? '';
  return /^[A-Z_]+$/.test(code) ? ` (${code})` : '';
}
