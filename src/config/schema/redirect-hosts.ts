/**
 * A shape that AgentConfig and the Helm values share.
 */
import * as grammar from './grammar.ts';
import * as shape from './shape.ts';

/** Hosts that Vault may redirect to. */
export const redirectHosts = shape.list(
  shape.parsed(grammar.host, 'A host name or an IP address, without port.'),
  64,
  "Hosts that Vault may redirect to, besides the address's own; logins are never sent to other hosts.",
);
