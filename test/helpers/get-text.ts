/** What a URL leads to; not by `fetch`, which cannot be given a CA. */
import { once } from 'node:events';
import { get as getByHttp, type IncomingMessage } from 'node:http';
import { get as getByHttps } from 'node:https';
import { text } from 'node:stream/consumers';

/** Gets it, over TLS with this CA. */
export async function getText(url: string, ca: string | undefined): Promise<string> {
  const request =
    ca === undefined ? getByHttp(url, { agent: false }) : getByHttps(url, { agent: false, ca });
  const [response] = (await once(request, 'response')) as [IncomingMessage]; // as the event is declared
  return await text(response);
}
