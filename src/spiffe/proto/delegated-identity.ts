/**
 * The messages of `delegated-identity.proto`, field by field.
 */
import {
  BYTES,
  BYTES_BY_NAME,
  field,
  message,
  nested,
  repeated,
  repeatedMessage,
  STRING,
} from './codec.ts';
import type { Protocol } from './protocol.ts';

const EMPTY = message({});
const SELECTOR = message({ type: field(1, STRING), value: field(2, STRING) });
const SELECTORS = repeatedMessage('Selector', SELECTOR);
const SPIFFEID = message({ trustDomain: field(1, STRING), path: field(2, STRING) });

const X509SVID = message({
  certChain: field(1, repeated(BYTES)),
  id: field(2, nested('SPIFFEID', SPIFFEID)),
  hint: field(4, STRING),
});

const JWTSVID = message({
  token: field(1, STRING),
  id: field(2, nested('SPIFFEID', SPIFFEID)),
  hint: field(5, STRING),
});

const X509SVID_WITH_KEY = message({
  x509Svid: field(1, nested('X509SVID', X509SVID)),
  x509SvidKey: field(2, BYTES),
});

/** Message name -> codec. Names and numbers are those of `delegated-identity.proto`, names of fields in camel case. */
export const DELEGATED_MESSAGES = {
  Selector: SELECTOR,
  SPIFFEID,
  X509SVID,
  JWTSVID,
  X509SVIDWithKey: X509SVID_WITH_KEY,
  SubscribeToX509SVIDsRequest: message({ selectors: field(1, SELECTORS) }),
  SubscribeToX509SVIDsResponse: message({
    x509Svids: field(1, repeatedMessage('X509SVIDWithKey', X509SVID_WITH_KEY)),
    federatesWith: field(2, repeated(STRING)),
  }),
  SubscribeToX509BundlesRequest: EMPTY,
  SubscribeToX509BundlesResponse: message({ caCertificates: field(1, BYTES_BY_NAME) }),
  FetchJWTSVIDsRequest: message({
    audience: field(1, repeated(STRING)),
    selectors: field(2, SELECTORS),
  }),
  FetchJWTSVIDsResponse: message({ svids: field(1, repeatedMessage('JWTSVID', JWTSVID)) }),
  SubscribeToJWTBundlesRequest: EMPTY,
  SubscribeToJWTBundlesResponse: message({ bundles: field(1, BYTES_BY_NAME) }),
} as const;

/** Name of a call of the Delegated Identity API. */
export type DelegatedMethod =
  'SubscribeToX509SVIDs' | 'SubscribeToX509Bundles' | 'FetchJWTSVIDs' | 'SubscribeToJWTBundles';

/** The service of `delegated-identity.proto`. It requires no security header. */
export const DELEGATED_IDENTITY_API: Protocol<DelegatedMethod> = {
  service: 'spire.api.agent.delegatedidentity.v1.DelegatedIdentity',
  methods: {
    SubscribeToX509SVIDs: {
      isStream: true,
      request: 'SubscribeToX509SVIDsRequest',
      response: 'SubscribeToX509SVIDsResponse',
    },
    SubscribeToX509Bundles: {
      isStream: true,
      request: 'SubscribeToX509BundlesRequest',
      response: 'SubscribeToX509BundlesResponse',
    },
    FetchJWTSVIDs: {
      isStream: false,
      request: 'FetchJWTSVIDsRequest',
      response: 'FetchJWTSVIDsResponse',
    },
    SubscribeToJWTBundles: {
      isStream: true,
      request: 'SubscribeToJWTBundlesRequest',
      response: 'SubscribeToJWTBundlesResponse',
    },
  },
};
