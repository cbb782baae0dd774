export {
  CertificateSource,
  parseServingCertificate,
  type Certificates,
  type CertificateSourceOptions,
  type ServingCertificate,
} from './certificate-source.ts';
export { OwnCertificates, type OwnOptions } from './own.ts';
export { Registration, type RegistrationOptions } from './registration.ts';
export { KEYS, type Lifetimes } from './stored.ts';
export { SvidCertificates, type SvidOptions } from './svid.ts';
export { TrustedCertificates, type TrustedOptions } from './trusted.ts';
