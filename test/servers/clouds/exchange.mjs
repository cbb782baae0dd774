// Exchanges the token of a pod for temporary credentials, as an application does: everything comes from the environment.
// Usage: node exchange.mjs aws|azure|gcp; prints what identifies the credentials, as JSON.
import process from 'node:process';

const EXCHANGES = {
  async aws() {
    const { fromTokenFile } = await import('@aws-sdk/credential-provider-web-identity');
    const { accessKeyId, sessionToken, expiration } = await fromTokenFile()();
    return { id: accessKeyId, token: sessionToken, expires: expiration };
  },
  async azure() {
    const { DefaultAzureCredential } = await import('@azure/identity');
    const credential = new DefaultAzureCredential();
    const scope = 'https://vault.azure.net/.default';
    const { token, expiresOnTimestamp } = await credential.getToken(scope);
    return { token, expires: new Date(expiresOnTimestamp) };
  },
  async gcp() {
    const { GoogleAuth } = await import('google-auth-library');
    const auth = new GoogleAuth({ scopes: 'https://www.googleapis.com/auth/cloud-platform' });
    const client = await auth.getClient();
    const { token } = await client.getAccessToken();
    return { id: client.constructor.name, token };
  },
};

try {
  const credentials = await EXCHANGES[process.argv[2]]();
  process.stdout.write(JSON.stringify(credentials));
} catch (error) {
  process.stderr.write(`${error.name}: ${error.message}\n`);
  process.exitCode = 1;
}
