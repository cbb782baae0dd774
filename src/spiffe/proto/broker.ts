/**
 * The messages of `broker.proto`, field by field.
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
import { MESSAGES } from './messages.ts';
import type { Protocol } from './protocol.ts';

/** `google.protobuf.Any`: the name of a message's type, and the message. */
const ANY = message({ typeUrl: field(1, STRING), value: field(2, BYTES) });

const KUBERNETES_OBJECT_TYPE = message({ plural: field(1, STRING), group: field(2, STRING) });
const KUBERNETES_OBJECT_KEY = message({ namespace: field(1, STRING), name: field(2, STRING) });
const WORKLOAD_REFERENCE = message({ reference: field(1, nested('google.protobuf.Any', ANY)) });
const REFERENCE = field(1, nested('WorkloadReference', WORKLOAD_REFERENCE));
const BY_REFERENCE = message({ reference: REFERENCE });

// With the same fields as in the Workload API.
const { X509SVID, JWTSVID } = MESSAGES;

/** Message name -> codec. Names and numbers are those of `broker.proto`, names of fields in camel case. */
export const BROKER_MESSAGES = {
  WorkloadReference: WORKLOAD_REFERENCE,
  KubernetesObjectType: KUBERNETES_OBJECT_TYPE,
  KubernetesObjectKey: KUBERNETES_OBJECT_KEY,
  KubernetesObjectReference: message({
    type: field(1, nested('KubernetesObjectType', KUBERNETES_OBJECT_TYPE)),
    key: field(2, nested('KubernetesObjectKey', KUBERNETES_OBJECT_KEY)),
    uid: field(3, STRING),
  }),
  SubscribeToX509SVIDRequest: BY_REFERENCE,
  SubscribeToX509SVIDResponse: message({
    svids: field(1, repeatedMessage('X509SVID', X509SVID)),
    crl: field(2, repeated(BYTES)),
    federatedBundles: field(3, BYTES_BY_NAME),
  }),
  X509SVID,
  SubscribeToX509BundlesRequest: BY_REFERENCE,
  SubscribeToX509BundlesResponse: message({
    crl: field(1, repeated(BYTES)),
    bundles: field(2, BYTES_BY_NAME),
  }),
  FetchJWTSVIDRequest: message({
    reference: REFERENCE,
    audience: field(2, repeated(STRING)),
    spiffeId: field(3, STRING),
  }),
  FetchJWTSVIDResponse: message({ svids: field(1, repeatedMessage('JWTSVID', JWTSVID)) }),
  JWTSVID,
  SubscribeToJWTBundlesRequest: BY_REFERENCE,
  SubscribeToJWTBundlesResponse: message({ bundles: field(1, BYTES_BY_NAME) }),
} as const;

/** Name of a call of the Broker API. */
export type BrokerMethod =
  'SubscribeToX509SVID' | 'SubscribeToX509Bundles' | 'FetchJWTSVID' | 'SubscribeToJWTBundles';

/** The service of `broker.proto`. */
export const BROKER_API: Protocol<BrokerMethod> & Required<Pick<Protocol, 'securityHeader'>> = {
  service: 'spiffe.broker.API',
  methods: {
    SubscribeToX509SVID: {
      isStream: true,
      request: 'SubscribeToX509SVIDRequest',
      response: 'SubscribeToX509SVIDResponse',
    },
    SubscribeToX509Bundles: {
      isStream: true,
      request: 'SubscribeToX509BundlesRequest',
      response: 'SubscribeToX509BundlesResponse',
    },
    FetchJWTSVID: {
      isStream: false,
      request: 'FetchJWTSVIDRequest',
      response: 'FetchJWTSVIDResponse',
    },
    SubscribeToJWTBundles: {
      isStream: true,
      request: 'SubscribeToJWTBundlesRequest',
      response: 'SubscribeToJWTBundlesResponse',
    },
  },
  securityHeader: { name: 'broker.spiffe.io', value: 'true' },
};

/** Type URL of the only kind of reference that is used here, for `google.protobuf.Any`. */
export const KUBERNETES_OBJECT_REFERENCE =
  'type.googleapis.com/spiffe.broker.KubernetesObjectReference';
