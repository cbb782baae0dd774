/**
 * Routing, and the routes that every process has.
 */
import type { Answer, Handler } from './respond.ts';
import type { HttpRequest } from './request.ts';

/** Answers the requests of one method and path. */
export type Route = Handler;

/** Metrics in the Prometheus text format. */
export interface Exposition {
  readonly contentType: string;
  expose(): Promise<string>;
}

/** Routes by `METHOD /path`. */
export function byRoute(routes: Readonly<Record<string, Route>>): Handler {
  return (request) => {
    const { method, path } = request;
    const key = `${method} ${path}`;
    const route = Object.hasOwn(routes, key) ? routes[key] : undefined;
    return route === undefined ? unrouted(routes, request) : route(request);
  };
}

function unrouted(routes: Readonly<Record<string, Route>>, { path }: HttpRequest): Answer {
  return Object.keys(routes).some((one) => one.endsWith(` ${path}`))
    ? { status: 405, body: 'method not allowed\n', closesConnection: true }
    : { status: 404, body: 'not found\n', closesConnection: true };
}

/** `/healthz` and `/readyz`; after `stopping` aborted, not ready. */
export function probeRoutes(
  stopping: AbortSignal,
  whyNotReady: () => Promise<string | undefined>,
): Readonly<Record<string, Route>> {
  return {
    'GET /healthz': () => ({ status: 200, body: 'ok\n' }),
    'GET /readyz': async () => {
      const reason = stopping.aborted ? 'shutting down' : await whyNotReady();
      return reason === undefined
        ? { status: 200, body: 'ok\n' }
        : { status: 503, body: `not ready: ${reason}\n` };
    },
  };
}

/** `/metrics` */
export function metricsRoute(exposition: Exposition): Route {
  return async () => ({
    status: 200,
    type: exposition.contentType,
    body: await exposition.expose(),
  });
}
