export { certificatePem, type AlternativeNames } from './certificate.ts';
export { signAuthority, signLeaf, type KeyPair, type Subject } from './profiles.ts';
