/**
 * Counts and times calls to Vault. Labels are closed sets, never a path.
 */
import { toVouchsafeError, type Clock, type Logger, type Metrics } from '../core/index.ts';

/** Purpose of a call. */
export type Operation =
  | 'login'
  | 'read'
  | 'list'
  | 'write'
  | 'pki'
  | 'mount-lookup'
  | 'token-renew'
  | 'token-lookup'
  | 'token-revoke'
  | 'lease-renew'
  | 'lease-lookup'
  | 'lease-revoke';

/** Upper bounds of the duration histogram, in seconds. */
const BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/** Measures calls. */
export interface RequestMeter {
  measure<T>(operation: Operation, signal: AbortSignal, call: () => Promise<T>): Promise<T>;
}

/** Outcomes are `ok`, `aborted` or an error code. */
export function createRequestMeter(clock: Clock, logger: Logger, metrics: Metrics): RequestMeter {
  const requests = metrics.counter(
    'vouchsafe_vault_requests_total',
    'Requests to Vault by operation and outcome (ok, aborted or an error code).',
    ['operation', 'outcome'],
  );
  const duration = metrics.histogram(
    'vouchsafe_vault_request_duration_seconds',
    'Time of a request to Vault, its redirects and catch-up retries included.',
    BUCKETS,
    ['operation'],
  );
  return {
    async measure(operation, signal, call) {
      const startMs = clock.monotonicMs();
      let outcome = 'ok';
      try {
        return await call();
      } catch (error) {
        outcome = signal.aborted ? 'aborted' : toVouchsafeError(error).code;
        throw error;
      } finally {
        const seconds = (clock.monotonicMs() - startMs) / 1000;
        requests.add({ operation, outcome });
        duration.observe(seconds, { operation });
        logger.debug('vault request', { operation, outcome, seconds });
      }
    },
  };
}
