/** The CAs of the web, outside of any VA, with their CRLs. */
import { intermediateCa, rootCa, type TestCa } from './certificates.ts';
import { CrlServer } from './crl-server.ts';

export interface WebPki {
  /** The CA whose customers ask for vouchers, in the trust contexts MOZ and CHROME. */
  readonly webRoot: TestCa;
  readonly webIntermediate: TestCa;
  /** Another CA in the trust context MOZ: the one that is broken into. */
  readonly brokenRoot: TestCa;
  readonly brokenIntermediate: TestCa;
}

export interface TestWeb {
  readonly pki: WebPki;
  readonly crls: CrlServer;
}

/** @param host where the CRLs are */
export async function startWeb(host?: string): Promise<TestWeb> {
  const crls = await CrlServer.start(host);
  const webRoot = rootCa('Example Web Root', crls.url('web-root'));
  const brokenRoot = rootCa('Broken Root', crls.url('broken-root'));
  const pki: WebPki = {
    webRoot,
    webIntermediate: intermediateCa('Example Web Issuing CA', webRoot, { crlUrl: crls.url('web') }),
    brokenRoot,
    brokenIntermediate: intermediateCa('Broken Issuing CA', brokenRoot, { crlUrl: crls.url('broken') }),
  };
  for (const ca of [webRoot, brokenRoot, pki.webIntermediate, pki.brokenIntermediate]) crls.publish(ca);
  return { pki, crls };
}
