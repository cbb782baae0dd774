export { formatAddress, type Address } from './address.ts';
export { serveHealth, type HealthOptions } from './health.ts';
export { aborted, serveHttp, type HttpOptions } from './listener.ts';
export type { HttpRequest } from './request.ts';
export type { Answer, Handler } from './respond.ts';
export { byRoute, probeRoutes, type Exposition, type Route } from './routes.ts';
export { SecureListener, type SecureOptions } from './secure-listener.ts';
