export {
  alternativeNames,
  authorityKeyId,
  basicConstraints,
  certificatePem,
  KEY_USAGE,
  keyUsage,
  signCertificate,
  subjectKeyId,
  subjectName,
  tlsPurposes,
  type AlternativeNames,
  type Extension,
} from './certificate.ts';
