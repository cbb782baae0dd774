export {
  CertificateSource,
  parseServingCertificate,
  type Certificates,
  type CertificateSourceOptions,
  type ServingCertificate,
} from './certificate-source.ts';
export type { MutateOptions, NamespaceLookup } from './mutate.ts';
export type { Notice } from './tell.ts';
export {
  createWebhookServer,
  type BoundAddresses,
  type WebhookServer,
  type WebhookServerOptions,
} from './webhook-server.ts';
