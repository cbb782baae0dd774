export { MESSAGES, METHODS, SECURITY_HEADER, SERVICE, type Method } from './proto/messages.ts';
