import type { Clock } from '../../../core/index.ts';
import type { Fields } from '../fields.ts';
import type { VaultRequest } from '../messages.ts';

/** A login and what it is compared with. */
export interface Login {
  readonly request: VaultRequest;
  readonly config: Fields;
  readonly role: Fields;
  readonly clock: Clock;
}
