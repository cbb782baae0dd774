/**
 * Is there an API server, and is it new enough?
 */
import { codeOf } from '../core/index.ts';
import { statusOf } from '../kubernetes/index.ts';
import { isBefore, type Context } from './context.ts';
import { quoted, runCheck, type ResultWith, type Finding } from './finding.ts';

/** Returns the version; undefined where nothing further can be asked. */
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
    const remedy = 'is it the right context? `kubectl version` asks the same';
    if (statusOf(error) === 401) {
      const message = 'the API server does not accept the login of the kubeconfig';
      return { status: 'failure', message, remedy };
    }
    if (statusOf(error) !== undefined) throw error;
    const reason = error instanceof Error ? `${error.message}${causeOf(error)}` : '';
    return { status: 'failure', message: `the API server does not answer: ${reason}`, remedy };
  }
  const shown = quoted(value);
  if (!isBefore(value, 29)) return { status: 'ok', message: `Kubernetes ${shown}`, value };
  const message = `Kubernetes ${shown} has no native sidecars: pods get the mode pair`;
  return { status: 'warning', message, remedy: 'native sidecars need Kubernetes 1.29', value };
}

/** The system's own word for it: `ECONNREFUSED`, `CERT_HAS_EXPIRED`. */
function causeOf({ cause }: Error): string {
  const code = codeOf(cause) ?? '';
  return /^[A-Z_]+$/.test(code) ? ` (${code})` : '';
}
