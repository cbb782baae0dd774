export { formatAddress } from './address.ts';
export { serveHealth } from './health.ts';
export { aborted, serveHttp } from './listener.ts';
export type { HttpRequest } from './request.ts';
export type { Answer, Handler } from './respond.ts';
export { byRoute, probeRoutes, type Exposition, type Route } from './routes.ts';
export { SecureListener } from './secure-listener.ts';
