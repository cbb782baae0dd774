/**
 * The proxy of a connection to Vault: a shape that AgentConfig and the Helm values share.
 */
import * as grammar from './grammar.ts';
import * as shape from './shape.ts';

const EXAMPLE = 'http://proxy.example:3128';

/** The origin of an HTTP(S) proxy. Documents end up in pod specs, so a password is rejected, and not shown. */
export const vaultProxyUrl: grammar.Grammar<string> = {
  ...grammar.httpOrigin,
  values: `a URL such as \`${EXAMPLE}\``,
  parse(given) {
    const url = URL.parse(given);
    if (url === null || !/^https?:$/.test(url.protocol)) {
      return { problem: `must be the URL of an HTTP proxy, such as ${EXAMPLE}` };
    }
    if (url.username !== '' || url.password !== '') {
      return {
        problem:
          'must not contain credentials, which everyone who can read the configuration would see: let the proxy allow this network or the address of Vault without',
      };
    }
    return grammar.httpOrigin.parse(given);
  },
};

/** The proxy of a connection. */
export const vaultProxy = shape.parsed(
  vaultProxyUrl,
  'HTTP(S) proxy to Vault, without credentials: a tunnel (CONNECT) if the address is https, so that TLS is verified with Vault itself. Default: none.',
);
