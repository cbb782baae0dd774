/**
 * Registers the driver with the kubelet, which finds the socket in its registry, requests the driver's name and endpoint, and
 * reports whether it accepted them.
 *
 * @see https://github.com/kubernetes/kubernetes/tree/master/pkg/kubelet/pluginmanager
 */
import type { Logger } from '../core/index.ts';
import { handleCall, type CallHandler } from './grpc.ts';
import { CALLS } from './proto/csi.ts';

/** Longest error text of the kubelet that is kept, in characters. */
const MAX_TEXT = 500;

/** Settings of a {@link Registration}. */
export interface RegistrationOptions {
  readonly driverName: string;
  /** The socket of the driver as the kubelet sees it. */
  readonly endpoint: string;
  readonly logger: Logger;
}

/** The driver's side of its registration. */
export class Registration {
  readonly #options: RegistrationOptions;
  #outcome: { readonly error: string | undefined } | undefined;

  constructor(options: RegistrationOptions) {
    this.#options = options;
  }

  /** Why the kubelet does not use the driver, or undefined while it does. */
  get problem(): string | undefined {
    if (this.#outcome === undefined) return 'the kubelet has not registered the driver yet';
    return this.#outcome.error;
  }

  /** Handlers for the calls of the kubelet's plug-in registration. */
  calls(): readonly CallHandler[] {
    const { driverName, endpoint, logger } = this.#options;
    return [
      handleCall(CALLS.getInfo, () => ({
        type: 'CSIPlugin',
        name: driverName,
        endpoint,
        supportedVersions: ['1.0.0'],
      })),
      handleCall(CALLS.notifyRegistrationStatus, ({ pluginRegistered, error }) => {
        if (pluginRegistered) {
          this.#outcome = { error: undefined };
          logger.info('the kubelet has registered the driver', { driver: driverName });
        } else {
          const text = error.slice(0, MAX_TEXT);
          this.#outcome = { error: `the kubelet rejected the driver: ${text}` };
          logger.error('the kubelet rejected the driver', { driver: driverName, reason: text });
        }
        return {};
      }),
    ];
  }
}
