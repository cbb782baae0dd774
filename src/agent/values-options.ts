/**
 * What the values of an agent are made with.
 */
import type { Clock, Logger, Metrics, Random, VouchsafeError } from '../core/index.ts';
import type { Obtainer } from './obtain.ts';
import type { ValuesRoom } from './ports.ts';
import type { TokenLife } from './token-life.ts';

export interface ValuesOptions {
  readonly obtainer: Obtainer;
  /** The token of a login that leases are issued under now. Default: none. */
  readonly token?: ((login: string | undefined) => TokenLife | undefined) | undefined;
  /** Asks for a login before the token ends, because a new lease needs a longer one. The session that follows is announced to the values. */
  readonly logIn?: ((login: string | undefined) => void) | undefined;
  /** The most values at a time. Default 10 000. */
  readonly maxValues?: number | undefined;
  /** Bounds the memory of the values. Default: no bound. */
  readonly room?: ValuesRoom | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** Called after each change that has to be saved for a successor. */
  readonly onChange: () => void;
  /** Called with each failure. */
  readonly onFailure: (error: VouchsafeError) => void;
}
