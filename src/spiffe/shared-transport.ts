/**
 * One workload's view of a shared transport.
 */
import { VouchsafeError } from '../core/index.ts';
import type { Transport } from './transport.ts';

/** The same transport; `close` ends only the calls made through this view. */
export function shareTransport<M extends string>(transport: Transport<M>): Transport<M> {
  const closing = new AbortController();
  const linked = (signal: AbortSignal): AbortSignal => {
    // A call after close is a bug; a call that close interrupts is not.
    if (closing.signal.aborted) throw new TypeError('the client of this workload is closed');
    return AbortSignal.any([signal, closing.signal]);
  };
  return {
    unary: async (method, request, signal) => transport.unary(method, request, linked(signal)),
    async *stream(method, request, signal) {
      return yield* transport.stream(method, request, linked(signal));
    },
    nothingIssued: (method) => transport.nothingIssued(method),
    close: () => {
      closing.abort(
        new VouchsafeError('ERR_SPIFFE_UNAVAILABLE', 'the client of this workload was closed'),
      );
    },
  };
}
