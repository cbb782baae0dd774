export { createTokenIssuer, type TokenIssuer } from './token-issuer.ts';
