export {
  createAuthority,
  type Authority,
  type CertificateRequest,
  type IssuedCertificate,
} from './authority.ts';
export { createTestCa, type TestCa } from './test-ca.ts';
