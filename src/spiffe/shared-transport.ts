/**
 * One workload's part of a transport that many share.
 */
import { VouchsafeError } from '../core/index.ts';
import type { Transport } from './transport.ts';

/** The same transport; its `close` ends only the calls that were made through it. */
export function shareTransport<M extends string>(transport: Transport<M>): Transport<M> {
  const closing = new AbortController();
  const linked = (signal: AbortSignal): AbortSignal => {
    // A call to what is closed is a mistake, a call that is closed on its way is not.
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
