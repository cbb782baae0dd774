export {
  FileCertificates,
  parseServingCertificate,
  type Certificates,
  type FileCertificatesOptions,
  type ServingCertificate,
} from './file-certificates.ts';
export { OwnCertificates, type OwnCertificatesOptions } from './own-certificates.ts';
export { WebhookConfiguration, type WebhookConfigurationOptions } from './webhook-configuration.ts';
export { KEYS, type Lifetimes } from './certificate-secret.ts';
export { SvidCertificates, type SvidCertificatesOptions } from './svid-certificates.ts';
export { TrustedCertificates, type TrustedCertificatesOptions } from './trusted-certificates.ts';
