/** What a webhook cannot do without: TLS, HTTP, JSON in, JSON out. Arguments: certificate, key, size of the answer. */
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';

const [cert = '', key = '', size = '0'] = process.argv.slice(2);
const patch = 'x'.repeat(Number(size));

const server = createServer(
  { cert: readFileSync(cert), key: readFileSync(key) },
  (request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const { request: asked } = JSON.parse(Buffer.concat(chunks).toString()) as {
        request: { uid: string }; // the bench sends nothing else
      };
      const body = JSON.stringify({
        apiVersion: 'admission.k8s.io/v1',
        kind: 'AdmissionReview',
        response: { uid: asked.uid, allowed: true, patchType: 'JSONPatch', patch },
      });
      response.writeHead(200, {
        'content-type': 'application/json',
        'content-length': Buffer.byteLength(body),
      });
      response.end(body);
    });
  },
);
server.keepAliveTimeout = 120_000;
server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  const port = typeof address === 'object' ? (address?.port ?? 0) : 0;
  process.stdout.write(`${JSON.stringify({ listening: { listen: `127.0.0.1:${port}` } })}\n`);
});
