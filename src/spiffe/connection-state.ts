/**
 * The states of one connection. Each knows the calls in progress; the class that owns the connection executes what
 * follows from a state: at `expired` it aborts the calls, at `closed` it closes the connection.
 */

/**
 * - `open`: new calls use it. Left when another connection takes its place, because a newer certificate has come or this
 *   one could not be opened.
 * - `draining`: it takes no new calls; those in progress continue. Left with the last one, or when the certificate of the
 *   connection expires, because streams do not end by themselves.
 * - `expired`: its calls are aborted. Left with the last one.
 * - `closed`: final. A call whose client was closed may still be released.
 */
export type ConnectionState =
  | { readonly name: 'open' | 'draining' | 'expired'; readonly calls: number }
  | { readonly name: 'closed' };

/** What happens to a connection: a call begins or ends, another one takes its place, its certificate expires, its client is closed. */
export type ConnectionEvent = 'acquired' | 'released' | 'replaced' | 'expired' | 'client closed';

/** A connection that no call uses yet. */
export const UNUSED: ConnectionState = { name: 'open', calls: 0 };

const CLOSED: ConnectionState = { name: 'closed' };

/** The state after an event. */
export function transition(state: ConnectionState, event: ConnectionEvent): ConnectionState {
  if (state.name === 'closed' || event === 'client closed') return CLOSED;
  if (event === 'acquired' && state.name !== 'open') {
    throw new TypeError(`a connection that is ${state.name} takes no new calls`);
  }
  const name = nameAfter(state.name, event);
  const calls = state.calls + (CALLS[event] ?? 0);
  return name !== 'open' && calls === 0 ? CLOSED : { name, calls };
}

/** How an event changes the number of calls in progress. */
const CALLS: Readonly<Partial<Record<ConnectionEvent, number>>> = { acquired: 1, released: -1 };

function nameAfter(
  name: 'open' | 'draining' | 'expired',
  event: ConnectionEvent,
): 'open' | 'draining' | 'expired' {
  if (event === 'expired') return 'expired';
  return event === 'replaced' && name === 'open' ? 'draining' : name;
}
