/**
 * The messages of `workload.proto`, field by field.
 */
import {
  BYTES,
  BYTES_BY_NAME,
  field,
  message,
  repeated,
  repeatedMessage,
  STRING,
  STRUCT,
} from './codec.ts';
import type { Protocol } from './protocol.ts';

const EMPTY = message({});

const X509SVID = message({
  spiffeId: field(1, STRING),
  x509Svid: field(2, BYTES),
  x509SvidKey: field(3, BYTES),
  bundle: field(4, BYTES),
  hint: field(5, STRING),
});

const JWTSVID = message({
  spiffeId: field(1, STRING),
  svid: field(2, STRING),
  hint: field(3, STRING),
});

/** Message name -> codec. Names and numbers are those of `workload.proto`, names of fields in camel case. */
export const MESSAGES = {
  X509SVIDRequest: EMPTY,
  X509SVIDResponse: message({
    svids: field(1, repeatedMessage('X509SVID', X509SVID)),
    crl: field(2, repeated(BYTES)),
    federatedBundles: field(3, BYTES_BY_NAME),
  }),
  X509SVID,
  X509BundlesRequest: EMPTY,
  X509BundlesResponse: message({
    crl: field(1, repeated(BYTES)),
    bundles: field(2, BYTES_BY_NAME),
  }),
  JWTSVIDRequest: message({
    audience: field(1, repeated(STRING)),
    spiffeId: field(2, STRING),
  }),
  JWTSVIDResponse: message({ svids: field(1, repeatedMessage('JWTSVID', JWTSVID)) }),
  JWTSVID,
  JWTBundlesRequest: EMPTY,
  JWTBundlesResponse: message({ bundles: field(1, BYTES_BY_NAME) }),
  ValidateJWTSVIDRequest: message({
    audience: field(1, STRING),
    svid: field(2, STRING),
  }),
  ValidateJWTSVIDResponse: message({
    spiffeId: field(1, STRING),
    claims: field(2, STRUCT),
  }),
} as const;

/** Prefix of every method's path. The service has no package. */
export const SERVICE = 'SpiffeWorkloadAPI';

/** Method name -> whether it streams, and the names of its messages. */
export const METHODS = {
  FetchX509SVID: { isStream: true, request: 'X509SVIDRequest', response: 'X509SVIDResponse' },
  FetchX509Bundles: {
    isStream: true,
    request: 'X509BundlesRequest',
    response: 'X509BundlesResponse',
  },
  FetchJWTSVID: { isStream: false, request: 'JWTSVIDRequest', response: 'JWTSVIDResponse' },
  FetchJWTBundles: { isStream: true, request: 'JWTBundlesRequest', response: 'JWTBundlesResponse' },
  ValidateJWTSVID: {
    isStream: false,
    request: 'ValidateJWTSVIDRequest',
    response: 'ValidateJWTSVIDResponse',
  },
} as const;

/** Name of a call of the Workload API. */
export type Method = keyof typeof METHODS;

/** Metadata that every request must carry, so that a browser or proxy cannot be tricked into making one. */
const SECURITY_HEADER = { name: 'workload.spiffe.io', value: 'true' } as const;

/** The service of `workload.proto`. */
export const WORKLOAD_API: Protocol<Method> = {
  service: SERVICE,
  methods: METHODS,
  securityHeader: SECURITY_HEADER,
};
