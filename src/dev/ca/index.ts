export {
  createAuthority,
  type Authority,
  type AuthorityOptions,
  type CertificateDefects,
  type CertificateRequest,
  type IssuedCertificate,
} from './authority.ts';
export { createTestCa, type ServerCertificateRequest, type TestCa } from './test-ca.ts';
