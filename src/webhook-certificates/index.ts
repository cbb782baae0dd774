export {
  FileCertificates,
  parseServingCertificate,
  type Certificates,
  type ServingCertificate,
} from './file-certificates.ts';
export { OwnCertificates } from './own-certificates.ts';
export { WebhookConfiguration } from './webhook-configuration.ts';
export { KEYS } from './certificate-secret.ts';
export { SvidCertificates } from './svid-certificates.ts';
export { TrustedCertificates } from './trusted-certificates.ts';
